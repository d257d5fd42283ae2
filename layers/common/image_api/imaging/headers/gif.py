"""GIF (CompuServe GIF89a): a screen, then blocks: pictures, and extensions before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from image_api.errors import DamagedImage
from image_api.imaging.headers.ranges import KeptRanges, Part
from image_api.imaging.model import GIF, StoredPicture, check_size

_SCREEN, _PICTURE, _EXTENSION, _TRAILER = 0x47, 0x2C, 0x21, 0x3B
_PLAIN_TEXT, _GRAPHIC_CONTROL, _APPLICATION = 0x01, 0xF9, 0xFF
_LOOP = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


class _Block(NamedTuple):
    kind: int
    start: int
    end: int
    label: int = 0
    """Of an extension: what for."""
    loops: bool = False
    """Of an application's extension: it says how often the animation repeats."""


@dataclass(slots=True)
class _Reader:
    data: bytes
    position: int = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise DamagedImage("The GIF is cut off: its last block is incomplete")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def take_colours(self, flags: int) -> None:
        if flags & 0x80:
            self.take(3 << ((flags & 7) + 1))

    def skip_sub_blocks(self) -> int:
        """Past the terminator; how many sub-blocks there were."""
        count, position = 0, self.position
        try:
            while size := self.data[position]:
                position += size + 1
                count += 1
        except IndexError as error:
            raise DamagedImage("The GIF is cut off: its last block is incomplete") from error
        self.position = position + 1
        return count


def header(data: bytes) -> StoredPicture:
    width, height = (int.from_bytes(data[i : i + 2], "little") for i in (6, 8))
    largest = (width, height)
    frames = 0
    ended = False
    for block in _blocks(data):
        if block.kind == _PICTURE:
            right, bottom = _corner(data, block)
            largest = (max(largest[0], right), max(largest[1], bottom))
            frames += 1
            if frames == 1:
                # Decoders widen the screen to the first frame.
                width, height = largest
            check_size(*largest, frames)
        ended = block.kind == _TRAILER
    if frames == 0:
        check_size(width, height)
        raise DamagedImage("The GIF is damaged or cut off: it holds no picture")
    if frames > 1 and not ended:
        # Some writers leave the last byte out; of an animation, frames may be missing too.
        raise DamagedImage("The GIF is cut off: its end is missing")
    return StoredPicture(GIF, width, height, frames=frames, web_safe=True)


def clean_parts(data: bytes) -> list[Part]:
    kept = KeptRanges(data)
    control: _Block | None = None
    for block in _blocks(data):
        if block.label == _GRAPHIC_CONTROL:
            control = block
        elif block.label == _PLAIN_TEXT:
            # Nothing draws these any more; the control before it goes with it.
            control = None
        elif block.kind != _EXTENSION or block.loops:
            if control is not None and block.kind == _PICTURE:
                kept.keep(control.start, control.end)
                control = None
            kept.keep(block.start, block.end)
    return kept.clean_parts()


def _blocks(data: bytes) -> Iterator[_Block]:
    """The screen with its colours, then all up to the trailer, or to the end where it lacks one."""
    reader = _Reader(data)
    reader.take_colours(reader.take(13)[10])
    yield _Block(_SCREEN, 0, reader.position)
    while reader.position < len(data):
        start = reader.position
        kind = reader.take(1)[0]
        if kind == _EXTENSION:
            label = reader.take(1)[0]
            name = data[reader.position + 1 : reader.position + 12]
            sub_blocks = reader.skip_sub_blocks()
            loops = label == _APPLICATION and name in _LOOP and sub_blocks == 2
            yield _Block(kind, start, reader.position, label, loops)
        elif kind == _PICTURE:
            reader.take_colours(reader.take(9)[8])
            reader.take(1)
            reader.skip_sub_blocks()
            yield _Block(kind, start, reader.position)
        elif kind == _TRAILER:
            yield _Block(kind, start, reader.position)
            return
        else:
            raise DamagedImage("The GIF is damaged: it holds an unknown block")


def _corner(data: bytes, picture: _Block) -> tuple[int, int]:
    """How far right and down a frame reaches."""
    left, top, width, height = (
        int.from_bytes(data[picture.start + i : picture.start + i + 2], "little")
        for i in (1, 3, 5, 7)
    )
    if width == 0 or height == 0:
        raise DamagedImage("The GIF is damaged: a frame has no area")
    return left + width, top + height
