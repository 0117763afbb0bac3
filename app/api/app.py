"""The application around the routes."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from app import __version__
from app.api.callers import Keyring
from app.api.compact import Compact
from app.api.context import Context
from app.api.description import Described
from app.api.edge import Edge
from app.api.gate import Gate
from app.api.guarded import Guarded
from app.api.problems import HANDLERS
from app.api.rates import Rates
from app.api.routes import ROUTES
from app.config import Settings


def create_app(context: Context) -> Edge:
    """The ASGI application over the daemon's folder and the database.

    From the outside in: what holds for all replies; pages of other origins; load, rate and tokens; what the client has
    already, and packing; the routes.
    """
    app = Described(
        title="CryptoMonitor",
        version=__version__,
        # Their pages load scripts from a CDN, which we allow nobody to need; ours are routes.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=HANDLERS,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.context = context
    app.router.routes.extend(Guarded(route, context) for route in ROUTES)
    keyring = Keyring(context.database, context.writer, context.clock)
    rates = Rates(context.settings.api_requests_per_second, context.clock)
    gate = Gate(Compact(app), keyring, rates, [route.path for route in ROUTES if route.open_to_all])
    return Edge(_with_cors(gate, context.settings), context.clock)


def _with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Pages of the origins that are named may read; without any, no Access-Control header is ever sent."""
    if not settings.cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "HEAD"],
        allow_headers=["Authorization", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Retry-After", "Link"],
        max_age=3600,
    )
