"""The life of the API process, as far as it needs no process of its own; tests/integration/test_api.py has the rest."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from app.api import server
from app.api.edge import Edge


@pytest.fixture
def frozen() -> Iterator[list[int]]:
    """How many objects the garbage collector passes over, each time that serving begins."""
    yield []
    gc.unfreeze()


def test_the_garbage_collector_does_not_look_through_the_program_while_it_serves(
    app: Edge, frozen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Server, "run", lambda self, sockets: frozen.append(gc.get_freeze_count()))
    monkeypatch.setattr(server, "_end", lambda: None)
    monkeypatch.setattr(server, "_allow_files", lambda files: None)
    server.serve(app, [])
    assert frozen[0] > 10_000
