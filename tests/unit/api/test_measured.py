"""What the API counts of its own answers: by route, never by what a client wrote.

The counters are the process's, so that each test has a route of its own.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api import measured
from tests.asgi import request


def counted() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    samples = (sample for family in measured.REGISTRY.collect() for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(name: str, **labels: str) -> float:
    return counted().get((f"cryptomonitor_api_{name}", frozenset(labels.items())), 0)


def test_a_request_is_counted_by_route_method_and_class_of_status() -> None:
    measured.answered("/counted", "POST", 201, 0.004)
    measured.answered("/counted", "POST", 200, 0.2)
    measured.answered("/counted", "POST", 422, 0.2)
    assert value("requests_total", route="/counted", method="POST", status="2xx") == 2
    assert value("requests_total", route="/counted", method="POST", status="4xx") == 1


def test_how_long_it_took_stands_in_a_histogram() -> None:
    measured.answered("/slow", "GET", 200, 0.004)
    measured.answered("/slow", "GET", 200, 3600)
    assert value("request_duration_seconds_bucket", route="/slow", method="GET", le="0.0025") == 0
    assert value("request_duration_seconds_bucket", route="/slow", method="GET", le="0.005") == 1
    assert value("request_duration_seconds_bucket", route="/slow", method="GET", le="10.0") == 1
    assert value("request_duration_seconds_bucket", route="/slow", method="GET", le="+Inf") == 2
    assert value("request_duration_seconds_sum", route="/slow", method="GET") == 3600.004


def test_a_client_that_left_is_counted_as_none() -> None:
    measured.answered("/left", "GET", 0, 1)
    assert value("requests_total", route="/left", method="GET", status="none") == 1


def test_no_client_can_make_a_series_of_its_own() -> None:
    for number in range(50):
        measured.answered("/odd", f"M{number}", 405, 0.001)
    assert value("requests_total", route="/odd", method="other", status="4xx") == 50
    assert sum(name.endswith("requests_total") and ("route", "/odd") in labels for name, labels in counted()) == 1


def test_the_route_is_its_template() -> None:
    app, routes = FastAPI(), []

    @app.get("/candles/{symbol}")
    def candles(symbol: str) -> str:
        return symbol

    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        routes.append(measured.route_of(scope))

    for path, method in [("/candles/BTC", "GET"), ("/candles/BTC", "POST"), ("/candles", "GET"), ("/%2e%2e", "GET")]:
        request(edge, path, method)  # type: ignore[arg-type]
    assert routes == ["/candles/{symbol}", "/candles/{symbol}", "none", "none"]


def test_the_process_tells_what_it_takes() -> None:
    assert counted()["process_resident_memory_bytes", frozenset()] > 1_000_000
