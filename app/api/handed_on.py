"""Settings for a process of ours that another one starts."""

from __future__ import annotations

import os

from pydantic import SecretStr

from app.config import KEYS, SECRETS, Settings


def environment(settings: Settings) -> dict[str, str]:
    """Ours, with the settings in effect here: the child reads no .env, which may have been edited since."""
    # A secret's *_FILE has been read; beside the secret itself it would be refused.
    environment = {k: v for k, v in os.environ.items() if k.removesuffix("_FILE") not in SECRETS}
    for key, name in KEYS.items():
        value = getattr(settings, name)
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        environment[key] = "" if shown is None else str(shown)
    return environment
