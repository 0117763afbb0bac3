"""Large questions are answered in a process of their own, one at a time; small ones in threads, two at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app import config
from app.api import transfers
from app.api.app import create_app
from app.api.context import Context
from app.api.database import Reader, Writer
from app.api.edge import Edge
from tests.asgi import Reply, request
from tests.clock import FakeClock
from tests.statuses import NOW

LATE: list[Any] = [["a", "A", "2026-01-01 10:00", "out", 100], ["b", "Bé", "2026-01-01 09:59", "in", "99.5"]]
MANY = [*LATE, *([str(i), "C", 1700000000 + i, "out", 7] for i in range(400))]
TERMS = "?order_slack=1m&tolerance=0.5%25"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    settings = config.load(env_file=None, data_dir=tmp_path_factory.mktemp("data"), api_requests_per_second=0)
    return Context(settings, Reader(lambda: None), Writer(lambda: None), FakeClock(NOW))


@pytest.fixture(scope="module")
def app(context: Context) -> Edge:
    return create_app(context)


def post(app: Edge, transactions: object, query: str = "") -> Reply:
    body = json.dumps({"transactions": transactions}).encode()
    headers = {"content-type": "application/json"}
    return request(app, f"/api/v1/detect_transfers{query}", "POST", headers=headers, body=body)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def detect(*_: Any) -> None:
        raise AssertionError("worked at in this process")

    monkeypatch.setattr(transfers, "detect", detect)


def test_a_large_question_is_answered_by_another_process_with_the_same_words(
    app: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_SMALL", 1_000_000)
    by_itself = post(app, MANY, TERMS)
    monkeypatch.setattr(transfers, "_SMALL", 10_000)
    forbid(monkeypatch)
    aside = post(app, MANY, TERMS)
    assert (aside.status, aside.headers["content-type"]) == (200, "application/json")
    assert aside.json == by_itself.json
    assert aside.json["pairs"] == [["a", "b"]]


def test_its_mistakes_are_told_with_their_places(app: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [*MANY, ["x", "A", "yesterday", "out", 1], ["y", "A", 1700000000, "up", 1]]
    monkeypatch.setattr(transfers, "_SMALL", 1_000_000)
    by_itself = post(app, wrong)
    monkeypatch.setattr(transfers, "_SMALL", 10_000)
    forbid(monkeypatch)
    aside = post(app, wrong)
    assert (aside.status, aside.json) == (422, by_itself.json)
    assert [error["where"] for error in aside.json["errors"]] == [
        "body.transactions[402].time",
        "body.transactions[403].direction",
    ]


def test_what_is_csv_to_the_command_is_not_to_the_api(app: Edge) -> None:
    body = b"tx_id,wallet_id,time,direction,amount\n" + b"a,A,1700000000,out,1\n" * 1000
    headers = {"content-type": "application/json"}
    reply = request(app, "/api/v1/detect_transfers", "POST", headers=headers, body=body)
    assert reply.status == 422
    assert "is no JSON" in reply.json["errors"][0]["problem"]


def test_one_large_question_is_answered_at_a_time_and_small_ones_meanwhile(app: Edge, context: Context) -> None:
    with context.detection._place:
        busy = post(app, MANY)
        assert post(app, LATE).status == 200
    assert (busy.status, busy.headers["retry-after"]) == (503, "1")


def test_two_small_questions_are_answered_at_a_time(app: Edge, context: Context) -> None:
    with context.small_detections, context.small_detections:
        busy = post(app, LATE)
    assert (busy.status, busy.headers["retry-after"]) == (503, "1")
    assert post(app, LATE).status == 200


def test_what_takes_too_long_is_ended_with_advice_and_leaves_its_place(
    app: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.aside.MOST_SECONDS", 0.0)
    for _ in range(2):
        reply = post(app, MANY)
        assert reply.status == 422
        assert "ask for fewer transactions" in reply.json["detail"]
