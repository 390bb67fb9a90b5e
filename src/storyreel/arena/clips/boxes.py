"""Boxes of an MP4 file (ISO/IEC 14496-12, 4.2): which there are, where, and everything but the coded pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HOLD_BOXES = frozenset({"moov", "trak", "mdia", "minf", "stbl", "dinf", "edts", "udta"})


@dataclass(frozen=True)
class Box:
    """A box: its four letters, where it begins, how many bytes it has, and how deep it lies in others."""

    kind: str
    at: int
    size: int
    depth: int


def boxes(data: bytes, start: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Box]:
    """Boxes of `data` in order, those inside others after their parents. ValueError where the bytes are no boxes."""
    end = len(data) if end is None else end
    while start < end:
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        kind = data[start + 4 : start + 8].decode("latin-1")
        if size < header or start + size > end:
            raise ValueError(f"a box {kind!r} of {size} bytes at {start} does not fit")
        yield Box(kind, start, size, depth)
        if kind in HOLD_BOXES:
            yield from boxes(data, start + header, start + size, depth + 1)
        start += size


def without_pictures(data: bytes) -> bytes:
    """The file with the content of its `mdat` boxes blanked: what is equal for all clips of a story."""
    blanked = bytearray(data)
    for box in boxes(data):
        if box.kind == "mdat":
            blanked[box.at + 8 : box.at + box.size] = bytes(box.size - 8)
    return bytes(blanked)
