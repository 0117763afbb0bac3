"""``python -m app detect-transfers``: which of some transactions are the two ends of one transfer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from app.cli import parent
from app.cli.table import show
from app.errors import ConfigurationError
from app.transfers.collector import resting
from app.transfers.document import document
from app.transfers.found import Found
from app.transfers.matching import detect
from app.transfers.reading import from_csv, from_json
from app.transfers.reasons import counted
from app.transfers.transaction import Terms, Transaction, TransactionsRefused, parse_length, parse_share

T = TypeVar("T")

_MOST_NAMED = 5  # of a side of a group


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--window", default="24h", show_default=True, metavar="LENGTH", help="How much later an in may come.")
@click.option(
    "--order-slack", default="0s", show_default=True, metavar="LENGTH", help="How much earlier, as clocks differ."
)
@click.option(
    "--tolerance", default="0%", show_default=True, metavar="SHARE", help="How much amounts may differ beyond fees."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as /api/v1/detect_transfers answers.")
@click.option("--parent-fd", type=int, hidden=True, help="a pipe whose other end the parent holds")
def command(file: str, window: str, order_slack: str, tolerance: str, as_json: bool, parent_fd: int | None) -> None:
    """Find which transactions in FILE are the two ends of one transfer between wallets.

    FILE is JSON, a list of [tx_id, wallet_id, time, "in" or "out", amount, asset, fee] or of objects with these keys
    (or {"transactions": [...]}), or CSV with these names in its first line; asset and fee may be left out. - is
    standard input.

    What can be paired in several ways, none better than another, is not guessed but listed apart. docs/transfers.md
    says what fits, and which way is the best.
    """
    if parent_fd is not None:
        parent.serve(parent_fd)
    terms = Terms(
        _parsed("--window", window, parse_length),
        _parsed("--order-slack", order_slack, parse_length),
        _parsed("--tolerance", tolerance, parse_share),
    )
    with resting():
        found = detect(_read(file), terms)
    if as_json:
        click.echo(json.dumps(document(found), indent=2 if parent_fd is None else None, ensure_ascii=False))
    else:
        _print(found)


def _parsed(option: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}={text}: {error}") from None


def _read(file: str) -> list[Transaction]:
    """JSON where it begins as that does, CSV else."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: is not UTF-8") from None
    try:
        return from_json(text) if text.lstrip()[:1] in ("", "[", "{") else from_csv(text)
    except TransactionsRefused as error:
        raise ConfigurationError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None


def _print(found: Found) -> None:
    if found.transfers:
        show([("OUT", "IN", "WHY"), *((str(one.out), str(one.into), one.why) for one in found.transfers)])
    for group in found.ambiguous:
        click.echo(f"ambiguous: {_named(group.outs)} to {_named(group.ins)}: {group.why}")
    for left in found.left_over:
        click.echo(f"left over: {left.transaction.direction} {left.transaction}: {left.why}")
    counts = (
        (len(found.transfers), "transfer"),
        (len(found.ambiguous), "ambiguous group"),
        (len(found.left_over), "transaction"),
    )
    click.echo(", ".join(counted(*count) for count in counts) + " left over")


def _named(transactions: tuple[Transaction, ...]) -> str:
    names = ", ".join(map(str, transactions[:_MOST_NAMED]))
    return names + (f" and {len(transactions) - _MOST_NAMED:,} more" if len(transactions) > _MOST_NAMED else "")
