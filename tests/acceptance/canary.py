"""A canary in every setting that is a secret or may hold one, and what finds it again, in whatever form it shows."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from tests.acceptance.echoing import Echoing

CANARY = "canary7f3a"
KEY = f"CG-{CANARY}key"
PASSWORD = f"{CANARY}@pass/word"  # of the database; in a URL it has to be quoted
PROXY = f"http://me:{CANARY}proxy@127.0.0.1:9"
BASIC = f"{CANARY}basic"
# In each of the forms that they have on their way, in lower case.
FORMS = tuple(
    form.lower()
    for form in (
        CANARY,
        *(
            base64.b64encode(f"{user}:{password}".encode()).decode().rstrip("=")
            for user, password in (("me", f"{CANARY}proxy"), ("me", BASIC))
        ),
    )
)


def leaks(text: str) -> list[str]:
    """What surrounds each secret in a text."""
    # Not by a regular expression: one that minds no case takes seconds for the files of a server.
    found, lowered = [], text.lower()
    for form in FORMS:
        at = lowered.find(form)
        while at >= 0:
            found.append(lowered[max(0, at - 150) : at + len(form) + 50])
            at = lowered.find(form, at + 1)
    return found


def notify_urls(port: int) -> str:
    """A channel with a secret in every part of its address that may hold one."""
    return f"hook=json://me:{BASIC}@127.0.0.1:{port}/{CANARY}path?+X-Token={CANARY}token&-key={CANARY}query"


def with_password(dsn: str, password: str = PASSWORD, user: str = "cryptomonitor") -> str:
    return re.sub(r"//[^@]*@", f"//{user}:{quote(password, safe='')}@", dsn)


def secrets_of(echoing: Echoing, dsn: str) -> dict[str, object]:
    """A canary in every secret, for a daemon that asks this provider, tells this receiver, and has this database."""
    port = int(echoing.url.rpartition(":")[2])
    return {
        "COINGECKO_API_KEY": KEY,
        "COINMARKETCAP_API_KEY": KEY,
        "DATABASE_URL": with_password(dsn),
        "NOTIFY_URLS": notify_urls(port),
    }


def everything_else(echoing: Echoing) -> dict[str, object]:
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"), PROXY)
    return {
        "COINGECKO_PLAN": "demo",
        "COINGECKO_BASE_URL": f"{echoing.url}/api/v3",
        "NOTIFY_ALLOW": "127.0.0.1",
        "TICK_SECONDS": 0.05,
        "VIEW_REFRESH_SECONDS": 0.5,
        "LOG_LEVEL": "debug",
        **proxies,
    }
