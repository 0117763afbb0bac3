"""What this process counts of itself for ``/metrics``: the requests it answered, and what it takes of the machine."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from starlette.types import Scope

# When each counter was born, as a metric of its own: nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_REQUESTS = Counter(
    "cryptomonitor_api_requests_total",
    "Requests that the API answered, by route, method and class of status (none: the client left before an answer)",
    ["route", "method", "status"],
    registry=REGISTRY,
)
_DURATION = Histogram(
    "cryptomonitor_api_request_duration_seconds",
    "From a request's arrival to the last byte of its answer; a stream's is as long as it was followed",
    ["route", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)

NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_of(scope: Scope) -> str:
    """The template of the route that took a request, ``/ohlcv/{symbol}``; "none" where there is nothing.

    Of the scope that the application was given, once it has answered.
    """
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else NO_ROUTE


def answered(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request that is over; ``status`` 0: nothing was sent. Never with an address or a word of the client's."""
    method = method if method in _METHODS else "other"
    _REQUESTS.labels(route, method, f"{status // 100}xx" if status else "none").inc()
    _DURATION.labels(route, method).observe(seconds)
