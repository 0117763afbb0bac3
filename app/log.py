"""Logging: a sentence for people, then fields for machines; for the console or as JSON."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from app.clock import Clock, SystemClock
from app.errors import CannotWrite

_FILE_BYTES, _FILES = 10_000_000, 3

_MINUTE = 60.0
_KINDS_AT_MOST = 1000
_WHOSE = ("purpose", "source", "market", "symbol", "field", "rule", "channel", "task", "path")
"""The fields that tell a fault from the same fault elsewhere."""


def configure(
    level: str = "info", style: str = "console", file: Path | None = None, clock: Clock | None = None
) -> None:
    """Send our own events and those of the libraries through one formatter to standard error.

    With ``file`` everything goes there (rotated at 10 MB, three are kept), and only warnings to standard error. Of
    warnings and errors of one kind one a minute is shown, by ``clock``. Raises CannotWrite where the file cannot be
    made.
    """
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
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
    limiter = _Limiter(clock or SystemClock())
    for handler in handlers:
        handler.addFilter(limiter)
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


@dataclass(slots=True)
class _Said:
    """A kind of message that was shown: until when the next one waits, and what has come since."""

    until: float
    left_out: int = 0
    newest: logging.LogRecord | None = None


class _Limiter(logging.Filter):
    """Of warnings and errors of one kind lets one a minute through, with the number of those that were left out.

    When the minute is over, the newest one that was left out is said all the same, with its own time: a fault that is
    reported once, when it begins, must not go unsaid because it had just been over. It comes with the next line that
    anybody logs. Shared by all handlers; safe for several threads.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[object, _Said] = {}  # those whose minute ends first come first

    def filter(self, record: logging.LogRecord) -> bool:
        # A record comes here once for each handler.
        if "is_shown" not in record.__dict__:
            with self._lock:
                record.__dict__["is_shown"], due = self._judge(record)
            for late in due:
                logging.getLogger(late.name).handle(late)
        return bool(record.__dict__["is_shown"])

    def _judge(self, record: logging.LogRecord) -> tuple[bool, list[logging.LogRecord]]:
        """Whether to show it, and which ones to show before it."""
        now = self._clock.monotonic()
        if record.levelno < logging.WARNING:
            return True, self._due(now)
        kind = _kind(record)
        before = self._said.get(kind)
        if before is not None and now < before.until:
            before.left_out, before.newest = before.left_out + 1, record
            return False, self._due(now)
        if before is not None:
            del self._said[kind]
            _count(record, before.left_out)
        due = self._due(now)
        self._said[kind] = _Said(now + _MINUTE)
        return True, due

    def _due(self, now: float) -> list[logging.LogRecord]:
        """Those that were left out and whose minute is over; their next one begins."""
        due = []
        while self._said:
            kind, first = next(iter(self._said.items()))
            if now < first.until and len(self._said) < _KINDS_AT_MOST:
                break
            del self._said[kind]
            if first.newest is not None:
                _count(first.newest, first.left_out - 1)
                first.newest.__dict__["is_shown"] = True
                due.append(first.newest)
                self._said[kind] = _Said(now + _MINUTE)
        return due


def _kind(record: logging.LogRecord) -> object:
    """What messages that say the same have in common. Libraries' have no fields: their text before it is filled in."""
    event = record.msg
    if not isinstance(event, dict):
        return record.name, record.levelno, str(event)
    return record.name, record.levelno, event.get("action"), *(str(event.get(name)) for name in _WHOSE)


def _count(record: logging.LogRecord, left_out: int) -> None:
    if left_out and isinstance(record.msg, dict):
        record.msg["left_out"] = left_out
    elif left_out:
        record.msg, record.args = f"{record.getMessage()} ({left_out} more like it were left out)", None
