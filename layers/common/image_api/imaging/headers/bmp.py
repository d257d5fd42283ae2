"""BMP (Windows and OS/2 bitmaps): a file header, a bitmap header, perhaps colours, then rows."""

from __future__ import annotations

import struct

from image_api.errors import DamagedImage, NotAnImage, UnsupportedFormat
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import BMP, StoredPicture, check_size

_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)
_UNCOMPRESSED, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6


def header(data: bytes) -> StoredPicture:
    if len(data) < 26 or (header_bytes := data[14]) not in _HEADER_BYTES or any(data[15:18]):
        raise NotAnImage("The file is not an image: it only begins like a BMP")
    compression = _UNCOMPRESSED
    if header_bytes == 12:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
    elif len(data) < 34:
        raise DamagedImage("The BMP is cut off: its header is incomplete")
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)  # negative: the rows go from the top down
    check_size(width, height)
    if bits not in (1, 2, 4, 8, 16, 24, 32):
        raise DamagedImage(f"The BMP is damaged: its header says {bits} bits per pixel")
    if compression in (_UNCOMPRESSED, _BITFIELDS, _ALPHA_BITFIELDS):
        _check_rows_are_there(data, (width * bits + 31) // 32 * 4, height)
    elif compression not in (_RLE8, _RLE4):
        raise UnsupportedFormat(
            "BMPs with this compression are not accepted; save the picture as PNG or JPEG"
        )
    return StoredPicture(BMP, width, height)


def clean_parts(data: bytes) -> list[Part]:
    """All of it: the format has no room for metadata, and a BMP is never served."""
    return [data]


def _check_rows_are_there(data: bytes, row_bytes: int, rows: int) -> None:
    (start,) = struct.unpack_from("<I", data, 10)
    if start + row_bytes * rows > len(data):
        raise DamagedImage("The BMP is cut off: rows of pixels are missing")
