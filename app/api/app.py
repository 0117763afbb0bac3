"""The application: all routes in one list, one a line."""

from __future__ import annotations

from fastapi import FastAPI

from app import __version__
from app.api import health, index, metrics, status
from app.api.context import Context
from app.api.edge import Edge
from app.api.problems import HANDLERS

ROUTES = (
    ("GET", "/", index.show),
    ("GET", "/healthz", health.alive),
    ("GET", "/readyz", health.ready),
    ("GET", "/metrics", metrics.scrape),
    ("GET", "/api/v1/status", status.show),
)


def create_app(context: Context) -> Edge:
    """The ASGI application over the daemon's folder and the database."""
    app = FastAPI(
        title="CryptoMonitor",
        version=__version__,
        # Their pages load scripts from a CDN, which we allow nobody to need.
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.context = context
    for method, path, endpoint in ROUTES:
        app.add_api_route(path, endpoint, methods=[method], include_in_schema=path.startswith("/api/"))
    return Edge(app)
