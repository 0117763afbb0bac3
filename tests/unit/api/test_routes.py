"""What the few routes say while there is a daemon, and while there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app import status
from app.api.edge import Edge
from app.api.status import StatusReply
from app.status import Status
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW, a_status

Get = Callable[[str], Reply]


def test_healthz_answers_whatever_else_is_wrong(get: Get) -> None:
    reply = get("/healthz")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


def test_readyz_names_each_reason(get: Get) -> None:
    reply = get("/readyz")
    assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
    assert reply.json["reasons"] == [
        "the database does not answer",
        "the daemon does not run: there is no status.json in DATA_DIR",
    ]
    assert reply.json["detail"] == "Not ready: " + "; ".join(reply.json["reasons"]) + "."


@pytest.mark.parametrize("client", [("192.0.2.7", 1), ("127.0.0.1", 1)])
def test_readyz_tells_those_who_may_not_read_no_reasons(app: Edge, client: tuple[str, int]) -> None:
    forged = {"host": "evil.example"} if client[0] == "127.0.0.1" else {}
    reply = request(app, "/readyz", headers=forged, client=client)
    assert (reply.status, reply.json["detail"], reply.json.get("reasons")) == (503, "Not ready.", None)


def test_readyz_tells_all_their_reasons_where_all_may_read(tmp_path: Path) -> None:
    app = an_api(tmp_path, lambda: None, FakeClock(NOW), api_open_reads=True)
    assert len(request(app, "/readyz", client=("192.0.2.7", 1)).json["reasons"]) == 2


def test_readyz_names_only_what_is_wrong(get: Get, tmp_path: Path) -> None:
    status.write(tmp_path, a_status())
    assert get("/readyz").json["reasons"] == ["the database does not answer"]


def test_what_the_database_said_goes_to_the_log_and_only_once(get: Get) -> None:
    with capture_logs() as lines:
        for _ in range(3):
            assert b"embedded" not in get("/readyz").body
    said = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert said == ["The database does not answer the API: the embedded database does not run."]


def test_the_status_of_a_daemon_is_its_file_and_what_the_database_says(get: Get, tmp_path: Path) -> None:
    status.write(tmp_path, a_status())
    reply = get("/api/v1/status")
    assert reply.status == 200
    assert (reply.json["daemon"], reply.json["reasons"]) == ("running", [])
    assert reply.json["written_at"] == "2026-11-22T10:15:03.123000Z"
    assert reply.json["state"] == "running"
    assert reply.json["tasks"] == {"fetch-coingecko": "running", "upkeep": "ended"}
    assert reply.json["sources"]["coingecko"]["values_lost"] == 4
    assert reply.json["ticks"] == {"stored": 300, "duplicates": 40, "late": 2, "refused": 1, "held": 3}
    assert reply.json["alerts"] == {
        **{"rules": 2, "rules_trouble": None, "firing": 1, "unknown": 0},
        **{"written": 7, "waiting": 0},
    }
    assert reply.json["database"]["answers"] is False
    assert reply.json["database"]["reason"] == "the database does not answer"


def test_the_status_without_a_daemon_has_the_same_keys(get: Get, tmp_path: Path) -> None:
    without = get("/api/v1/status").json
    assert without["daemon"] == "not running"
    assert without["ticks"] is None
    status.write(tmp_path, a_status())
    assert without.keys() == get("/api/v1/status").json.keys()


def test_the_reply_has_everything_that_stands_in_the_file() -> None:
    of_reply = {field.name for field in fields(StatusReply)}
    of_file = {field.name for field in fields(Status)}
    assert of_reply == of_file | {"daemon", "reasons", "database"}


@pytest.mark.parametrize("path", ["/readyz", "/api/v1/status"])
def test_no_reply_tells_where_the_folder_is(get: Get, tmp_path: Path, path: str) -> None:
    assert str(tmp_path).encode() not in get(path).body
