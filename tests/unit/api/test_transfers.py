"""``/api/v1/detect_transfers``."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from app.api.edge import Edge
from tests.asgi import Reply, request

PATH = "/api/v1/detect_transfers"
TRANSACTIONS: list[Any] = [
    ["tx_1", "kraken", "2026-11-22T10:15:00Z", "out", 5.3],
    {"tx_id": "tx_2", "wallet_id": "ledger", "time": "2026-11-22 10:27:12", "direction": "in", "amount": "5.3"},
    ["tx_3", "kraken", 1700000000, "out", 1],
]


def post(app: Edge, body: str, query: str = "") -> Reply:
    headers = {"content-type": "application/json"}
    return request(app, PATH + query, "POST", headers=headers, body=body.encode())


def get(app: Edge, transactions: object, more: str = "") -> Reply:
    return request(app, f"{PATH}?transactions={quote(json.dumps(transactions))}{more}")


def test_both_methods_answer_with_pairs_and_reasons(app: Edge) -> None:
    posted, got = post(app, json.dumps({"transactions": TRANSACTIONS})), get(app, TRANSACTIONS)
    assert (posted.status, got.status) == (200, 200)
    assert (
        posted.json
        == got.json
        == {
            "pairs": [["tx_1", "tx_2"]],
            "transfers": [
                {
                    "out": {"index": 0, "tx_id": "tx_1", "wallet_id": "kraken"},
                    "in": {"index": 1, "tx_id": "tx_2", "wallet_id": "ledger"},
                    "lag_seconds": 732.0,
                    "basis": "only candidate",
                    "why": "5.3 left kraken and came to ledger 12m 12s later; neither fits any other",
                }
            ],
            "ambiguous": [],
            "left_over": [
                {"index": 2, "tx_id": "tx_3", "wallet_id": "kraken", "direction": "out", "why": "no in of that amount"}
            ],
        }
    )


def test_no_digit_of_an_amount_goes_through_a_float(app: Edge) -> None:
    body = (
        '{"transactions": [["a", "A", "2026-01-01", "out", 0.12345678901234567891],'
        ' ["b", "B", "2026-01-01", "in", 0.12345678901234567892],'
        ' ["c", "B", "2026-01-02", "in", 0.12345678901234567891]]}'
    )
    assert post(app, body).json["pairs"] == [["a", "c"]]


def test_the_terms_are_parameters(app: Edge) -> None:
    late = [["a", "A", "2026-01-01 10:00", "out", 100], ["b", "B", "2026-01-01 09:59", "in", "99.5"]]
    assert get(app, late).json["pairs"] == []
    assert get(app, late, "&order_slack=1m&tolerance=0.5%25").json["pairs"] == [["a", "b"]]
    assert get(app, late, "&order_slack=1m&tolerance=0.5%25&window=0s").json["pairs"] == [["a", "b"]]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("window=1", "query.window"),
        ("window=999999d", "query.window"),
        ("order_slack=-1h", "query.order_slack"),
        ("tolerance=0.5", "query.tolerance"),
    ],
)
def test_a_bad_term_is_named(app: Edge, query: str, where: str) -> None:
    reply = post(app, '{"transactions": []}', f"?{query}")
    assert reply.status == 422
    assert [error["where"] for error in reply.json["errors"]] == [where]


@pytest.mark.parametrize(
    ("body", "where", "problem"),
    [
        ('{"transactions": [["a", "A", "yesterday", "out", 1]]}', "body.transactions[0].time", "should be a time like"),
        ('{"transactions": 7}', "body.transactions", "should be a list"),
        ('{"transfers": []}', "body", "should be a list, or an object"),
        ("{", "body", "is no JSON"),
        ("", "body", "is no JSON"),
    ],
)
def test_a_bad_body_is_a_problem_that_says_where(app: Edge, body: str, where: str, problem: str) -> None:
    reply = post(app, body)
    assert reply.status == 422
    assert reply.headers["content-type"] == "application/problem+json"
    (error,) = reply.json["errors"]
    assert error["where"] == where
    assert problem in error["problem"]


def test_transactions_have_to_be_given(app: Edge) -> None:
    assert request(app, PATH).status == 422
    assert request(app, f"{PATH}?transactions=%5B").json["errors"][0]["where"] == "query.transactions"


def test_openapi_describes_the_body_and_the_answer(app: Edge) -> None:
    described = request(app, "/openapi.json").json
    path = described["paths"][PATH]
    body = path["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["transactions"]["maxItems"] == 100_000
    for method in ("get", "post"):
        schema = path[method]["responses"]["200"]["content"]["application/json"]["schema"]
        answer = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert set(answer["required"]) == {"pairs", "transfers", "ambiguous", "left_over"}
