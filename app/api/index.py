"""``/``: what there is, for whoever looks."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse

from app import __version__


def show(request: Request) -> PlainTextResponse:
    """This list."""
    # The application's own list, so that no address can be missing here.
    found = [
        (" ".join(route.methods or ()), route.path, route.description.partition("\n")[0])
        for route in request.app.routes
        if isinstance(route, APIRoute)
    ]
    widths = [max(map(len, column)) for column in list(zip(*found, strict=True))[:2]]
    lines = [f"{method:{widths[0]}}  {path:{widths[1]}}  {summary}" for method, path, summary in found]
    return PlainTextResponse("\n".join([f"CryptoMonitor {__version__}", "", *lines, ""]))
