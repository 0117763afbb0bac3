"""Where in a text something is wrong."""

from __future__ import annotations

from app.errors import ConfigurationError


class RuleError(ConfigurationError):
    """A condition that cannot be understood. ``line`` and ``column``: where in its text, both from 1 on, in characters.

    ``offset`` is the same from 0 on. ``reason`` is the text without the place.
    """

    def __init__(self, reason: str, text: str, offset: int) -> None:
        self.reason, self.offset = reason, offset
        self.line, self.column = line_and_column(text, offset)
        super().__init__(f"line {self.line}, column {self.column}: {reason}")


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1 on."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
