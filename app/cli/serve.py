"""``serve``: the API alone."""

from __future__ import annotations

import socket

import click

from app import config, embedded, log
from app.api.app import create_app
from app.api.context import Context
from app.api.database import Reader, Writer
from app.api.listen import is_local, listen, url
from app.api.server import serve
from app.clock import SystemClock


@click.command("serve", help="Serve the API alone; the daemon may run elsewhere.")
@click.option("--listen-fd", "listen_fds", type=int, multiple=True, hidden=True, help="a socket that is open already")
@click.option("--parent-fd", type=int, hidden=True, help="a pipe whose other end the parent holds")
def command(listen_fds: tuple[int, ...], parent_fd: int | None) -> None:
    # A parent hands its settings on in the environment.
    settings = config.load() if parent_fd is None else config.load(env_file=None)
    log.configure(settings.log_level, settings.log_format)
    listeners = [socket.socket(fileno=fd) for fd in listen_fds] or listen(settings)
    dsn = settings.database_url.get_secret_value()

    # The embedded server is the daemon's: it comes and goes, and has a new address each time.
    def address() -> str | None:
        return dsn or embedded.address(settings.data_dir)

    context = Context(settings, Reader(address), Writer(address), SystemClock())
    app = create_app(context)
    if not is_local(listeners) and not settings.api_open_reads:
        log.get(__name__).warning(
            f"API_HOST={settings.api_host}: from elsewhere the API asks for a token, which travels there in clear: put "
            "a proxy that speaks TLS in front of it.",
            action="api_in_clear",
        )
    if parent_fd is None:
        log.get(__name__).info(f"The API answers on {url(listeners)}", action="api_started")
    serve(app, listeners, parent_fd, context.feed.end)
