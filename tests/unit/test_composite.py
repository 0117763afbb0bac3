"""BTC@all: the mean over the fresh markets of BTC, without those that are stale or far off."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from app.composite import Composites, How
from app.model import Batch, Instrument, Tick
from app.watch import Composite

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
MARKETS = ("coingecko", "kraken", "coinbase")
SYMBOL = {"coingecko": "BTC", "kraken": "BTC@kraken", "coinbase": "BTC@coinbase"}


def composites(how: How = "mean", interval: float = 1.0, down: Collection[str] = MARKETS) -> Composites:
    """``down``: the markets that nobody waits for until they answer."""
    made = Composites(how, lambda _market: interval, lambda: down)
    assert made.want([Composite("BTC", "USD", "BTC@all")]) == [Instrument("BTC", "USD", "all", "BTC@all")]
    for market in MARKETS:
        made.watch(market, [Instrument("BTC", "USD", market, SYMBOL[market])])
    return made


def tick(market: str, price: str, at: float = 0, volume: str | None = "10", source: str | None = None) -> Tick:
    time, volume_24h = NOW + timedelta(seconds=at), None if volume is None else Decimal(volume)
    return Tick(SYMBOL[market], time, Decimal(price), volume_24h, None, time, source or market)


def fed(to: Composites, *ticks: Tick) -> list[Tick]:
    """A batch for each tick; the ticks that were added."""
    batches = [to.extend(Batch(t.source, t.fetched_at, (t,))) for t in ticks]
    return [added for batch in batches for added in batch.ticks[1:]]


def test_it_is_the_mean_price_and_the_sum_of_the_volumes() -> None:
    *_, last = fed(composites(), tick("coingecko", "100"), tick("kraken", "101", 1), tick("coinbase", "103.00", 2))
    assert (last.symbol, last.source, last.markets) == ("BTC@all", "all", 3)
    assert last.price == pytest.approx(Decimal(304) / 3)
    assert (last.volume_24h, last.market_cap) == (30, None)
    assert last.timestamp == last.fetched_at == NOW + timedelta(seconds=2)


def test_the_median_is_not_moved_by_one_market() -> None:
    *_, last = fed(composites("median"), tick("coingecko", "100"), tick("kraken", "101", 1), tick("coinbase", "108", 2))
    assert (last.price, last.markets) == (101, 3)


def test_a_market_far_off_the_median_is_left_out_and_said_once() -> None:
    made = composites()
    with capture_logs() as said:
        *_, last = fed(
            made,
            tick("coingecko", "100"),
            tick("kraken", "101", 1),
            tick("coinbase", "120", 2),
            tick("kraken", "102", 3),
        )
    assert (last.price, last.volume_24h, last.markets) == (101, 20, 2)
    assert made.made["BTC@all"].off == ["coinbase"]
    assert [line["event"] for line in said] == ["coinbase is left out of BTC@all: it is more than 10 % off."]
    with capture_logs() as said:
        fed(made, tick("coinbase", "101", 4))
    assert [line["event"] for line in said] == ["coinbase is back in BTC@all."]


def test_exactly_ten_percent_off_is_not_too_far() -> None:
    *_, last = fed(composites(), tick("coingecko", "100"), tick("kraken", "100", 1), tick("coinbase", "110", 2))
    assert last.markets == 3


def test_two_markets_that_contradict_each_other_make_no_price() -> None:
    assert [t.price for t in fed(composites(), tick("coingecko", "100"), tick("kraken", "150", 1))] == [100]


def test_a_market_that_does_not_answer_any_more_is_stale() -> None:
    made = composites()
    *_, last = fed(made, tick("coingecko", "100"), tick("kraken", "104", 1), tick("kraken", "104", 61))
    assert (last.price, last.markets) == (104, 1)
    assert made.made["BTC@all"].stale == ["coingecko"]


def test_a_slow_market_has_three_of_its_turns() -> None:
    *_, last = fed(
        composites(interval=268), tick("coingecko", "100"), tick("kraken", "104", 1), tick("kraken", "104", 800)
    )
    assert last.markets == 2
    *_, last = fed(
        composites(interval=268), tick("coingecko", "100"), tick("kraken", "104", 1), tick("kraken", "104", 805)
    )
    assert last.markets == 1


def test_a_market_that_repeats_an_old_observation_is_stale() -> None:
    made = composites()
    old = tick("coingecko", "100")
    again = Tick(**{**{f: getattr(old, f) for f in Tick.__slots__}, "fetched_at": NOW + timedelta(seconds=599)})
    *_, last = fed(made, old, tick("kraken", "104", 599), again, tick("kraken", "104", 600))
    assert last.markets == 2
    *_, last = fed(made, tick("kraken", "104", 601))
    assert last.markets == 1


def test_the_same_time_again_is_no_new_observation() -> None:
    made = composites()
    assert len(fed(made, tick("kraken", "100", 5), tick("coingecko", "102", 3), tick("coingecko", "102", 4))) == 1
    assert [t.price for t in fed(made, tick("kraken", "104", 6))] == [103]


def test_a_late_tick_changes_nothing() -> None:
    made = composites()
    fed(made, tick("kraken", "100", 5))
    assert fed(made, tick("kraken", "90", 4)) == []
    assert [t.price for t in fed(made, tick("coingecko", "102", 6))] == [101]


def test_what_a_stand_in_answers_is_not_its_market_once_more() -> None:
    made = composites()
    assert fed(made, tick("coingecko", "100", source="kraken")) == []


def test_pairs_in_another_currency_are_no_part_of_it() -> None:
    made = composites()
    made.watch("kraken", [Instrument("BTC", "EUR", "kraken", "BTC-EUR@kraken")])
    assert set(made.parts) == {"BTC", "BTC@coinbase"}


def test_a_market_that_is_watched_no_more_is_gone_at_once() -> None:
    made = composites()
    fed(made, tick("coingecko", "100"), tick("kraken", "104", 1))
    made.watch("coingecko", [])
    assert [(t.price, t.markets) for t in fed(made, tick("kraken", "104", 2))] == [(104, 1)]


def test_after_a_restart_it_goes_on_with_all_its_markets() -> None:
    made = composites()
    made.remember([tick("coingecko", "100"), tick("kraken", "102")])
    made.remember_last("BTC@all", NOW)
    assert fed(made, tick("coingecko", "100")) == []
    assert [(t.price, t.markets) for t in fed(made, tick("kraken", "104", 1))] == [(102, 2)]


def test_volumes_that_nobody_published_are_not_summed() -> None:
    made = composites()
    first, second = fed(made, tick("kraken", "100", volume=None), tick("coinbase", "100", 1))
    assert (first.volume_24h, second.volume_24h) == (None, 10)


def test_after_a_restart_it_waits_for_the_first_answer_of_each_market() -> None:
    made = composites(down=())
    made.remember([tick("coingecko", "100"), tick("kraken", "102"), tick("coinbase", "104")])
    assert fed(made, tick("kraken", "103", 5), tick("coingecko", "101", 6), tick("kraken", "103", 7)) == []
    assert made.made["BTC@all"].markets == []
    assert [(t.price, t.markets) for t in fed(made, tick("coinbase", "105", 8))] == [(103, 3)]
    assert [t.markets for t in fed(made, tick("kraken", "103", 9))] == [3]


def test_it_does_not_wait_for_a_market_that_is_known_to_be_down() -> None:
    made = composites(down=["coinbase"])
    assert [t.markets for t in fed(made, tick("kraken", "103"), tick("coingecko", "101", 1))] == [2]


def test_it_waits_a_minute_and_no_longer() -> None:
    made = composites(down=())
    assert fed(made, tick("kraken", "103"), tick("coingecko", "101", 59), tick("kraken", "103", 59.9)) == []
    assert [(t.price, t.markets) for t in fed(made, tick("kraken", "103", 60))] == [(102, 2)]


def test_a_market_that_is_watched_later_makes_nobody_wait() -> None:
    made = composites(down=())
    made.watch("coinbase", [])
    assert len(fed(made, tick("kraken", "103"), tick("coingecko", "101", 1))) == 1
    made.watch("coinbase", [Instrument("BTC", "USD", "coinbase", "BTC@coinbase")])
    assert [t.markets for t in fed(made, tick("kraken", "103", 2))] == [2]


def test_the_answer_of_a_stand_in_is_none_of_its_own_market() -> None:
    made = composites(down=())
    made.watch("coinbase", [])
    assert fed(made, tick("coingecko", "100", source="kraken"), tick("coingecko", "100", 1)) == []


def test_a_quiet_pair_of_a_market_that_answers_for_others_is_fresh_for_ten_minutes() -> None:
    made = composites()
    made.watch("kraken", [Instrument(base, "USD", "kraken", f"{base}@kraken") for base in ("BTC", "ETH")])
    fed(made, tick("kraken", "102"))

    def at(seconds: float) -> int | None:
        time = NOW + timedelta(seconds=seconds)
        of_eth = Tick("ETH@kraken", time, Decimal(9), None, None, time, "kraken")
        assert made.extend(Batch("kraken", time, (of_eth,))).ticks == (of_eth,)
        (added,) = fed(made, tick("coingecko", "100", seconds))
        return added.markets

    assert [at(90), at(599), at(601)] == [2, 2, 1]


def test_that_a_market_comes_and_goes_is_said_once_an_hour_and_is_no_warning() -> None:
    made = composites()

    def after_a_silence(seconds: float) -> None:
        """Kraken answers for the first time in two minutes, at this time."""
        fed(made, tick("coingecko", "100", seconds - 1), tick("kraken", "101", seconds))

    after_a_silence(1)
    with capture_logs() as said:
        for seconds in range(120, 3500, 120):
            after_a_silence(seconds)
    assert [(line["log_level"], line["event"]) for line in said] == [
        ("info", "kraken is left out of BTC@all: it is stale."),
        ("info", "kraken is back in BTC@all."),
    ]
    with capture_logs() as said:
        after_a_silence(3800)
    assert len(said) == 2
