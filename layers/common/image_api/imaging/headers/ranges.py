"""Which bytes of a file stay when its metadata goes."""

from __future__ import annotations

from dataclasses import dataclass, field

Part = bytes | bytearray | memoryview


@dataclass(slots=True)
class KeptRanges:
    """The ranges of `data` that stay: kept in order, neighbours joined, no byte copied."""

    data: bytes
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def keep(self, start: int, end: int) -> None:
        if self.ranges and self.ranges[-1][1] == start:
            start = self.ranges.pop()[0]
        self.ranges.append((start, end))

    @property
    def covers_all(self) -> bool:
        return self.ranges == [(0, len(self.data))]

    def clean_parts(self) -> list[Part]:
        if self.covers_all:
            return [self.data]
        view = memoryview(self.data)
        return [view[start:end] for start, end in self.ranges]
