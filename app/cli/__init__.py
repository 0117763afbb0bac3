"""The command line: one file a command, imported when it is used."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
import traceback

import click

from app import __version__, log
from app.errors import CryptoMonitorError

COMMANDS = (
    *("run", "serve", "simulate", "demo", "migrate", "doctor", "psql"),
    *("watch", "rules", "backtest", "backfill", "quarantine", "rollback", "alerts", "channels", "silences"),
    *("detect-transfers", "token"),
)


class _Lazy(click.Group):
    """Imports a command's file only when that command is asked for: the daemon has no use for the API's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"app.cli.{cmd_name.replace('-', '_')}").command
        return command


@click.group(cls=_Lazy, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="CryptoMonitor")
def group() -> None:
    """CryptoMonitor watches crypto markets: ticks and candles in PostgreSQL, alerts in a file."""


def main() -> None:
    """Run a command. A failure ends with its reason as the last line on standard error, and its exit code."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # see app/__main__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.exit(group(prog_name="python -m app", standalone_mode=False))
    except CryptoMonitorError as error:
        _end(str(error), error.exit_code)
    except click.UsageError as error:
        if error.ctx is not None:
            # To the group: which commands there are.
            click.echo(error.ctx.get_usage() if error.ctx.parent else error.ctx.get_help(), err=True)
        _end(error.format_message(), error.exit_code)
    except click.ClickException as error:
        _end(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  the edge of the process: an unforeseen error, with all we know of it
        traceback.print_exception(error)
        _end(f"unforeseen: {type(error).__name__}: {error}", CryptoMonitorError.exit_code)


def _end(message: str, code: int) -> None:
    # Other threads may still be logging; the reason has to be the last line.
    log.silence()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(1)
    # Whoever reads our output may be gone, or the disk it goes to full.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.writelines(f"cryptomonitor: {line}\n" for line in message.splitlines())
        sys.stderr.flush()
    sys.exit(code)
