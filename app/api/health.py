"""``/healthz``: does the process answer; ``/readyz``: does the database, and is the data fresh."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request

from app.api.access import may_read
from app.api.context import Here
from app.api.problems import Problem


async def alive() -> dict[str, str]:
    """Whether this process answers."""
    # The event loop itself, not a thread: this must not queue behind replies that wait for the database.
    return {"status": "ok"}


def ready(here: Here, request: Request) -> dict[str, str]:
    """Whether the database answers and new ticks arrive; 503 where not, with the reasons for those who may read."""
    trouble = here.database.trouble()
    reasons = [*([trouble] if trouble else []), *here.daemon().reasons]
    if reasons and not may_read(request, here.settings):
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready.")
    if reasons:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready: " + "; ".join(reasons) + ".", reasons=reasons)
    return {"status": "ready"}
