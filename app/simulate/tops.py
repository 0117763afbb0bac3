"""The rows of /coins/markets: every coin of a market with its rank, and the day behind it."""

from __future__ import annotations

from dataclasses import dataclass

from app.simulate.digits import Digits, Json, digits_of, rounded
from app.simulate.market import Coin, Market, Observation
from app.simulate.timeline import DAY, iso


@dataclass(frozen=True, slots=True)
class Ranked:
    """A coin, its place by market cap (None where no cap is known), and its newest observation."""

    coin: Coin
    rank: int | None
    latest: Observation


def ordered(market: Market, currency: str, now: int, order: str) -> list[Ranked]:
    """The coins observed so far, in one of CoinGecko's orders; an order it does not know is the largest cap first."""
    observed = [(coin, market.at(coin.id, currency, now)) for coin in market.coins.values()]
    known = [(coin, latest) for coin, latest in observed if latest is not None]
    # Equal caps, and those nobody knows, stay in the order of ids.
    known.sort(key=lambda each: -_size(each[1].market_cap))
    ranked = [
        Ranked(coin, None if latest.market_cap is None else place, latest)
        for place, (coin, latest) in enumerate(known, start=1)
    ]
    match order:
        case "market_cap_asc":
            ranked.reverse()
        case "volume_desc" | "volume_asc":
            ranked.sort(key=lambda each: _size(each.latest.volume_24h), reverse=order == "volume_desc")
        case "id_desc" | "id_asc":
            ranked.sort(key=lambda each: each.coin.id, reverse=order == "id_desc")
    return ranked


def market_row(market: Market, each: Ranked, currency: str, now: int, decimals: int | None) -> Json:
    """The row of one coin; null for what neither a recording nor an invention can know, as a highest price ever."""
    coin, latest = each.coin, each.latest
    low, high = market.extremes(coin.id, currency, now - DAY, now) or (latest.price, latest.price)
    before = market.at(coin.id, currency, now - DAY)
    price_change = _change(latest.price, before.price if before else None)
    cap_change = _change(latest.market_cap, before.market_cap if before else None)
    return {
        "id": coin.id,
        "symbol": coin.symbol.lower(),
        "name": coin.name,
        "image": "missing_large.png",
        "current_price": rounded(latest.price, decimals),
        "market_cap": latest.market_cap,
        "market_cap_rank": each.rank,
        "fully_diluted_valuation": _fully_diluted(coin, latest),
        "total_volume": latest.volume_24h,
        "high_24h": rounded(high, decimals),
        "low_24h": rounded(low, decimals),
        "price_change_24h": price_change[0],
        "price_change_percentage_24h": price_change[1],
        "market_cap_change_24h": cap_change[0],
        "market_cap_change_percentage_24h": cap_change[1],
        "circulating_supply": coin.supply,
        "total_supply": coin.supply,
        "max_supply": coin.max_supply,
        "ath": None,
        "ath_change_percentage": None,
        "ath_date": None,
        "atl": None,
        "atl_change_percentage": None,
        "atl_date": None,
        "roi": None,
        "last_updated": iso(latest.timestamp).replace("Z", ".000Z"),
    }


def _size(number: Digits | None) -> float:
    return -1.0 if number is None else float(number)


def _change(now: Digits | None, before: Digits | None) -> tuple[float | None, float | None]:
    """The difference, and the same in percent."""
    if now is None or before is None:
        return None, None
    return float(now) - float(before), round((float(now) / float(before) - 1) * 100, 5)


def _fully_diluted(coin: Coin, latest: Observation) -> Digits | None:
    if latest.market_cap is None or coin.supply is None:
        return None
    return digits_of(float(latest.price) * (coin.max_supply or coin.supply))
