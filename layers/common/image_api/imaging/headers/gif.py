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
_LOOP_BYTES, _CONTROL_BYTES = 3, 4
_MAX_BLOCKS = 50_000
# Encoders fill them: 50 MB in sub-blocks of 255 bytes are 200,000.
_MAX_SUB_BLOCKS = 2_000_000


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
        elif _says_how_often(data, block):
            _keep_extension(kept, block, before=14, values=_LOOP_BYTES)
        elif block.kind != _EXTENSION:
            if control is not None and block.kind == _PICTURE:
                _keep_extension(kept, control, before=2, values=_CONTROL_BYTES)
                control = None
            kept.keep(block.start, block.end)
    return kept.clean_parts()


def _keep_extension(kept: KeptRanges, extension: _Block, *, before: int, values: int) -> None:
    """With no more than its values in the sub-block that stands `before` bytes behind its start."""
    start = extension.start + before
    whole = start + 1 + values + 1
    if extension.end == whole:
        kept.keep(extension.start, extension.end)
    elif extension.end > whole and kept.data[start] >= values:
        kept.keep(extension.start, start)
        kept.put(bytes((values,)) + kept.data[start + 1 : start + 1 + values] + b"\0")


def _blocks(data: bytes) -> Iterator[_Block]:
    """The screen with its colours, then all up to the trailer, or to the end where it lacks one."""
    _check_reaches(data, 13)
    position = _after_colours(13, data[10])
    _check_reaches(data, position)
    yield _Block(_SCREEN, 0, position)
    left = _MAX_SUB_BLOCKS
    for _ in range(_MAX_BLOCKS):
        if position >= len(data):
            return
        start, kind = position, data[position]
        if kind == _EXTENSION:
            _check_reaches(data, start + 2)
            position, sub_blocks = _after_sub_blocks(data, start + 2, left)
            left -= sub_blocks
            yield _Block(kind, start, position, data[start + 1], sub_blocks)
        elif kind == _PICTURE:
            _check_reaches(data, start + 10)
            code_size = _after_colours(start + 10, data[start + 9])
            position, sub_blocks = _after_sub_blocks(data, code_size + 1, left)
            left -= sub_blocks
            yield _Block(kind, start, position)
        elif kind == _TRAILER:
            yield _Block(kind, start, start + 1)
            return
        else:
            raise DamagedImage("The GIF is damaged: it holds an unknown block")
    raise DamagedImage("The GIF is damaged: it has too many blocks")


def _check_reaches(data: bytes, end: int) -> None:
    if end > len(data):
        raise DamagedImage("The GIF is cut off: its last block is incomplete")


def _after_colours(start: int, flags: int) -> int:
    """Where a table of colours ends, which is there if the flags say so."""
    return start + (3 << ((flags & 7) + 1)) if flags & 0x80 else start


def _after_sub_blocks(data: bytes, position: int, most: int) -> tuple[int, int]:
    """Behind the terminator; and how many sub-blocks there were."""
    try:
        for count in range(most):
            size = data[position]
            if size == 0:
                return position + 1, count
            position += size + 1
    except IndexError as error:
        raise DamagedImage("The GIF is cut off: its last block is incomplete") from error
    raise DamagedImage("The GIF is damaged: it has too many blocks")


def _says_how_often(data: bytes, extension: _Block) -> bool:
    """Whether an extension holds nothing but how often the animation repeats."""
    return (
        extension.label == _APPLICATION
        and data[extension.start + 3 : extension.start + 14] in _LOOP
        and extension.sub_blocks >= 2
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
