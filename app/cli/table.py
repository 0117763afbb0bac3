"""Rows on the terminal, in columns as wide as they have to be."""

from __future__ import annotations

from collections.abc import Sequence

import click


def show(rows: Sequence[Sequence[str]]) -> None:
    """A line each; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
