"""All routes in one list, one a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.api import (
    alerts,
    backtest,
    candles,
    docs,
    documents,
    health,
    history,
    index,
    metric_types,
    metrics,
    prometheus,
    rank,
    rules,
    silences,
    status,
    stream,
    transfers,
    udf,
    watch,
)
from app.api.coingecko import charts, coins, markets, prices
from app.transfers.document import Transfers


@dataclass(frozen=True, slots=True)
class Route:
    """An address, and what answers there. ``answers``: what the reply holds, where the endpoint writes it itself."""

    method: str
    path: str
    endpoint: Callable[..., Any]
    answers: type | None = None
    code: int = 200
    writes: bool = False
    """Changes something, so that a token for writing is needed wherever the client is."""
    open_to_all: bool = False
    """Answered whoever asks, and however often."""
    lenient: bool = False
    """Parameters that it does not know are passed over: clients made for others send some."""
    most_bytes: int = 1_000_000
    """That the body of a request may have."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """What OpenAPI is to say beside this, as FastAPI takes it."""


ROUTES = (
    Route("GET", "/", index.show),
    Route("GET", "/docs", docs.page),
    Route("GET", "/docs/style.css", docs.style),
    Route("GET", "/openapi.json", docs.openapi),
    Route("GET", "/healthz", health.alive, open_to_all=True, lenient=True),
    Route("GET", "/readyz", health.ready, open_to_all=True, lenient=True),
    Route("GET", "/metrics", prometheus.scrape),
    Route("GET", "/api/v1/data", documents.show_all, answers=documents.Documents),
    Route("GET", "/api/v1/data/{base}", documents.show, answers=documents.Documents),
    Route("GET", "/api/v1/ohlcv/{symbol}", candles.show, answers=candles.Candles, described=candles.DESCRIBED),
    Route("GET", "/api/v1/metric_types", metric_types.list_types, answers=metric_types.MetricTypes),
    Route("GET", "/api/v1/metric_types/{type}", metric_types.show_type, answers=metric_types.MetricType),
    Route("GET", "/api/v1/metric_types/{type}/metrics", metric_types.list_metrics, answers=metric_types.LatestValues),
    Route(
        "GET",
        "/api/v1/metric_types/{type}/metrics/{symbol}",
        metric_types.show_metric,
        answers=metric_types.MetricOfType,
    ),
    Route("GET", "/api/v1/metric_types/{type}/metrics/{symbol}/history", history.of_symbol, answers=history.History),
    Route("GET", "/api/v1/metric_types/{type}/metrics/{symbol}/rank", rank.of_symbol, answers=rank.Rank),
    Route("GET", "/api/v1/metrics", metrics.list_metrics, answers=metrics.FlatMetrics),
    Route("GET", "/api/v1/metrics/{id}", metrics.show, answers=metrics.FlatMetric),
    Route("GET", "/api/v1/metrics/{id}/records", metrics.records, answers=history.Records),
    Route("GET", "/api/v1/metrics/{id}/prices", metrics.prices, answers=history.Prices),
    Route("GET", "/api/v1/alerts", alerts.show_all, answers=alerts.AlertsReply),
    Route("GET", "/api/v1/alerts/{id}", alerts.show, answers=alerts.EpisodeReply),
    Route("POST", "/api/v1/alerts/{id}/acknowledge", alerts.acknowledge, answers=alerts.Acknowledgement, writes=True),
    Route("DELETE", "/api/v1/alerts/{id}/acknowledge", alerts.forget, code=204, writes=True),
    Route("GET", "/api/v1/rules", rules.show_all, answers=rules.RulesReply),
    Route("POST", "/api/v1/rules", rules.create, answers=rules.RuleReply, code=201, writes=True),
    Route("POST", "/api/v1/rules/backtest", backtest.run, answers=backtest.BacktestReply),
    Route("GET", "/api/v1/rules/{name}", rules.show, answers=rules.RuleReply),
    Route("PUT", "/api/v1/rules/{name}", rules.replace, answers=rules.RuleReply, writes=True, described=rules.MATCHED),
    Route("DELETE", "/api/v1/rules/{name}", rules.delete, code=204, writes=True, described=rules.MATCHED),
    Route("GET", "/api/v1/silences", silences.show_all, answers=silences.SilencesReply),
    Route("POST", "/api/v1/silences", silences.create, answers=silences.SilenceReply, code=201, writes=True),
    Route("GET", "/api/v1/silences/{id}", silences.show, answers=silences.SilenceReply),
    Route("POST", "/api/v1/silences/{id}/end", silences.end, answers=silences.SilenceReply, writes=True),
    Route("GET", "/api/v1/watch", watch.show_all, answers=watch.WatchReply),
    Route(
        "POST",
        "/api/v1/watch",
        watch.add,
        answers=watch.EntryReply,
        code=201,
        writes=True,
        described=watch.DESCRIBED,
    ),
    Route("GET", "/api/v1/watch/{entry:path}", watch.show, answers=watch.EntryReply),
    Route("DELETE", "/api/v1/watch/{entry:path}", watch.remove, code=204, writes=True),
    Route("GET", "/api/v1/detect_transfers", transfers.of_query, answers=Transfers),
    Route(
        "POST",
        "/api/v1/detect_transfers",
        transfers.of_body,
        answers=Transfers,
        most_bytes=transfers.MOST_BYTES,
        described=transfers.DESCRIBED,
    ),
    Route("GET", "/api/v1/status", status.show),
    Route("GET", "/api/v1/stream", stream.show, described=stream.DESCRIBED),
    Route("GET", "/udf/config", udf.config, lenient=True),
    Route("GET", "/udf/time", udf.time, lenient=True),
    Route("GET", "/udf/symbols", udf.symbols, lenient=True),
    Route("GET", "/udf/search", udf.search, lenient=True),
    Route("GET", "/udf/history", udf.history, lenient=True),
    Route("GET", "/udf/marks", udf.marks, lenient=True),
    Route("GET", "/coingecko/api/v3/ping", coins.ping, lenient=True),
    Route("GET", "/coingecko/api/v3/simple/price", prices.show, lenient=True),
    Route("GET", "/coingecko/api/v3/simple/supported_vs_currencies", coins.currencies, lenient=True),
    Route("GET", "/coingecko/api/v3/coins/list", coins.list_all, lenient=True),
    Route("GET", "/coingecko/api/v3/coins/markets", markets.show, lenient=True),
    Route("GET", "/coingecko/api/v3/coins/{id}/market_chart", charts.of_days, lenient=True),
    Route("GET", "/coingecko/api/v3/coins/{id}/market_chart/range", charts.of_range, lenient=True),
    Route("GET", "/coingecko/api/v3/coins/{id}/ohlc", charts.ohlc, lenient=True),
)
