"""``python -m app simulate``: a local server that answers as CoinGecko does."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from app import log
from app.clock import SystemClock
from app.simulate.market import Market
from app.simulate.pages import ready_line
from app.simulate.recording import read
from app.simulate.server import Server
from app.simulate.synthetic import SyntheticMarket, lively_market
from app.simulate.timeline import Timeline

_log = log.get(__name__)


@click.command("simulate")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Replay this recording instead: a CSV file, gzip or not, with the columns ts,symbol,price,volume_24h_usd.",
)
@click.option("--speed", type=float, default=60.0, show_default=True, help="Market seconds per second.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="The port; 0 picks a free one."
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Which synthetic market; without it, the first that moves by more than 3 % in its first ten minutes.",
)
def command(data: Path | None, speed: float, host: str, port: int, seed: int | None) -> None:
    """Serve a CoinGecko-compatible API under /api/v3, from a recording or a SYNTHETIC market.

    Market time starts 24 hours ago, with the first price that is asked for, and runs at --speed until it has reached
    the present, then at 1. Every reply says in its header X-Market where the prices come from; / tells more. Point
    the daemon at it with COINGECKO_BASE_URL=http://127.0.0.1:8900/api/v3. Ctrl-C or SIGTERM ends it.
    """
    if data is not None and seed is not None:
        raise click.UsageError("--seed chooses a synthetic market, --data a recorded one: give one of them")
    log.configure()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = SystemClock()
    timeline = Timeline(clock, speed)
    market: Market = read(data, timeline.start) if data is not None else _synthetic(seed, timeline.start)
    with Server(market, timeline, clock, host, port) as server:
        click.echo(ready_line(market, timeline, server.url))
        stop.wait()


def _synthetic(seed: int | None, start: int) -> SyntheticMarket:
    if seed is None:
        return lively_market(start)
    market = SyntheticMarket(seed)
    if not market.is_lively(start):
        _log.info("This seed begins calm: no move of 3 % in its first ten market minutes.", action="seed", seed=seed)
    return market
