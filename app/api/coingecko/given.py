"""What a client gives, read as CoinGecko reads it, and refused with its words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request

from app.api.params import parse_moment
from app.api.problems import Problem

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
FULL = -1
"""A precision: every digit there is."""


class Given:
    """The parameters of a request; unknown ones are passed over, and of one given twice the last counts."""

    def __init__(self, request: Request) -> None:
        self._query = request.query_params

    def text(self, name: str) -> str | None:
        """None where it is empty or not there."""
        return self._query.get(name) or None

    def needed(self, name: str) -> str:
        """Problem 422 where it is empty or not there."""
        text = self.text(name)
        if text is None:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Missing parameter {name}")
        return text

    def names(self, name: str) -> list[str] | None:
        """Parted by commas; blanks belong to the names, as with the original, which then finds nothing."""
        text = self.text(name)
        return None if text is None else list(dict.fromkeys(text.split(",")))

    def asked(self, name: str) -> bool:
        """Whether something that is left out otherwise is asked for."""
        return (self.text(name) or "").lower() == "true"

    def currency(self) -> str:
        """The one currency that is asked for, in capitals."""
        return self.needed("vs_currency").upper()

    def precision(self) -> int | None:
        """Decimals of a price; FULL; None where nothing is said."""
        text = self.text("precision")
        if text is None:
            return None
        if text == "full":
            return FULL
        if not re.fullmatch(r"\d|1[0-8]", text, re.ASCII):
            raise _invalid("precision")
        return int(text)

    def whole(self, name: str, default: int, most: int) -> int:
        """From 1 on; what is more than the most is the most."""
        text = self.text(name) or str(default)
        if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
            raise _invalid(name)
        return min(int(text), most)

    def days(self, *choice: str) -> timedelta | None:
        """How far back; None: as far as there is anything. Of these alone, where there is a choice."""
        text = self.needed("days")
        if choice and text not in choice:
            raise _invalid("days")
        if text == "max":
            return None
        if not re.fullmatch(r"\d{1,5}(?:\.\d{1,6})?", text, re.ASCII) or not Decimal(text):
            raise _invalid("days")
        return timedelta(days=float(text))

    def moment(self, name: str) -> datetime:
        """From UNIX seconds, or a date or time in ISO 8601."""
        text = self.needed(name)
        if re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", text, re.ASCII):
            return _FIRST + timedelta(seconds=min(float(text), _LAST.timestamp()))
        try:
            return min(max(parse_moment(text), _FIRST), _LAST)
        except ValueError:
            raise _invalid(name) from None

    def one_of(self, name: str, choice: tuple[str, ...]) -> str | None:
        """Problem 400 for anything else."""
        text = self.text(name)
        if text is not None and text not in choice:
            raise _invalid(name)
        return text


def _given(request: Request) -> Given:
    return Given(request)


Asked = Annotated[Given, Depends(_given)]
"""The type of a route's parameter that wants what the client gave."""


def _invalid(name: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"invalid {name}")
