"""Tokens for the API: shown once, when they are made; what is kept does not tell them."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from app.db import Asked, execute

Scope = Literal["read", "write"]

_ID_BYTES, _SECRET_BYTES = 6, 32
_FORM = re.compile(r"cm_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one. ``write`` includes ``read``; ``last_used_at`` is to the hour."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at


class Tokens:
    """The table of them. Raises DatabaseUnavailable or DatabaseRefused, and waits for nobody."""

    def __init__(self, database: Asked) -> None:
        self._database = database

    def create(self, scope: Scope, length: timedelta, name: str) -> tuple[Token, str]:
        """A new one, good for so long from now on, and its text, which nobody can tell later."""
        id_ = secrets.token_hex(_ID_BYTES)
        text = f"cm_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        row = {"id": id_, "digest": digest(text), "name": name, "scope": scope, "length": length}
        ((*its,),) = self._query("add_token", **row)
        return Token(*its), text

    def read(self) -> list[Token]:
        """All of them, by their making, also those that are good for nothing any more."""
        return [Token(*row) for row in self._query("list_tokens")]

    def find(self, text: str) -> Token | None:
        """The one that this is the text of, good or not. None: it is none of ours."""
        match = _FORM.fullmatch(text)
        rows = [] if match is None else self._query("find_token", id=match[1])
        for *its, its_digest in rows:
            if hmac.compare_digest(bytes(its_digest), digest(text)):
                return Token(*its)
        return None

    def revoke(self, id_: str) -> Token | None:
        """It is good for nothing from now on. None: there is none of this id that is not revoked."""
        rows = self._query("revoke_token", id=id_)
        return Token(*rows[0]) if rows else None

    def was_used(self, id_: str) -> None:
        """Write down that it was used in this hour."""
        self._query("token_was_used", id=id_)

    def _query(self, query: str, /, **values: object) -> list[tuple[Any, ...]]:
        return self._database.once(lambda cursor: execute(cursor, query, **values))


def digest(text: str) -> bytes:
    """What is kept of a token, and what it is recognised by.

    Its secret is 256 random bits: trying them out is hopeless however fast the hash is, so that this needs no salt and
    need not be slow, as it has to be for passwords.
    """
    return sha256(text.encode()).digest()
