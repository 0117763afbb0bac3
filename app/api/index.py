"""``/``: what there is, for whoever looks."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse

from app import __version__


def show(request: Request) -> PlainTextResponse:
    """This list."""
    # The application's own list, so that no address can be missing here.
    found = [(route.path, route.description) for route in request.app.routes if isinstance(route, APIRoute)]
    found.append((request.app.openapi_url, "The API described for programs (OpenAPI)."))
    width = max(len(path) for path, _ in found)
    lines = [f"{path:{width}}  {description}" for path, description in found]
    return PlainTextResponse("\n".join([f"CryptoMonitor {__version__}", "", *lines, ""]))
