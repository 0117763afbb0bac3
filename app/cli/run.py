"""``python -m app run``: the daemon, and the API as its child."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from app import __version__, config, log
from app.clock import SystemClock
from app.config import Settings
from app.errors import Stopping
from app.main import run
from app.tasks import Halt

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  one can listen there, but not go there


@click.command()
@click.option("--no-api", is_flag=True, help="Without the API: it runs elsewhere, or not at all.")
@click.option("--quiet", is_flag=True, help="Log to DATA_DIR/cryptomonitor.log, and show only warnings here.")
def command(no_api: bool, quiet: bool) -> None:
    """Watch, store, alert: until Ctrl-C or SIGTERM.

    Settings come from the environment and .env; .env.example explains each. With DATABASE_URL empty it brings its own
    PostgreSQL, in DATA_DIR.
    """
    start(config.load(), with_api=not no_api, quiet=quiet, cautions=config.exposed())


def start(
    settings: Settings, *, with_api: bool, quiet: bool, psql: str = "make psql", cautions: Sequence[str] = ()
) -> None:
    """Run the daemon in the foreground until a signal ends it. ``psql`` is how to reach its database."""
    stop, reread = stop_on_signals(), Halt()
    reread_on_hangup(stop, reread)
    log.configure(settings.log_level, settings.log_format, file=log_file(settings) if quiet else None)
    if cautions:
        log.get(__name__).warning(" ".join(f"{caution}." for caution in cautions), action="secret_exposed")
    # Where nobody answered, and then we were asked to stop, that is no failure.
    with suppress(Stopping):
        run(
            settings,
            stop,
            SystemClock(),
            reread=reread,
            with_api=with_api,
            started=lambda: announce(settings, with_api, quiet, psql),
        )


def stop_on_signals() -> Halt:
    """A wish to stop that Ctrl-C and SIGTERM set, and a terminal that is closed (unless nohup said not to mind)."""
    stop = Halt()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    return stop


def reread_on_hangup(stop: Halt, reread: Halt) -> None:
    """Have SIGHUP set ``reread``, unless it says that our terminal was closed: then it is a wish to stop."""
    had_terminal = _has_terminal()

    def hear(*_: object) -> None:
        (stop if had_terminal and not _has_terminal() else reread).set()

    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, hear)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def log_file(settings: Settings) -> Path:
    """Where ``--quiet`` logs to."""
    return settings.data_dir / "cryptomonitor.log"


def announce(settings: Settings, with_api: bool, quiet: bool, psql: str) -> None:
    """Say where everything is."""
    lines = [f"CryptoMonitor {__version__} watches {settings.watch}. Ctrl-C stops it."]
    if with_api:
        host = _ANY_ADDRESS.get(settings.api_host, settings.api_host)
        lines.append(f"  API      http://{f'[{host}]' if ':' in host else host}:{settings.api_port}")
    lines.append(f"  psql     {psql}")
    lines.append(f"  alerts   tail -F {settings.alerts_file}")
    if quiet:
        lines.append(f"  log      {log_file(settings)}")
    click.echo("\n".join(lines))
