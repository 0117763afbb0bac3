"""The history of exchanges: the finest bars that they still have, as ticks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from app.errors import OutOfReach, ProviderUnavailable
from tests.clock import FakeClock
from tests.exchanges.asking import asking, resolved
from tests.exchanges.binance import binance, kline
from tests.exchanges.binance import symbol as binance_symbol
from tests.exchanges.coinbase import coinbase, product
from tests.exchanges.kraken import bar, id_of, kraken, pair
from tests.exchanges.site import Said, serving

NOW = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BTC = {id_of(entry): entry for entry in [pair("BTC", "USD")]}


def starts(length: int, count: int) -> list[int]:
    """The last so many bars of this many seconds, the unfinished one last."""
    last = int(NOW.timestamp()) // length * length
    return [last - length * back for back in reversed(range(count))]


def krakens_bars() -> dict[int, list[list[object]]]:
    return {minutes: [bar(start) for start in starts(minutes * 60, 800)] for minutes in (1, 5, 60)}


def test_a_hole_of_an_hour_is_four_ticks_for_each_minute_and_ends_before_the_unfinished_one() -> None:
    with kraken(BTC, {}, krakens_bars()) as site, asking("kraken", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        page = source.history(instrument, NOW - HOUR, NOW)
    assert (page.begin, page.end, page.resolution) == (NOW - HOUR, NOW.replace(second=0), MINUTE)
    times = [tick.timestamp for tick in page.ticks]
    assert times == sorted(set(times))
    assert page.begin <= times[0]
    assert times[-1] < page.end
    per_minute = Counter(time.replace(second=0, microsecond=0) for time in times)
    assert list(per_minute.values())[1:] == [4] * 59
    assert {tick.origin for tick in page.ticks} == {"backfill"}
    assert {str(tick.price) for tick in page.ticks} == {"60000.1", "60009.5", "59991.25", "60000.7"}
    assert {(tick.symbol, tick.source, tick.volume_24h) for tick in page.ticks} == {("BTC@kraken", "kraken", None)}


def test_what_is_too_old_for_minutes_comes_in_five_minutes_then_in_hours_then_not_at_all() -> None:
    begin, end = NOW - timedelta(days=40), NOW
    pages = []
    with kraken(BTC, {}, krakens_bars()) as site, asking("kraken", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        while True:
            try:
                pages.append(source.history(instrument, begin, end))
            except OutOfReach as error:
                assert str(error) == "kraken keeps no bars of BTC/USD that are so old"
                break
            end = pages[-1].begin
    assert [(page.resolution, (NOW - page.begin) // HOUR) for page in pages] == [
        (MINUTE, 11), (5 * MINUTE, 59), (HOUR, 719),
    ]  # fmt: skip
    assert all(newer.begin == older.end for newer, older in pairwise(pages))
    assert all(page.begin <= tick.timestamp < page.end for page in pages for tick in page.ticks)


def test_bars_without_a_trade_are_no_observations() -> None:
    rows = [bar(start, trades=index % 2) for index, start in enumerate(starts(60, 11))]
    with kraken(BTC, {}, {1: rows}) as site, asking("kraken", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        page = source.history(instrument, NOW.replace(second=0) - 10 * MINUTE, NOW)
    assert len(page.ticks) == 5 * 4
    assert (page.begin, page.end) == (NOW.replace(second=0) - 10 * MINUTE, NOW.replace(second=0))


def test_a_hole_within_the_unfinished_minute_has_nothing_yet() -> None:
    with kraken(BTC, {}, krakens_bars()) as site, asking("kraken", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        page = source.history(instrument, NOW - timedelta(seconds=20), NOW)
    assert (page.ticks, page.begin, page.end) == ((), NOW - timedelta(seconds=20), NOW - timedelta(seconds=20))


def test_coinbase_gives_300_candles_a_call_newest_first_low_before_high() -> None:
    candles = {60: [[start, "1.0", 4, 2.5, "3.25000000000000001", 7] for start in starts(60, 1000)]}
    begin, end = NOW - timedelta(hours=15), NOW - timedelta(hours=1)
    with coinbase([product("BTC", "USD")], {}, candles) as site, asking("coinbase", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@coinbase")
        page = source.history(instrument, begin, end)
        older = source.history(instrument, begin, page.begin)
    assert (page.begin, page.end) == (end.replace(second=0) + MINUTE - timedelta(minutes=300), end)
    assert (older.end, older.begin) == (page.begin, page.begin - timedelta(minutes=300))
    whole = [tick.price for tick in older.ticks[:4]]
    assert whole == [Decimal("2.5"), Decimal("1.0"), Decimal(4), Decimal("3.25000000000000001")]
    assert len(older.ticks) == 1200


def test_binance_gives_1000_klines_a_call_whole_as_they_are_flat() -> None:
    klines = {"1m": [kline(start * 1000, 60, "60000.00000000") for start in starts(60, 3000)]}
    begin = NOW - timedelta(days=2)
    with (
        binance([binance_symbol("BTC", "USDT")], [], klines) as site,
        asking("binance", site, FakeClock(NOW)) as source,
    ):
        (instrument,) = resolved(source, "BTC-USDT@binance")
        page = source.history(instrument, begin, NOW)
    assert page.begin == NOW.replace(second=0) - 1000 * MINUTE
    assert len(page.ticks) == 1000


def test_of_an_exchange_that_does_not_say_how_much_it_keeps_only_what_came_is_known() -> None:
    rows = starts(60, 31)

    def answer(path: str, query: dict[str, str]) -> object:
        if "markets" in path or "trading-pairs" in path or "currencies" in path:
            return BITSTAMP.get(path.rstrip("/").rpartition("/")[2], [])
        since = int(query["start"])
        bars = [
            {"timestamp": str(at), "open": "1", "high": "3", "low": "0.5", "close": "2", "volume": "5"}
            for at in rows
            if at >= since and query["step"] == "60"
        ]
        return {"data": {"pair": "BTC/USD", "ohlc": bars}}

    with serving(answer) as site, asking("bitstamp", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@bitstamp")
        page = source.history(instrument, NOW - 5 * HOUR, NOW)
        assert page.begin == NOW.replace(second=0) - 30 * MINUTE
        with pytest.raises(OutOfReach, match="bitstamp keeps no bars of BTC/USD that are so old"):
            source.history(instrument, NOW - 5 * HOUR, page.begin)


BITSTAMP = {
    "markets": [
        {
            "name": "BTC/USD", "market_symbol": "btcusd", "base_currency": "BTC", "base_decimals": 8,
            "counter_currency": "USD", "counter_decimals": 0, "minimum_order_value": "10", "trading": "Enabled",
            "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled", "market_type": "SPOT",
            "description": "Bitcoin / U.S. dollar", "url_symbol": "btcusd", "minimum_order": "10.0 USD",
        }
    ],
    "trading-pairs-info": [
        {
            "name": "BTC/USD", "url_symbol": "btcusd", "base_decimals": 8, "counter_decimals": 0,
            "minimum_order": "10.0 USD", "trading": "Enabled", "instant_and_market_orders": "Enabled",
            "instant_order_counter_decimals": 2, "description": "Bitcoin / U.S. dollar",
        }
    ],
}  # fmt: skip


def test_a_pair_that_is_gone_has_no_history() -> None:
    pairs = dict(BTC)
    clock = FakeClock(NOW)
    with kraken(pairs, {}, krakens_bars()) as site, asking("kraken", site, clock) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        pairs["XETHZUSD"] = pair("ETH", "USD")
        del pairs["XXBTZUSD"]
        with pytest.raises(OutOfReach, match="Unknown asset pair"):
            source.history(instrument, NOW - HOUR, NOW)
        clock.advance(86_401)
        with pytest.raises(OutOfReach, match="kraken has the pair of BTC@kraken no more"):
            source.history(instrument, NOW - HOUR, NOW)


def test_an_exchange_without_any_active_pair_is_being_mended_and_has_its_history_later() -> None:
    pairs = dict(BTC)
    clock = FakeClock(NOW)
    with kraken(pairs, {}, krakens_bars()) as site, asking("kraken", site, clock) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        (id_,) = pairs
        pairs[id_] = pair("BTC", "USD", status="maintenance")
        clock.advance(86_401)
        with pytest.raises(ProviderUnavailable, match="kraken has no active pair at all just now"):
            source.history(instrument, NOW - HOUR, NOW)
        pairs.update(BTC)
        clock.advance(601)
        assert source.history(instrument, NOW - HOUR, NOW).ticks


def test_an_exchange_that_is_away_is_asked_again_and_not_out_of_reach() -> None:
    with kraken(BTC, {}, krakens_bars()) as site, asking("kraken", site, FakeClock(NOW)) as source:
        (instrument,) = resolved(source, "BTC@kraken")
        site.instead += [Said(b"", 502)]
        with pytest.raises(ProviderUnavailable):
            source.history(instrument, NOW - HOUR, NOW)
