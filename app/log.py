"""Logging: a sentence for people, then fields for machines; for the console or as JSON."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from app.errors import CannotWrite

_FILE_BYTES, _FILES = 10_000_000, 3


def configure(level: str = "info", style: str = "console", file: Path | None = None) -> None:
    """Send our own events and those of the libraries through one formatter to standard error.

    With ``file`` everything goes there (rotated at 10 MB, three are kept), and only warnings to standard error.
    Raises CannotWrite where the file cannot be made.
    """
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if style == "json":
        before.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(_formatter(style, before, colors=sys.stderr.isatty()))
    handlers: list[logging.Handler] = [screen]
    if file is not None:
        screen.setLevel(logging.WARNING)
        handlers.append(_to_file(file, _formatter(style, before, colors=False)))
    _replace_handlers(handlers)
    logging.getLogger().setLevel(level.upper())
    # Their debug lines print whole requests, keys in them included.
    for chatty in ("urllib3", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def silence() -> None:
    """Let nothing more be logged: what is said next has to be the last line."""
    _replace_handlers([logging.NullHandler()])


def get(name: str) -> Any:
    """A logger: ``log.info("A sentence.", action="verb", symbol="BTC")``."""
    return structlog.get_logger(name)


def _replace_handlers(handlers: list[logging.Handler]) -> None:
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)]
    root.handlers[:] = handlers
    for handler in ours:
        handler.close()


def _formatter(style: str, before: list[Any], *, colors: bool) -> logging.Formatter:
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if style == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )


def _to_file(file: Path, formatter: logging.Formatter) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=_FILE_BYTES, backupCount=_FILES - 1, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{file}: cannot be written ({error.strerror})") from error
    handler.setFormatter(formatter)
    return handler
