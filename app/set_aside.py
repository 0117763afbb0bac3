"""What providers sent that breaks their schema, kept with its text for whoever wants to know: a line of JSON each."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from app import log
from app.model import SetAside

FILE = "set_aside.jsonl"
MOST_BYTES = 5_000_000
"""Of the file; the one before is kept as well, as FILE with ``.1`` at its end."""

_FEW = 100  # of one place and reason in a file: a provider that changed sends the same at every call


class SetAsideFile:
    """Appends to a file in DATA_DIR that never grows beyond a limit. Safe for several threads.

    It is for reading only, and no guarantee stands on it: that it cannot be written is said once and ends nothing.
    ``secrets``: a provider may repeat a key; the file has none.
    """

    def __init__(self, data_dir: Path, secrets: Iterable[str] = ()) -> None:
        self.path = data_dir / FILE
        self._secrets = [secret for secret in secrets if secret]
        self._lock = threading.Lock()
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._trouble = False
        self.count = 0
        """Parts set aside since the start, those that are not written for being too many of a kind, too."""

    def add(self, parts: Iterable[SetAside], at: datetime) -> None:
        """Keep these parts of a reply that came at this time."""
        with self._lock:
            lines = [line for part in parts if (line := self._line(part, at))]
            if not lines:
                return
            try:
                self._make_room(sum(map(len, lines)))
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(lines)
                self._trouble = False
            except OSError as error:
                if not self._trouble:
                    self._trouble = True
                    log.get(__name__).warning(
                        f"{self.path}: cannot be written ({error.strerror}); what was set aside is not kept.",
                        action="set_aside",
                    )

    def _line(self, part: SetAside, at: datetime) -> str:
        self.count += 1
        kind = part.source, _without_numbers(part.place), part.reason
        self._seen[kind] += 1
        if self._seen[kind] == 1:
            log.get(__name__).warning(
                f"{part.source} sent something unexpected at {part.place}: {part.reason}. It is set aside in"
                f" {self.path}, and the rest is used.",
                action="set_aside",
                source=part.source,
                place=part.place,
            )
        if self._seen[kind] > _FEW:
            return ""
        shown = {"at": at.isoformat(), "source": part.source, "place": part.place, "reason": part.reason}
        return json.dumps({**shown, "text": self._masked(part.text)}, ensure_ascii=False) + "\n"

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "********")
        return text

    def _make_room(self, more: int) -> None:
        if self.path.exists() and self.path.stat().st_size + more > MOST_BYTES:
            self.path.replace(self.path.with_name(f"{FILE}.1"))
            self._seen.clear()


def _without_numbers(place: str) -> str:
    """The same trouble in another row of a list is the same trouble."""
    return re.sub(r"\d+", "#", place)
