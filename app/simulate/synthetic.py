"""The synthetic market: invented prices, calm for hours, then moving all at once. A function of time and seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from statistics import fmean
from typing import NamedTuple

from app.simulate.coins import LEVELS, Level
from app.simulate.digits import Digits, digits_of
from app.simulate.market import Coin, Observation
from app.simulate.noise import Habit, Shocks, Waves

OPENING = 600  # seconds of the market, from its start on, within which a chosen seed has its first sudden move
LIVELY_MOVE = 0.03
_WATCHED = ("bitcoin", "ethereum", "zcash")

_HOUR, _DAY = 3_600, 86_400
# Seconds and heights: months move a price by tens of percent, hours by one, minutes by less than a thousandth.
_PRICE_WAVES = (
    *((61 * _DAY, 0.17), (11 * _DAY, 0.06), (50 * _HOUR, 0.025), (9 * _HOUR, 0.008)),
    *((6_100, 0.003), (1_200, 0.001), (250, 0.0004), (50, 0.0002), (9, 0.0001)),
)
_VOLUME_WAVES = ((3 * _DAY, 0.25), (7 * _HOUR, 0.06), (1_500, 0.002), (45, 0.0004))
_RATE_WAVES = ((40 * _DAY, 0.05), (20 * _HOUR, 0.004), (1_100, 0.0003))

_PRICE_SHOCKS = Habit(4 * _HOUR, 0.35, (0.025, 0.07), rise=(15, 75), fade=(2_400, 10_000), down=0.6)
_MARKET_SHOCKS = Habit(18 * _HOUR, 0.5, (0.03, 0.06), rise=(20, 75), fade=(3_600, 14_000), down=0.75)
_VOLUME_SURGES = Habit(12 * _HOUR, 0.6, (0.03, 0.2), rise=(40, 150), fade=(9_000, 30_000))

_USD_PER_EUR = 1.12


class _Moment(NamedTuple):
    price: float
    volume: float


class SyntheticMarket:
    """Prices nobody ever paid, around the levels of real coins; a new observation each second, without end."""

    currencies = ("usd", "eur", "btc")
    end = None

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.label = f"synthetic seed={seed}"
        self.title = f"SYNTHETIC market (seed {seed})"
        self._movers = {level.coin.id: _Mover(seed, level) for level in sorted(LEVELS, key=lambda each: each.coin.id)}
        self.coins: dict[str, Coin] = {coin_id: mover.level.coin for coin_id, mover in self._movers.items()}
        self._euro = Waves(f"{seed}/eur", _RATE_WAVES)
        self._common_waves = Waves(f"{seed}/common", _PRICE_WAVES)
        self._common_shocks = Shocks(f"{seed}/common", _MARKET_SHOCKS)
        # What moves all coins is asked for once a coin; the day's samples of `extremes` come again with every request.
        self._common = lru_cache(maxsize=512)(self._common_at)
        self._moment = lru_cache(maxsize=1 << 14)(self._moment_at)

    def at(self, coin_id: str, currency: str, time: int) -> Observation:
        moment, rate = self._moment(coin_id, time), self._usd_per(currency, time)
        supply = self.coins[coin_id].supply
        return Observation(
            time,
            digits_of(moment.price / rate),
            digits_of(moment.volume / rate),
            None if supply is None else digits_of(supply * moment.price / rate),
        )

    def extremes(self, coin_id: str, currency: str, start: int, end: int) -> tuple[Digits, Digits]:
        """Of a sample every five minutes, and of both ends."""
        times = (start, *range(start - start % -300, end, 300), end)
        prices = [self._moment(coin_id, time).price / self._usd_per(currency, time) for time in times]
        return digits_of(min(prices)), digits_of(max(prices))

    def is_lively(self, start: int) -> bool:
        """Whether BTC, ETH or ZEC moves by more than 3 % off its trailing five-minute mean in the first ten minutes.

        As seen by one who looks every ten seconds, and also by one who looks only once a minute.
        """
        return any(
            self._largest_move(coin_id, start, 60) > LIVELY_MOVE
            and self._largest_move(coin_id, start, 10) > LIVELY_MOVE
            for coin_id in _WATCHED
        )

    def _largest_move(self, coin_id: str, start: int, step: int) -> float:
        prices = [self._moment_at(coin_id, time).price for time in range(start, start + OPENING + 1, step)]
        return largest_move(prices, window=300 // step)

    def _usd_per(self, currency: str, time: int) -> float:
        if currency == "btc":
            return self._moment("bitcoin", time).price
        return _USD_PER_EUR * (1 + self._euro.at(time)) if currency == "eur" else 1.0

    def _moment_at(self, coin_id: str, time: int) -> _Moment:
        return self._movers[coin_id].at(time, *self._common(time))

    def _common_at(self, time: int) -> tuple[float, float]:
        return self._common_waves.at(time), self._common_shocks.at(time)


class _Mover:
    """One coin: what moves all coins, and what moves it alone."""

    def __init__(self, seed: int, level: Level) -> None:
        name = f"{seed}/{level.coin.id}"
        self.level = level
        self._waves = Waves(f"{name}/price", _PRICE_WAVES)
        self._shocks = Shocks(f"{name}/price", _PRICE_SHOCKS)
        self._volume_waves = Waves(f"{name}/volume", _VOLUME_WAVES)
        self._surges = Shocks(f"{name}/volume", _VOLUME_SURGES)

    def at(self, time: int, common_waves: float, common_shocks: float) -> _Moment:
        swing = self.level.swing
        calm = 1 + swing * (common_waves + self._waves.at(time))
        sudden = 1 + swing * (common_shocks + self._shocks.at(time))
        volume = (1 + self._volume_waves.at(time)) * (1 + self._surges.at(time))
        return _Moment(self.level.price * calm * sudden, self.level.volume * volume)


def largest_move(prices: Sequence[float], window: int) -> float:
    """How far a price gets off the mean of the ``window`` prices before it; looked at once half a window is there."""
    return max(
        abs(prices[i] / fmean(prices[max(0, i - window) : i]) - 1) for i in range((window + 1) // 2, len(prices))
    )


def lively_market(start: int) -> SyntheticMarket:
    """The market of the first seed, counting from 1, that has a sudden move right after the start."""
    return next(market for market in map(SyntheticMarket, count(1)) if market.is_lively(start))
