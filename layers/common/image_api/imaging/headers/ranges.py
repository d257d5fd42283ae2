"""Which bytes of a file stay when its metadata goes."""

from __future__ import annotations

from dataclasses import dataclass, field

Part = bytes | bytearray | memoryview


@dataclass(slots=True)
class KeptRanges:
    """The ranges of `data` that stay, and what is put between them: in order, neighbours joined,
    no byte of `data` copied."""

    data: bytes
    ranges: list[tuple[int, int] | bytes] = field(default_factory=list)

    def keep(self, start: int, end: int) -> None:
        if self.ranges:
            last = self.ranges[-1]
            if isinstance(last, tuple) and last[1] == start:
                start = last[0]
                self.ranges.pop()
        self.ranges.append((start, end))

    def put(self, part: bytes) -> None:
        self.ranges.append(part)

    def clean_parts(self) -> list[Part]:
        if self.ranges == [(0, len(self.data))]:
            return [self.data]
        view = memoryview(self.data)
        return [
            part if isinstance(part, bytes) else view[part[0] : part[1]] for part in self.ranges
        ]
