"""The addresses of providers that settings give: ``<MARKET>_BASE_URL`` and ``<MARKET>_WS_URL``, for any market."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

KEY = re.compile(r"(?P<market>[A-Z0-9_]{1,40}?)_(?P<kind>BASE|WS)_URL")
_SCHEMES: Mapping[str, tuple[str, str]] = {"BASE": ("http", "https"), "WS": ("ws", "wss")}


def address(text: str, kind: str = "BASE") -> str:
    """The address, if it is one to ask. Raises ValueError saying what it should be."""
    schemes = _SCHEMES[kind]
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\s?#@]", text):
        names = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"should be an {names} address, without user, password and query")
    return text


def read(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The good ones by their key, and why the others are none. What is empty is neither."""
    good: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for key, text in texts.items():
        match = KEY.fullmatch(key)
        if match is None or not text:
            continue
        try:
            good[key] = address(text, match["kind"])
        except ValueError as error:
            wrong[key] = str(error)
    return good, wrong
