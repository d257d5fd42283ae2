"""Boxes of the ISO base media file format (ISO/IEC 14496-12): a length, a type, and contents."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from image_api.errors import DamagedImage

MAX_STEPS = 300_000
"""Numbers and boxes that are read of one file: twice what the longest animation has, and 0.2 s."""
_STEPS_OF_A_BOX = 4
_NUMBERS_OF_A_STEP = 16


@dataclass(slots=True)
class Budget:
    """What reading one file may still cost, whatever its tables claim."""

    steps_left: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        self.steps_left -= steps
        if self.steps_left < 0:
            raise DamagedImage("The image is damaged: it has too many parts")


@dataclass(frozen=True, slots=True)
class Box:
    kind: bytes
    start: int
    body: int
    end: int


@dataclass(slots=True)
class Cursor:
    """Reads big-endian numbers in order, and never beyond `end`."""

    data: bytes
    position: int
    end: int
    budget: Budget

    def number(self, size_bytes: int) -> int:
        position = self.position
        self.skip(size_bytes)
        self.budget.spend(1)
        return int.from_bytes(self.data[position : self.position], "big")

    def numbers(self, count: int, size_bytes: int) -> tuple[int, ...]:
        """Many at once, which costs less. `size_bytes` is 4 or 8."""
        position = self.position
        self.skip(count * size_bytes)
        self.budget.spend(1 + count // _NUMBERS_OF_A_STEP)
        return struct.unpack_from(f">{count}{'I' if size_bytes == 4 else 'Q'}", self.data, position)

    def skip(self, size_bytes: int) -> None:
        if self.position + size_bytes > self.end:
            raise DamagedImage("The image is damaged or cut off: one of its tables is incomplete")
        self.position += size_bytes

    def version_and_flags(self) -> tuple[int, int]:
        return self.number(1), self.number(3)

    @property
    def left_bytes(self) -> int:
        return self.end - self.position


def boxes_in(data: bytes, start: int, end: int, budget: Budget) -> Iterator[Box]:
    while start != end:
        budget.spend(_STEPS_OF_A_BOX)
        size, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        elif size == 0:
            size = end - start
        if start + size > end or start + size < body:
            raise DamagedImage("The image is damaged or cut off: a box goes past its end")
        yield Box(data[start + 4 : start + 8], start, body, start + size)
        start += size


def only_one_each(boxes: Iterator[Box], repeatable: frozenset[bytes] = frozenset()) -> list[Box]:
    """All of them, where the format has at most one of each kind that is not `repeatable`."""
    found: list[Box] = []
    kinds: set[bytes] = set()
    for box in boxes:
        if box.kind in kinds and box.kind not in repeatable:
            name = box.kind.decode("ascii", "replace")
            raise DamagedImage(f"The image is damaged: it has two boxes {name!r} where one may be")
        kinds.add(box.kind)
        found.append(box)
    return found
