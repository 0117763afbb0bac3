"""What apprise makes of an address: which service it is, how long its texts may be, and the sending itself."""

from __future__ import annotations

import difflib
import logging
import smtplib
from dataclasses import asdict
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat, OverflowMode
from apprise.manager_plugins import NotificationManager
from apprise.plugins import NotifyBase, requirements, url_to_dict

from app.errors import ConfigurationError
from app.notify import parse_allowed
from app.sender.guard import Guard

_CONNECT_SECONDS, _READ_SECONDS = 3.0, 9.0
_LOCAL = frozenset(
    {"NotifyBlink1", "NotifyDBus", "NotifyGLib", "NotifyGnome", "NotifyMacOSX", "NotifySyslog", "NotifyWindows"}
)
"""Plugins that speak to this machine, and to nobody else."""
_MARKDOWN_IN_TEXT = frozenset({"NotifyDiscord", "NotifyFluxer", "NotifyGuilded", "NotifyMattermost", "NotifyZulip"})
"""Plugins that hand on as plain text what the service then reads as Markdown."""

_plugins: Any = NotificationManager()  # type: ignore[no-untyped-call]


def load() -> None:
    """Import all plugins (half a second), and let nothing of what they log out of here: it repeats addresses."""
    _plugins.load_modules()
    logger = logging.getLogger("apprise")
    logger.handlers[:], logger.propagate = [logging.NullHandler()], False


def listen_to_mail(guard: Guard) -> None:
    """Have the guard hear what mail servers answer."""
    getreply = smtplib.SMTP.getreply

    def heard(self: smtplib.SMTP) -> tuple[int, bytes]:
        code, text = getreply(self)
        guard.heard.replied(code)
        return code, text

    smtplib.SMTP.getreply = heard  # type: ignore[method-assign]


def look(request: dict[str, Any]) -> dict[str, Any]:
    """How texts for this address have to be. ``wrong``: why it cannot be used, without any part of it."""
    try:
        plugin = _plugin(request["scheme"], request["url"])
    except ConfigurationError as error:
        return {"wrong": str(error)}
    kind, form = type(plugin).__name__, plugin.resolve_format(NotifyFormat.TEXT)
    as_text = kind in _MARKDOWN_IN_TEXT and form == NotifyFormat.TEXT
    in_body = plugin.title_maxlen <= 0
    return {
        "title": 250 if in_body else plugin.title_maxlen,
        "body": plugin.body_maxlen,
        "lines": plugin.body_max_line_count,
        "markup": NotifyFormat.MARKDOWN.value if as_text else form.value,
        "title_in_body": in_body or plugin.overflow_amalgamate_title or as_text,
    }


def send(request: dict[str, Any], guard: Guard) -> dict[str, Any]:
    """Send a text; whether it was taken, and what was heard where it was not."""
    try:
        plugin = _plugin(request["scheme"], request["url"])
    except ConfigurationError as error:
        return {"taken": False, "refused": str(error)}
    # One message at a time is sent, and the outbox waits where it has to: it must not be slept here.
    plugin.request_rate_per_sec = 0
    plugin.socket_connect_timeout, plugin.socket_read_timeout = _CONNECT_SECONDS, _READ_SECONDS
    encrypted = bool(plugin.secure and plugin.verify_certificate) and getattr(plugin, "secure_mode", "") != "insecure"
    is_markdown = plugin.resolve_format(NotifyFormat.TEXT) == NotifyFormat.MARKDOWN
    taken = False
    with guard.sending(parse_allowed(request["allow"]), request["scheme"], encrypted=encrypted) as heard:
        try:
            taken = plugin.notify(
                title=request["title"],
                body=request["body"],
                notify_type=request["type"],
                overflow=OverflowMode.TRUNCATE,
                # What becomes Markdown is escaped already: apprise would escape every dot of a number too.
                body_format=NotifyFormat.MARKDOWN if is_markdown else NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001  there are 180 plugins, and each may raise what it likes
            heard.trouble = heard.trouble or f"its plugin failed ({type(error).__name__})"
    return {"taken": taken, **asdict(heard)}


def _plugin(scheme: str, url: str) -> NotifyBase:
    """Raises ConfigurationError."""
    asset = AppriseAsset(
        app_id="CryptoMonitor",
        app_desc="CryptoMonitor",
        storage_mode="memory",
        allow_templates=False,
        http_redirects=False,
        image_url_mask="",
        image_url_logo="",
        interpret_emojis=False,
        pem_autogen=False,
        pgp_autogen=False,
    )
    kind = _kind(scheme, url)
    try:
        plugin = Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except Exception:  # noqa: BLE001  whatever a plugin raises, its text may quote the address
        plugin = None
    if plugin is None:
        raise ConfigurationError(f"is not written as {scheme}:// wants it: {kind.setup_url} shows how")
    return plugin


def _kind(scheme: str, url: str) -> type[NotifyBase]:
    """The plugin for it, if it is one that may be used here. Raises ConfigurationError."""
    if scheme in _plugins:
        kind = _plugins[scheme]
    else:
        parts = url_to_dict(url) if scheme in ("http", "https") else None  # type: ignore[no-untyped-call]
        if parts is None:
            raise ConfigurationError(_unknown(scheme))
        kind = _plugins[parts["schema"]]
    if kind.__name__ in _LOCAL or kind.category != "native":
        raise ConfigurationError(f"{scheme}:// leads to nobody but this machine; name a service of the network")
    if not kind.enabled:
        needed = requirements(kind)["packages_required"]  # type: ignore[no-untyped-call]
        packages = ", ".join(needed) or "more than is installed here"
        raise ConfigurationError(f"{scheme}:// needs {packages}: install it beside apprise")
    return kind  # type: ignore[no-any-return]


def _unknown(scheme: str) -> str:
    if scheme in ("http", "https"):
        return f"{scheme}:// is no address of a service that is known; for a webhook of your own write jsons://"
    near = difflib.get_close_matches(scheme, _usable(), n=1, cutoff=0.7)
    meant = f"did you mean {near[0]}://?" if near else "docs/channels.md names those that there are"
    return f"{scheme}:// is no known kind of address; {meant}"


def _usable() -> list[str]:
    return [s for s in _plugins.schemas(include_disabled=False) if _plugins[s].__name__ not in _LOCAL]
