"""Reads ``.env``, strictly: what cannot be understood is refused by its line, and values are taken as they stand."""

from __future__ import annotations

from pathlib import Path

from dotenv.parser import Binding, parse_stream

from app.errors import ConfigurationError


def read(path: Path) -> dict[str, str]:
    """The keys and values of the file, none where there is no file. Raises ConfigurationError, naming the file.

    Quotes, comments, ``export`` and a byte order mark are read as python-dotenv reads them. A ``$`` is a dollar sign:
    a password may contain one. Values are never part of an error: the file holds secrets.
    """
    try:
        # Once, as it may be a pipe.
        with path.open(encoding="utf-8") as file:
            bindings = [binding for binding in parse_stream(file) if binding.error or binding.key]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: cannot be read (it is not UTF-8 text); save it as UTF-8") from None
    return _as_dict(path, bindings)


def _as_dict(path: Path, bindings: list[Binding]) -> dict[str, str]:
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for binding in bindings:
        key, line = binding.key, _line(binding)
        if key is None or binding.value is None:
            raise ConfigurationError(f"{path}, line {line}: should be KEY=value (and each quote needs its second)")
        if key in values:
            raise ConfigurationError(f"{path}: {key} stands there twice, in lines {lines[key]} and {line}; keep one")
        values[key], lines[key] = binding.value, line
    return values


def _line(binding: Binding) -> int:
    text = binding.original.string
    # The empty lines before it belong to it.
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
