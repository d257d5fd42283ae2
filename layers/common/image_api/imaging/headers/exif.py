"""EXIF (CIPA DC-008): of all that it says, how the camera was held, and when."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

_IDENTIFIER = b"Exif\0\0"
_ORIENTATION, _EXIF_DIRECTORY, _TAKEN_AT = 0x0112, 0x8769, 0x9003
_ASCII, _SHORT, _LONG, _DIRECTORY = 2, 3, 4, 13
_TIME_BYTES = 20
_TIME = re.compile(rb"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)\0")


class _Entry(NamedTuple):
    tag: int
    kind: int
    values: int
    value_at: int


def exif_orientation(exif: memoryview) -> int:
    """The orientation in an EXIF block (a TIFF header, perhaps after `Exif\\0\\0`), 1 to 8.

    1, which is upright, where there is none or the block cannot be read: browsers do the same.
    """
    block, order = _block(exif)
    try:
        for tag, kind, values, value_at in _entries(block, order, 4):
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(order + "H", block, value_at)
                return value if (kind, values) == (_SHORT, 1) and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def taken_at(exif: memoryview) -> str | None:
    """When the picture was taken by the camera's clock, such as 2024-11-02T18:10:16; None where
    the block does not say it, or says no time that there is.
    """
    block, order = _block(exif)
    try:
        for tag, kind, values, value_at in _entries(block, order, 4):
            if tag == _EXIF_DIRECTORY and kind in (_LONG, _DIRECTORY) and values == 1:
                return _taken_at(block, order, value_at)
    except struct.error:
        return None
    return None


def _taken_at(block: memoryview, order: str, directory_at: int) -> str | None:
    for tag, kind, values, value_at in _entries(block, order, directory_at):
        if tag == _TAKEN_AT and (kind, values) == (_ASCII, _TIME_BYTES):
            (start,) = struct.unpack_from(order + "I", block, value_at)
            found = _TIME.fullmatch(bytes(block[start : start + _TIME_BYTES]))
            return _as_time(found) if found else None
    return None


def _as_time(found: re.Match[bytes]) -> str | None:
    try:
        return datetime(*map(int, found.groups())).isoformat()  # type: ignore[arg-type]
    except ValueError:
        # Clocks that were never set say 0000:00:00 00:00:00.
        return None


def _block(exif: memoryview) -> tuple[memoryview, str]:
    """Without its identifier, and its byte order as `struct` names it; empty if not a TIFF."""
    if exif[: len(_IDENTIFIER)] == _IDENTIFIER:
        exif = exif[len(_IDENTIFIER) :]
    return exif, {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(exif[:4]), "")


def _entries(block: memoryview, order: str, directory_at: int) -> Iterator[_Entry]:
    """Of the directory whose position is written there. Raises struct.error past the end."""
    if not order:
        return
    (directory,) = struct.unpack_from(order + "I", block, directory_at)
    (count,) = struct.unpack_from(order + "H", block, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", block, entry)
        yield _Entry(tag, kind, values, entry + 8)
