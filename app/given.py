"""What the environment and ``.env`` say about settings, and in which of the two it stands."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from app import env_file as dotenv
from app.errors import ConfigurationError

_ENVIRONMENT = "the environment"
# A .env beside docker-compose.yml also feeds Compose itself and the database's container; these keys are not ours.
_KEYS_OF_OTHERS = ("COMPOSE_", "DOCKER_", "EXCHANGES", "POSTGRES_", "PG")
# In the environment anything may stand; but a key that starts like one of ours and is none is a typing error.
_OUR_PREFIXES = ("COINGECKO_", "COINMARKETCAP_", "TICK_", "VIEW_REFRESH")
_DOCKER_SECRETS = Path("/run/secrets")


class Given:
    """The environment first, then ``.env``: the first that has a key at all decides, also when it says nothing.

    A secret may stand there as KEY, or as KEY_FILE, the file to read it from. Raises ConfigurationError for a ``.env``
    that cannot be read, and for keys that no setting has: of which neither is a name nor fits the pattern ``family``.
    """

    def __init__(
        self,
        keys: Collection[str],
        secrets: Collection[str],
        env_file: Path | None,
        family: re.Pattern[str] = re.compile(r"(?!)"),
    ) -> None:
        self._secrets, self._family = secrets, family
        self._known = [*keys, *(f"{key}_FILE" for key in keys if key in secrets)]
        self._places: dict[str, Mapping[str, str]] = {_ENVIRONMENT: os.environ}
        if env_file is not None:
            self._places[str(env_file)] = dotenv.read(env_file)
        wrong = [f"{key} (in {place}): no such setting{self._suggestion(key)}" for key, place in self._unknown()]
        if wrong:
            raise ConfigurationError("\n".join(wrong))

    def text(self, key: str) -> str:
        """What is given for the key, stripped; empty where nothing is. Raises ConfigurationError for a bad KEY_FILE."""
        place = self._place(key)
        if place is None:
            return ""
        text = self._places[place].get(key, "").strip()
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigurationError(f"{key} (in {place}): is not UTF-8 text")
        path = self._places[place].get(f"{key}_FILE") if f"{key}_FILE" in self._known else None
        if not path:
            return text
        if text:
            raise ConfigurationError(f"{key} and {key}_FILE (in {place}) are both set: one of them is enough")
        return _content(f"{key}_FILE={path} (in {place})", Path(path))

    def family(self) -> dict[str, str]:
        """What is given for the keys that fit the pattern and are no setting of their own."""
        keys = {key for values in self._places.values() for key in values if self._is_family(key)}
        return {key: self.text(key) for key in sorted(keys)}

    def where(self, key: str) -> str:
        """`` (in .env)`` or the like; empty for a key that nobody gives."""
        place = self._place(key)
        return f" (in {place})" if place else ""

    def exposed(self) -> list[Path]:
        """The files of ours that hold a secret and that every user of this machine can read."""
        files = []
        for place, values in self._places.items():
            files += [Path(file) for key in self._secrets if (file := values.get(f"{key}_FILE"))]
            if place != _ENVIRONMENT and any(values.get(key) for key in self._secrets):
                files.append(Path(place))
        # Docker gives a container's secrets that mode, and nobody else is in there.
        return [file for file in files if not file.is_relative_to(_DOCKER_SECRETS) and _is_open_to_all(file)]

    def _place(self, key: str) -> str | None:
        keys = {key} | ({f"{key}_FILE"} & {*self._known})
        return next((place for place, values in self._places.items() if not keys.isdisjoint(values)), None)

    def _unknown(self) -> list[tuple[str, str]]:
        return [
            (key, place)
            for place, values in self._places.items()
            for key in values
            if key not in self._known
            and not self._is_family(key)
            and (
                key.upper().startswith(_OUR_PREFIXES) if place is _ENVIRONMENT else not key.startswith(_KEYS_OF_OTHERS)
            )
        ]

    def _is_family(self, key: str) -> bool:
        if key in self._known or not self._family.fullmatch(key):
            return False
        # One letter off the name of a setting is a typing error.
        return not difflib.get_close_matches(key, self._known, n=1, cutoff=0.94)

    def _suggestion(self, key: str) -> str:
        near = difflib.get_close_matches(key.upper(), self._known, n=1)
        return f"; did you mean {near[0]}?" if near else "; .env.example lists them all"


def _is_open_to_all(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
        way = [folder.stat().st_mode for folder in file.resolve().parents]
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH) and all(folder & stat.S_IXOTH for folder in way)


def _content(what: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        reason = error.strerror
    except ValueError:
        reason = "it is not UTF-8 text"
    raise ConfigurationError(f"{what}: cannot be read ({reason})")
