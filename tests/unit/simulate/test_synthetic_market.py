from __future__ import annotations

from itertools import pairwise

import pytest

from app.simulate.coins import LEVELS
from app.simulate.synthetic import SyntheticMarket, largest_move, lively_market

START = 1_795_230_900  # 2026-11-21T03:15:00Z
DAY = 86_400
WATCHED = ("bitcoin", "ethereum", "zcash")


def alerts_of_the_shipped_rule(prices: list[float], window: int) -> int:
    """How often a value comes to be more than 2 % off the mean of the window before it."""
    count, hot = 0, False
    for i in range((window + 1) // 2, len(prices)):
        before = prices[max(0, i - window) : i]
        was_hot, hot = hot, abs(prices[i] / (sum(before) / len(before)) - 1) > 0.02
        count += hot and not was_hot
    return count


def prices_of(market: SyntheticMarket, coin_id: str, times: range) -> list[float]:
    return [float(market.at(coin_id, "usd", time).price) for time in times]


def test_the_same_seed_and_time_give_the_same_digits_on_every_machine_and_version() -> None:
    # Pinned: what a market shows must not depend on the Python or the C library it happens to run on.
    market = SyntheticMarket(7)
    seen = {coin: market.at(coin, "usd", 1_800_000_000) for coin in ("bitcoin", "zcash", "shiba-inu")}
    assert {coin: (each.price, each.volume_24h) for coin, each in seen.items()} == {
        "bitcoin": ("58780.72", "35681746079.74"),
        "shiba-inu": ("7.04202e-06", "106168165.13"),
        "zcash": ("491.48", "749795581.3"),
    }


def test_a_moment_looks_the_same_whichever_moments_were_looked_at_before() -> None:
    one, other = SyntheticMarket(3), SyntheticMarket(3)
    times = range(START, START + 600, 60)
    forwards = [one.at("zcash", "usd", time) for time in times]
    backwards = [other.at("zcash", "usd", time) for time in reversed(times)]
    assert forwards == backwards[::-1]
    assert forwards != [SyntheticMarket(4).at("zcash", "usd", time) for time in times]


def test_every_second_is_a_new_observation_stamped_with_that_second() -> None:
    market = SyntheticMarket(1)
    observations = [market.at("bitcoin", "usd", START + second) for second in range(120)]
    assert [each.timestamp for each in observations] == [START + second for second in range(120)]
    assert len({each.price for each in observations}) > 100


@pytest.mark.parametrize("start", [START + day * DAY + day * 7_919 for day in range(6)])
def test_without_a_seed_the_market_moves_while_a_daemon_watches_its_first_ten_minutes(start: int) -> None:
    market = lively_market(start)
    assert market.seed >= 1
    assert not any(SyntheticMarket(seed).is_lively(start) for seed in range(1, market.seed))
    seconds = max(largest_move(prices_of(market, coin, range(start, start + 601)), 300) for coin in WATCHED)
    assert seconds > 0.03
    # A daemon that polls once a second at speed 60 sees one price a minute, and must not miss it.
    minutes = [prices_of(market, coin, range(start, start + 601, 60)) for coin in WATCHED]
    assert any(alerts_of_the_shipped_rule(prices, 5) for prices in minutes)


def test_most_hours_are_calm_and_a_day_has_a_few_sudden_moves() -> None:
    days, coins, step = 2, ("bitcoin", "ethereum", "zcash", "tether"), 30
    alerts = dict.fromkeys(coins, 0)
    for seed in (1, 2):
        market = SyntheticMarket(seed)
        for coin in coins:
            alerts[coin] += alerts_of_the_shipped_rule(
                prices_of(market, coin, range(START, START + days * DAY, step)), 10
            )
    assert alerts.pop("tether") == 0
    assert all(2 * days * 2 <= count <= 2 * days * 6 for count in alerts.values()), alerts


def test_between_sudden_moves_and_within_them_no_price_jumps_from_one_second_to_the_next() -> None:
    market = lively_market(START)
    for coin in WATCHED:
        prices = prices_of(market, coin, range(START, START + 1_800))
        assert max(abs(b / a - 1) for a, b in pairwise(prices)) < 0.01


def test_every_coin_stays_near_its_level_for_years() -> None:
    market = SyntheticMarket(2)
    for level in LEVELS:
        coin = level.coin.id
        for time in range(START, START + 1_500 * DAY, 50 * DAY + 4_321):
            each = market.at(coin, "usd", time)
            assert 0.3 < float(each.price) / level.price < 2
            assert each.volume_24h is not None
            assert 0.5 < float(each.volume_24h) / level.volume < 2
            assert each.market_cap is not None
            assert level.coin.supply is not None
            assert float(each.market_cap) == pytest.approx(float(each.price) * level.coin.supply, rel=1e-3)


def test_euro_and_bitcoin_prices_are_cross_rates_of_the_same_moment() -> None:
    market = SyntheticMarket(2)
    usd, btc, eur = (market.at("ethereum", currency, START) for currency in ("usd", "btc", "eur"))
    bitcoin = market.at("bitcoin", "usd", START)
    assert float(btc.price) == pytest.approx(float(usd.price) / float(bitcoin.price), rel=1e-5)
    assert 1 < float(usd.price) / float(eur.price) < 1.3
    assert market.at("bitcoin", "btc", START).price == "1.0"
    assert {each.timestamp for each in (usd, btc, eur)} == {START}


def test_the_extremes_of_a_day_enclose_the_prices_at_its_ends() -> None:
    market = SyntheticMarket(2)
    low, high = market.extremes("zcash", "usd", START, START + DAY)
    ends = [float(market.at("zcash", "usd", time).price) for time in (START, START + DAY)]
    assert float(low) <= min(ends) <= max(ends) <= float(high)
    assert float(low) < float(high)


def test_the_coins_are_well_known_ones_in_the_order_of_their_ids() -> None:
    market = SyntheticMarket(1)
    assert list(market.coins) == sorted(market.coins)
    assert len(market.coins) >= 23
    assert {coin.symbol for coin in market.coins.values()} >= {"BTC", "ETH", "ZEC", "SOL", "DOGE", "XMR"}
    assert "synthetic" in market.label
    assert "SYNTHETIC" in market.title
