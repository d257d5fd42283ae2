"""Boxes of the ISO base media file format (ISO/IEC 14496-12): a length, a type, and contents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from image_api.errors import DamagedImage

MAX_BOXES = 20_000


@dataclass(frozen=True, slots=True)
class Box:
    kind: bytes
    start: int
    body: int
    end: int


@dataclass(slots=True)
class Cursor:
    """Reads big-endian numbers in order."""

    data: bytes
    position: int

    def number(self, size_bytes: int) -> int:
        end = self.position + size_bytes
        if end > len(self.data):
            raise DamagedImage("The image is cut off: its tables are incomplete")
        value = int.from_bytes(self.data[self.position : end], "big")
        self.position = end
        return value

    def version_and_flags(self) -> tuple[int, int]:
        return self.number(1), self.number(3)


def boxes_in(data: bytes, start: int, end: int) -> Iterator[Box]:
    for _ in range(MAX_BOXES):
        if start == end:
            return
        size, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        elif size == 0:
            size = end - start
        if start + size > end or start + size < body:
            raise DamagedImage("The image is damaged or cut off: a box goes past its end")
        yield Box(data[start + 4 : start + 8], start, body, start + size)
        start += size
    raise DamagedImage("The image is damaged: it has too many parts")
