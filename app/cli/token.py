"""``python -m app token``: who may ask the API from elsewhere, and who may write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

import click

from app import config, log
from app.cli.database import opened
from app.cli.table import show
from app.cli.times import parse_length, shown
from app.errors import ConfigurationError
from app.tokens import Scope, Token, Tokens

_LONGEST = timedelta(days=3660)
_LONGEST_NAME = 100
_ID = re.compile(r"(?:cm_)?([0-9a-f]{12})(?:_.*)?")


@click.command("create")
@click.option("--scope", type=click.Choice(["read", "write"]), required=True, help="write includes read.")
@click.option("--expires", "length", required=True, metavar="LENGTH", help="After how long: 12h, 90d; 3660d at most.")
@click.option("--name", default="", metavar="TEXT", help="Whose it is, for people.")
def create(scope: str, length: str, name: str) -> None:
    """Make a token. It is shown once, now, and kept nowhere."""
    lasts = parse_length("--expires", length)
    if lasts > _LONGEST:
        raise ConfigurationError(f"--expires={length}: should be 3660d at most")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"--name={name!r}: should be a text of one line, of 100 characters at most")
    with _tokens() as tokens:
        token, text = tokens.create(cast(Scope, scope), lasts, name)
    # The token alone on standard output, for TOKEN=$(python -m app token create ...).
    click.echo(text)
    click.echo(
        f"Token {token.id}, to {token.scope}, until {shown(token.expires_at)}. It is not shown again. Send it along as"
        " the header 'Authorization: Bearer <token>'.",
        err=True,
    )


@click.command("list")
def list_() -> None:
    """Show the tokens there are, without what would let you use them."""
    with _tokens() as tokens:
        found = tokens.read()
    if not found:
        click.echo("there is none")
        return
    now = datetime.now(UTC)
    show([("ID", "SCOPE", "CREATED", "EXPIRES", "", "LAST USED", "NAME"), *(_row(token, now) for token in found)])


@click.command("revoke")
@click.argument("id_", metavar="ID")
def revoke(id_: str) -> None:
    """Make a token good for nothing. An API that runs notices it within five seconds."""
    # Who pastes the whole token means this one, too; it must not be repeated on the screen.
    match = _ID.fullmatch(id_)
    with _tokens() as tokens:
        token = None if match is None else tokens.revoke(match[1])
    if token is None:
        raise ConfigurationError("there is no such token that is not revoked; `token list` shows those there are")
    click.echo(f"token {token.id} is revoked")


command = click.Group(
    "token", commands=[create, list_, revoke], help="Let somebody ask the API from elsewhere, or write."
)


@contextmanager
def _tokens() -> Iterator[Tokens]:
    settings = config.load()
    log.configure("error", settings.log_format)
    with opened(settings, "token") as database:
        yield Tokens(database)


def _row(token: Token, now: datetime) -> tuple[str, ...]:
    times = shown(token.created_at), shown(token.expires_at)
    return token.id, token.scope, *times, _stage(token, now), _used(token), token.name


def _stage(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "good" if token.is_good(now) else "expired"


def _used(token: Token) -> str:
    """The hour, which is all that is known."""
    return "never" if token.last_used_at is None else token.last_used_at.astimezone(UTC).strftime("%Y-%m-%dT%HZ")
