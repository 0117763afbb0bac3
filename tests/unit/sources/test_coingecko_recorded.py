"""Every recorded CoinGecko reply to a call that we make is understood, and no error among good replies costs a tick."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.errors import CryptoMonitorError, ProviderRefused, ProviderUnavailable, RateLimited
from app.model import Batch, Instrument, Lost, symbol_of
from tests.clock import FakeClock
from tests.conftest import SHARED
from tests.provider import Answer, reply, serving
from tests.unit.sources.conftest import Asking

RECORDED = SHARED / "data" / "apis" / "coingecko"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded replies are not beside the repository")

NOW = FakeClock().now()
OLD_DATE = {"Date": "Tue, 14 Jan 2020 00:30:05 GMT"}


def body_of(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def recordings() -> list[dict[str, Any]]:
    lines = (RECORDED / "simple_price_recordings.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def asked_in(url: str) -> list[Instrument]:
    query = parse_qs(urlsplit(url).query)
    ids, quotes = (query[key][0].split(",") for key in ("ids", "vs_currencies"))
    return [named(id_, quote) for id_ in ids for quote in quotes]


def named(id_: str, quote: str = "usd") -> Instrument:
    base = id_.upper().replace("-", "_")
    return Instrument(base, quote.upper(), "coingecko", symbol_of(base, quote.upper(), "coingecko", "coingecko"), id_)


def prices_in(batch: Batch) -> dict[str, str]:
    return {tick.symbol: str(tick.price) for tick in batch.ticks}


def test_all_recorded_prices_come_out_digit_for_digit(asking: Asking) -> None:
    found = recordings()
    assert len(found) == 69
    answers = [
        reply(each["body"].encode(), each["status"], {"Date": each["recorded_at"], **each["headers"]}) for each in found
    ]
    with serving(*answers) as provider:
        source = asking(provider)
        for each in found:
            chunk = asked_in(each["url"])
            batch = source.fetch(chunk)
            texts = re.findall(r'"([^"]+)":\{"(\w+)":([0-9.]+)\}', each["body"])
            assert len(texts) == len(chunk)
            assert prices_in(batch) == {named(id_, quote).symbol: str(Decimal(text)) for id_, quote, text in texts}
            assert {tick.timestamp for tick in batch.ticks} == {NOW}
            assert {lost.field for lost in batch.lost} == {"volume_24h", "market_cap"}


def test_the_recorded_times_are_those_of_the_ticks_and_their_order(asking: Asking) -> None:
    body = body_of("simple_price_last_updated_at_2020-01-14.json")
    values = json.loads(body)
    with serving(reply(body, headers=OLD_DATE)) as provider:
        batch = asking(provider).fetch([named(id_) for id_ in values])
    times = {named(id_).symbol: datetime.fromtimestamp(coin["last_updated_at"], UTC) for id_, coin in values.items()}
    assert {tick.symbol: tick.timestamp for tick in batch.ticks} == times
    assert [(tick.timestamp, tick.symbol) for tick in batch.ticks] == sorted((t, s) for s, t in times.items())
    assert prices_in(batch)["ZCASH"] == "38.23"


def test_the_recorded_coin_in_all_its_currencies_is_one_tick_in_each(asking: Asking) -> None:
    text = body_of("simple_price_monero_inner_allvs_2024-05-24.json").decode()
    values = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    quotes = [key.removesuffix("_market_cap") for key in values if key.endswith("_market_cap")]
    assert len(quotes) == 61
    with serving(reply(f'{{"monero":{text}}}'.encode())) as provider:
        batch = asking(provider).fetch([named("monero", quote) for quote in quotes])
    expected = {
        named("monero", quote).symbol: tuple(str(values[f"{quote}{end}"]) for end in ("", "_24h_vol", "_market_cap"))
        for quote in quotes
    }
    assert {t.symbol: (str(t.price), str(t.volume_24h), str(t.market_cap)) for t in batch.ticks} == expected
    assert {tick.timestamp for tick in batch.ticks} == {datetime(2024, 5, 24, 9, 7, 43, tzinfo=UTC)}
    assert batch.lost == ()


def test_an_unknown_id_is_recorded_as_a_missing_coin(asking: Asking) -> None:
    with serving(reply(body_of("simple_price_unknown_id.json"))) as provider:
        batch = asking(provider).fetch([named("xrp")])
    assert (batch.ticks, batch.lost) == ((), (Lost("XRP", "price", "the coin is missing"),))


def test_the_examples_of_the_specification_are_understood(asking: Asking) -> None:
    answers = [reply(body_of(f"oas_example_{name}.json")) for name in ("simple_price_allflags", "ping")]
    with serving(*answers) as provider:
        source = asking(provider)
        (tick,) = source.fetch([named("bitcoin")]).ticks
        assert source.ping().startswith("coingecko answers")
    assert (str(tick.price), str(tick.volume_24h), str(tick.market_cap)) == (
        "76975",
        "29096603418.89408",
        "1542226908349.8406",
    )
    assert tick.timestamp == datetime(2026, 5, 18, 8, 17, 38, tzinfo=UTC)


MEANING: dict[int, type[CryptoMonitorError]] = {
    400: ProviderUnavailable,
    401: ProviderRefused,
    404: ProviderUnavailable,
    422: ProviderUnavailable,
    429: RateLimited,
}


def recorded_error(path: Path) -> tuple[int, Answer]:
    meta = json.loads(path.with_suffix(".meta.json").read_text(encoding="utf-8"))
    status = meta["status"] if isinstance(meta["status"], int) else meta["status"]["code"]
    framing = {"transfer-encoding", "connection", "content-length"}
    headers = {name: value for name, value in meta["headers"].items() if name not in framing}
    return status, reply(path.read_bytes(), status, headers)


def test_no_recorded_error_between_good_replies_costs_a_tick(asking: Asking) -> None:
    errors = [recorded_error(path) for path in sorted(RECORDED.glob("error_*.json")) if ".meta" not in path.name]
    assert len(errors) == 6
    good = [(each, asked_in(each["url"])) for each in recordings()[: len(errors)]]
    answers = [
        a for (each, _), (_, error) in zip(good, errors, strict=True) for a in (reply(each["body"].encode()), error)
    ]
    with serving(*answers) as provider:
        source = asking(provider)
        for (each, chunk), (status, _) in zip(good, errors, strict=True):
            assert len(source.fetch(chunk).ticks) == len(json.loads(each["body"]))
            with pytest.raises(CryptoMonitorError, match=f"HTTP {status}") as caught:
                source.fetch(chunk)
            assert type(caught.value) is MEANING[status]
            if isinstance(caught.value, RateLimited):
                assert caught.value.retry_after == 53
        assert provider.connections == 1
