"""CoinGecko's endpoints: what is answered to which path and parameters, in CoinGecko's forms."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from app import log
from app.simulate.digits import Digits, Json, rounded
from app.simulate.market import Market, Observation
from app.simulate.timeline import DAY, Timeline, iso
from app.simulate.tops import market_row, ordered

Query = Mapping[str, str]

RATE_LIMIT_BODY: Json = {
    "status": {
        "error_code": 429,
        "error_message": "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing"
        " to subscribe to our API plans for higher rate limits.",
    }
}

_MAX_DAYS = 365  # further back the free plans are refused
_MAX_PER_PAGE = 250
_STEPS = {"hourly": 3_600, "daily": DAY}

_log = log.get(__name__)


class Refusal(Exception):
    """A request that CoinGecko does not answer with data."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class CoinGecko:
    """Answers requests from a market, at the market time of the moment. Safe to use from several threads."""

    def __init__(self, market: Market, timeline: Timeline) -> None:
        self._market, self._timeline = market, timeline
        self._end_is_told = threading.Lock()  # taken by the first to see the end, and never given back

    def answer(self, path: str, query: Query) -> Json:
        """The reply to a path beneath /api/v3. Raises Refusal where CoinGecko sends an error."""
        for pattern, reply in _ROUTES:
            if match := re.fullmatch(pattern, path):
                return reply(self, query, *match.groups())
        raise Refusal(404, {"error": f"no such endpoint in this simulator: {path}"})

    def ping(self, _: Query) -> Json:
        return {"gecko_says": "(V3) To the Moon!"}

    def simple_price(self, query: Query) -> Json:
        ids, currencies = _needed(query, "ids"), _needed(query, "vs_currencies").lower().split(",")
        decimals, now = _precision(query), self._now()
        # CoinGecko leaves unknown ids out, and does not trim: "bitcoin, ethereum" asks for a coin called " ethereum".
        wanted = set(ids.split(","))
        return {
            coin_id: self._inner(coin_id, currencies, now, query, decimals)
            for coin_id in self._market.coins
            if coin_id in wanted
        }

    def _inner(self, coin_id: str, currencies: list[str], now: int, query: Query, decimals: int | None) -> Json:
        fields: dict[str, Json] = {}
        for currency in dict.fromkeys(currencies):
            latest = self._market.at(coin_id, currency, now) if currency in self._market.currencies else None
            if latest is None:
                continue
            fields[currency] = rounded(latest.price, decimals)
            if _asked(query, "include_market_cap"):
                fields[f"{currency}_market_cap"] = latest.market_cap
            if _asked(query, "include_24hr_vol"):
                fields[f"{currency}_24h_vol"] = latest.volume_24h
            if _asked(query, "include_24hr_change"):
                fields[f"{currency}_24h_change"] = self._day_change(coin_id, currency, latest, now)
        latest = self._market.at(coin_id, self._market.currencies[0], now)
        if latest is not None and _asked(query, "include_last_updated_at"):
            fields["last_updated_at"] = latest.timestamp
        return fields

    def _day_change(self, coin_id: str, currency: str, latest: Observation, now: int) -> float | None:
        """In percent; None while the market does not reach back a day."""
        before = self._market.at(coin_id, currency, now - DAY)
        return None if before is None else (float(latest.price) / float(before.price) - 1) * 100

    def supported_vs_currencies(self, _: Query) -> Json:
        return self._market.currencies

    def coins_list(self, _: Query) -> Json:
        coins = self._market.coins.values()
        return [{"id": coin.id, "symbol": coin.symbol.lower(), "name": coin.name} for coin in coins]

    def coins_markets(self, query: Query) -> Json:
        currency, decimals = self._currency(query), _precision(query)
        wanted = set(query["ids"].split(",")) if query.get("ids") else set(self._market.coins)
        size = min(_whole(query, "per_page", 100), _MAX_PER_PAGE)
        first = (_whole(query, "page", 1) - 1) * size
        now = self._now()
        ranked = ordered(self._market, currency, now, query.get("order", ""))
        page = [each for each in ranked if each.coin.id in wanted][first : first + size]
        return [market_row(self._market, each, currency, now, decimals) for each in page]

    def market_chart(self, query: Query, coin_id: str) -> Json:
        self._demand_coin(coin_id)
        currency, days, decimals = self._currency(query), _days(query, self._timeline.now()), _precision(query)
        now = self._now()
        step = _step(query, days * DAY, is_of_today=True)
        start = now - days * DAY
        return self._chart(coin_id, currency, [*range(start - start % -step, now, step), now], decimals)

    def market_chart_range(self, query: Query, coin_id: str) -> Json:
        self._demand_coin(coin_id)
        currency, decimals = self._currency(query), _precision(query)
        start, asked_end, now = _instant(query, "from"), _instant(query, "to"), self._now()
        if start < now - _MAX_DAYS * DAY:
            raise Refusal(401, _out_of_range(now))
        end = min(asked_end, now)
        step = _step(query, end - start, is_of_today=start >= now - DAY)
        times = [*range(start - start % -step, end + 1, step)]
        return self._chart(coin_id, currency, times + [now] * (asked_end >= now), decimals)

    def _demand_coin(self, coin_id: str) -> None:
        if coin_id not in self._market.coins:
            raise Refusal(404, {"error": "coin not found"})

    def _chart(self, coin_id: str, currency: str, times: Iterable[int], decimals: int | None) -> Json:
        seen = self._observations(coin_id, currency, times)
        return {
            "prices": _points((each.timestamp, rounded(each.price, decimals)) for each in seen),
            "market_caps": _points((each.timestamp, each.market_cap) for each in seen),
            "total_volumes": _points((each.timestamp, each.volume_24h) for each in seen),
        }

    def _observations(self, coin_id: str, currency: str, times: Iterable[int]) -> list[Observation]:
        """What was newest at those times, each observation once: none before a recording begins or after it ends."""
        found = (self._market.at(coin_id, currency, time) for time in times)
        return list({each.timestamp: each for each in found if each is not None}.values())

    def _currency(self, query: Query) -> str:
        currency = _needed(query, "vs_currency").lower()
        if currency not in self._market.currencies:
            raise Refusal(400, {"error": "invalid vs_currency"})
        return currency

    def _now(self) -> int:
        self._timeline.open()
        now, end = self._timeline.now(), self._market.end
        if end is not None and now > end and self._end_is_told.acquire(blocking=False):
            _log.info("The recording has ended; its last prices stand.", action="end", market_time=iso(end))
        return now


_ROUTES: tuple[tuple[str, Callable[..., Json]], ...] = (
    ("/ping", CoinGecko.ping),
    ("/simple/price", CoinGecko.simple_price),
    ("/simple/supported_vs_currencies", CoinGecko.supported_vs_currencies),
    ("/coins/list", CoinGecko.coins_list),
    ("/coins/markets", CoinGecko.coins_markets),
    ("/coins/([^/]+)/market_chart", CoinGecko.market_chart),
    ("/coins/([^/]+)/market_chart/range", CoinGecko.market_chart_range),
)


def _needed(query: Query, name: str) -> str:
    if not query.get(name):
        raise Refusal(422, {"error": f"Missing parameter {name}"})
    return query[name]


def _asked(query: Query, name: str) -> bool:
    return query.get(name, "").lower() == "true"


def _precision(query: Query) -> int | None:
    """Decimals of a price; None = all of them, which is also what no precision means here."""
    text = query.get("precision", "full")
    if text in ("", "full"):
        return None
    if not re.fullmatch(r"\d|1[0-8]", text, re.ASCII):
        raise Refusal(400, {"error": "invalid precision"})
    return int(text)


def _whole(query: Query, name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise Refusal(400, {"error": f"invalid {name}"})
    return int(text)


def _days(query: Query, now: int) -> int:
    if _needed(query, "days") == "max" or (days := _whole(query, "days", 1)) > _MAX_DAYS:
        raise Refusal(401, _out_of_range(now))
    return days


def _instant(query: Query, name: str) -> int:
    """UNIX seconds, from such, or from a date or time in ISO 8601."""
    text = _needed(query, name)
    if re.fullmatch(r"\d{1,11}", text, re.ASCII):
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(400, {"error": f"invalid {name}"}) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def _step(query: Query, seconds: int, *, is_of_today: bool) -> int:
    """Seconds from point to point in so long a span: every five minutes of the last day alone are kept."""
    fine = 300 if is_of_today and seconds <= DAY else 3_600
    return _STEPS.get(query.get("interval", "")) or (fine if seconds <= 90 * DAY else DAY)


def _out_of_range(now: int) -> Json:
    status: Json = {
        "timestamp": iso(now).replace("Z", ".000+00:00"),
        "error_code": 10012,
        "error_message": "Your request exceeds the allowed time range. Public API users are limited to querying"
        " historical data within the past 365 days. Upgrade to a paid plan to enjoy full historical data access:"
        " https://www.coingecko.com/en/api/pricing. ",
    }
    return {"error": {"status": status}}


def _points(pairs: Iterable[tuple[int, Digits | None]]) -> Json:
    return [[timestamp * 1000, value] for timestamp, value in pairs]
