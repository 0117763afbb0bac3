"""``make demo``: the whole program against a local market, in a folder of its own, with no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from app import config, log
from app.alerts import rules_file
from app.cli.run import start
from app.clock import SystemClock
from app.config import Settings
from app.embedded import EmbeddedPostgres
from app.errors import CannotWrite
from app.instance import LOCK, instance_lock
from app.simulate.market import Market
from app.simulate.pages import ready_line
from app.simulate.recording import read
from app.simulate.server import Server
from app.simulate.synthetic import lively_market
from app.simulate.timeline import Timeline

_FOLDER = Path("demo")
_ALERTS, _RULES = "alerts.txt", "rules.toml"
_SYNTHETIC_WATCH = "BTC,ETH,ZEC"


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="Replay this recording: CSV, gzip or not."
)
@click.option("--speed", type=float, default=60.0, show_default=True, help="Market seconds per second.")
def command(data: Path | None, speed: float) -> None:
    """Show everything on a SYNTHETIC market, or on a recorded one.

    Ticks, candles and alerts go to the folder demo/, which is made anew at each start: nothing of it mixes with real
    history. Its rules are those that are shipped, in demo/rules.toml; no channel hears of its alerts.
    """
    log.configure("warning")
    clock = SystemClock()
    timeline = Timeline(clock, speed)
    market: Market = read(data, timeline.start) if data is not None else lively_market(timeline.start)
    _clear(_FOLDER)
    _lay_out_rules(_FOLDER)
    with Server(market, timeline, clock) as server:
        settings = _settings(_SYNTHETIC_WATCH if data is None else _everything(market), server.url)
        click.echo(ready_line(market, timeline, server.url))
        start(settings, with_api=True, quiet=True, psql=f"make psql DATA_DIR={settings.data_dir} DATABASE_URL=")


def _settings(watch: str, url: str) -> Settings:
    """Of the environment it takes nothing that leads out of the demo: neither a market, nor a file, nor a channel."""
    return config.load(
        env_file=None,
        watch=watch,
        source="coingecko",
        quote="USD",
        tick_seconds=1.0,
        view_refresh_seconds=5.0,
        coingecko_plan="keyless",
        coingecko_api_key="",
        coingecko_base_url=url,
        coingecko_calls_per_minute=0,
        coingecko_calls_per_month=0,
        database_url="",
        data_dir=_FOLDER / "data",
        alerts_file=_FOLDER / _ALERTS,
        rules_file=_FOLDER / _RULES,
        notify_urls="",
        notify_allow="",
    )


def _everything(market: Market) -> str:
    """Every coin of a recording, by its id: its ticker may be one that several coins share."""
    return ",".join(f"{coin.symbol.upper()}={coin.id}" for coin in market.coins.values())


def _lay_out_rules(folder: Path) -> None:
    """A file of its own, to be played with: the real one's alerts may wake somebody, and name channels."""
    path = folder / _RULES
    try:
        path.unlink(missing_ok=True)  # not through a link, to what somebody keeps elsewhere
        shutil.copyfile(rules_file.SHIPPED, path)
    except OSError as error:
        raise CannotWrite(f"{path}: cannot be written ({error.strerror})") from error


def _clear(folder: Path) -> None:
    """Take away what the last demo left. Raises AlreadyRunning if one runs."""
    data = folder / "data"
    with instance_lock(data):
        # One that was killed may have left its server running, whose files must not vanish under it.
        EmbeddedPostgres(data).end_left_over()
        try:
            # What we made, and nothing else: a person may keep a recording here.
            for path in [*folder.glob(f"{_ALERTS}*"), *data.iterdir()]:
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
        except OSError as error:
            raise CannotWrite(f"{folder}: cannot be cleared ({error.strerror}: {error.filename})") from error
