"""What the simulator says about itself: the page at its root, and the line it prints when it is ready."""

from __future__ import annotations

from app.simulate.market import Market
from app.simulate.timeline import Timeline, iso

API_ROOT = "/api/v3"


def ready_line(market: Market, timeline: Timeline, url: str) -> str:
    """``simulate: SYNTHETIC market (seed 7) on http://127.0.0.1:8900/api/v3, market time ... at 60x``"""
    return f"simulate: {market.title} on {url}, market time {iso(timeline.now())} at {timeline.speed:g}x"


def about(market: Market, timeline: Timeline) -> str:
    """What this server is, and what can be asked of it."""
    coins = "\n".join(f"  {coin.id} ({coin.symbol})" for coin in market.coins.values())
    return f"""\
CryptoMonitor simulate: a local server that answers as CoinGecko does. It is not CoinGecko, and no price here is live.

Market       {market.title}
Prices       {"invented by a formula from the time and the seed" if market.end is None else _recorded(market.end)}
Market time  {iso(timeline.now())}, {_pace(timeline)}
Currencies   {", ".join(market.currencies)}

GET  {API_ROOT}/ping
GET  {API_ROOT}/simple/price?ids=bitcoin,ethereum&vs_currencies=usd&include_last_updated_at=true
GET  {API_ROOT}/simple/supported_vs_currencies
GET  {API_ROOT}/coins/list
GET  {API_ROOT}/coins/markets?vs_currency=usd
GET  {API_ROOT}/coins/bitcoin/market_chart?vs_currency=usd&days=1
GET  {API_ROOT}/coins/bitcoin/market_chart/range?vs_currency=usd&from={timeline.now() - 3_600}&to={timeline.now()}

To be refused for a while, as by CoinGecko's rate limit (seconds=0 ends it; without retry_after no such header):
POST /simulate/throttle?seconds=30&retry_after=5

Coins
{coins}
"""


def _recorded(end: int) -> str:
    return f"recorded, their times shifted; the last comes at {iso(end)} and then stands"


def _pace(timeline: Timeline) -> str:
    if not timeline.is_open:
        return f"waiting for the first price that is asked for, then at {timeline.speed:g}x"
    return f"at {timeline.speed:g}x until it has reached the present, then at 1x"
