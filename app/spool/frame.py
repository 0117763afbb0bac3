"""What the spool writes, each thing with its own length and checksum, so that it is known wherever it lies in a file.

A batch is one frame, or several where it is large: SQLite then keeps each in one piece on one page, and what is left
of a damaged file can be found in its raw bytes. A mark says how far the spool was filled and drained.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE = 16_384
"""SQLite's page size in the spool."""
PARTS = 1024
"""More than a batch can have."""
_PART_BYTES = 16_000  # with header and SQLite's own they just fit on a page

_MAGIC = b"\x93CMspl"
_FRAME, _MARK = _MAGIC + b"B1", _MAGIC + b"M1"
_FRAME_HEAD = struct.Struct(">8sQQQHHII")
_MARK_HEAD = struct.Struct(">8sQQQ")
_DIGEST = 16
_LONGEST = _FRAME_HEAD.size + _DIGEST + _PART_BYTES
_BLOCK = 4096  # what a disk fails to read as a whole
_CHUNK = 1024 * _BLOCK


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of a batch. ``prior``: the number of the batch accepted before it. ``at``: when, µs since 1970.

    ``ticks``: how many there are in the whole batch.
    """

    seq: int
    prior: int
    at: int
    part: int
    parts: int
    ticks: int
    payload: bytes

    @property
    def n(self) -> int:
        """Its key in the table: all frames in order."""
        return self.seq * PARTS + self.part

    def pack(self) -> bytes:
        """The bytes that stand in the file."""
        head = _FRAME_HEAD.pack(
            _FRAME, self.seq, self.prior, self.at, self.part, self.parts, self.ticks, len(self.payload)
        )
        return head + _digest(head + self.payload) + self.payload


@dataclass(frozen=True, slots=True)
class Mark:
    """All batches through ``drained`` are done with, the newest accepted is ``last``, no number above ``used`` is."""

    drained: int = 0
    last: int = 0
    used: int = 0

    def pack(self) -> bytes:
        """The bytes that stand in the file."""
        head = _MARK_HEAD.pack(_MARK, self.drained, self.last, self.used)
        return head + _digest(head)

    def joined(self, other: Mark) -> Mark:
        """What both together say: none of it ever goes back."""
        return Mark(max(self.drained, other.drained), max(self.last, other.last), max(self.used, other.used))


def frames_of(seq: int, prior: int, at: int, ticks: int, document: bytes) -> list[Frame]:
    """A document in as many frames as it needs."""
    pieces = [document[start : start + _PART_BYTES] for start in range(0, len(document), _PART_BYTES)] or [b""]
    return [Frame(seq, prior, at, part, len(pieces), ticks, piece) for part, piece in enumerate(pieces)]


def frame_at(data: bytes, start: int = 0) -> Frame | None:
    """The frame that begins there, if it is whole."""
    head = data[start : start + _FRAME_HEAD.size]
    if len(head) < _FRAME_HEAD.size or not head.startswith(_FRAME):
        return None
    _, seq, prior, at, part, parts, ticks, length = _FRAME_HEAD.unpack(head)
    begin = start + _FRAME_HEAD.size + _DIGEST
    payload = data[begin : begin + length]
    if length > _PART_BYTES or len(payload) < length:
        return None
    if data[begin - _DIGEST : begin] != _digest(head + payload):
        return None
    return Frame(seq, prior, at, part, parts, ticks, payload)


def mark_at(data: bytes, start: int = 0) -> Mark | None:
    """The mark that begins there, if it is whole."""
    head = data[start : start + _MARK_HEAD.size]
    end = start + _MARK_HEAD.size
    if len(head) < _MARK_HEAD.size or not head.startswith(_MARK) or data[end : end + _DIGEST] != _digest(head):
        return None
    return Mark(*_MARK_HEAD.unpack(head)[1:])


def found_in(path: Path) -> Iterator[Frame | Mark]:
    """Every whole frame and mark in the raw bytes of a file, wherever; none where there is no file.

    What the disk cannot read is skipped.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        yield from _search(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _search(descriptor: int, size: int) -> Iterator[Frame | Mark]:
    for offset in range(0, size, _CHUNK):
        data = _read(descriptor, offset, _CHUNK + _LONGEST)
        start = data.find(_MAGIC)
        while 0 <= start < _CHUNK:
            found = frame_at(data, start) or mark_at(data, start)
            if found is not None:
                yield found
            start = data.find(_MAGIC, start + 1)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    try:
        return os.pread(descriptor, length, offset)
    except OSError:
        blocks = []
        for block in range(offset, offset + length, _BLOCK):
            blocks.append(bytes(_BLOCK))
            with suppress(OSError):
                blocks[-1] = os.pread(descriptor, _BLOCK, block)
        return b"".join(blocks)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
