"""``/ping``, ``/coins/list`` and ``/simple/supported_vs_currencies``: what there is to ask for."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from app.api.coingecko.given import Asked
from app.api.context import Here
from app.api.replies import reply


def ping() -> Response:
    """Whether somebody answers."""
    return reply({"gecko_says": "(V3) To the Moon!"})


def currencies(here: Here) -> Response:
    """The currencies that something is watched in."""
    return reply([currency for (currency,) in here.database.query("mirrored_currencies")])


def list_all(here: Here, given: Asked) -> Response:
    """All coins: ids, tickers, names."""
    if given.text("status") == "inactive":
        return reply([])
    # We know no contracts.
    more: dict[str, Any] = {"platforms": {}} if given.asked("include_platform") else {}
    rows = here.database.query("mirrored_coins")
    return reply([{"id": id_, "symbol": ticker, "name": name, **more} for id_, ticker, name in rows])
