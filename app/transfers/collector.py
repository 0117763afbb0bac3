"""The garbage collector rests while a million objects are made, none of which refers to itself in a circle."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting() -> Iterator[None]:
    """It would look through them all again and again, in vain, for a third of the time.

    Of several threads at once the first to come puts it to rest, and wakes it when it leaves.
    """
    worked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if worked:
            gc.enable()
