"""EXIF (CIPA DC-008): of all that it says, how the camera was held."""

from __future__ import annotations

import struct

_IDENTIFIER = b"Exif\0\0"
_ORIENTATION = 0x0112


def exif_orientation(exif: memoryview) -> int:
    """The orientation in an EXIF block (a TIFF header, perhaps after `Exif\\0\\0`), 1 to 8.

    1, which is upright, where there is none or the block cannot be read: browsers do the same.
    """
    if exif[: len(_IDENTIFIER)] == _IDENTIFIER:
        exif = exif[len(_IDENTIFIER) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(exif[:4]))
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, values, value = struct.unpack_from(order + "HHIH", exif, entry)
            if tag == _ORIENTATION:
                return value if (kind, values) == (3, 1) and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
