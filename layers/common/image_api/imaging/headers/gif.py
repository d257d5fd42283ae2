"""GIF (CompuServe GIF89a): a screen, then blocks: pictures, and extensions before them."""

from __future__ import annotations

from collections.abc import Iterator
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
    sub_blocks: int = 0
    """Of an extension: how many."""


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
        elif block.kind != _EXTENSION or _says_how_often(data, block):
            if control is not None and block.kind == _PICTURE:
                kept.keep(control.start, control.end)
                control = None
            kept.keep(block.start, block.end)
    return kept.clean_parts()


def _blocks(data: bytes) -> Iterator[_Block]:
    """The screen with its colours, then all up to the trailer, or to the end where it lacks one."""
    _check_reaches(data, 13)
    position = _after_colours(13, data[10])
    _check_reaches(data, position)
    yield _Block(_SCREEN, 0, position)
    while position < len(data):
        start, kind = position, data[position]
        if kind == _EXTENSION:
            _check_reaches(data, start + 2)
            position, sub_blocks = _after_sub_blocks(data, start + 2)
            yield _Block(kind, start, position, data[start + 1], sub_blocks)
        elif kind == _PICTURE:
            _check_reaches(data, start + 10)
            code_size = _after_colours(start + 10, data[start + 9])
            position, _ = _after_sub_blocks(data, code_size + 1)
            yield _Block(kind, start, position)
        elif kind == _TRAILER:
            yield _Block(kind, start, start + 1)
            return
        else:
            raise DamagedImage("The GIF is damaged: it holds an unknown block")


def _check_reaches(data: bytes, end: int) -> None:
    if end > len(data):
        raise DamagedImage("The GIF is cut off: its last block is incomplete")


def _after_colours(start: int, flags: int) -> int:
    """Where a table of colours ends, which is there if the flags say so."""
    return start + (3 << ((flags & 7) + 1)) if flags & 0x80 else start


def _after_sub_blocks(data: bytes, position: int) -> tuple[int, int]:
    """Behind the terminator; and how many sub-blocks there were."""
    count = 0
    try:
        while size := data[position]:
            position += size + 1
            count += 1
    except IndexError as error:
        raise DamagedImage("The GIF is cut off: its last block is incomplete") from error
    return position + 1, count


def _says_how_often(data: bytes, extension: _Block) -> bool:
    """Whether an extension holds nothing but how often the animation repeats."""
    return (
        extension.label == _APPLICATION
        and data[extension.start + 3 : extension.start + 14] in _LOOP
        and extension.sub_blocks == 2
    )


def _corner(data: bytes, picture: _Block) -> tuple[int, int]:
    """How far right and down a frame reaches."""
    left, top, width, height = (
        int.from_bytes(data[picture.start + i : picture.start + i + 2], "little")
        for i in (1, 3, 5, 7)
    )
    if width == 0 or height == 0:
        raise DamagedImage("The GIF is damaged: a frame has no area")
    return left + width, top + height
