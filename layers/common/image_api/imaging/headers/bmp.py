"""BMP (Windows and OS/2 bitmaps): a file header, a bitmap header, perhaps colours, then rows."""

from __future__ import annotations

import functools
import operator
import struct
from typing import NamedTuple

from image_api.errors import DamagedImage, NotAnImage, UnsupportedFormat
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import BMP, StoredPicture, check_size

_OS2_1, _OS2_2, _WITH_ALPHA = 12, 64, 56
_HEADER_BYTES = (_OS2_1, 40, 52, _WITH_ALPHA, _OS2_2, 108, 124)
_UNCOMPRESSED, _RLE8, _RLE4, BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_BGR = (0xFF0000, 0xFF00, 0xFF, 0)
_COLOURS_AT, _MASKS_AT = 46, 54
# One code of run-length encoding may skip 255 rows, which a decoder fills in one step.
_MAX_RLE_WIDTH = 65_535


class BitFields(NamedTuple):
    """Where the bits of each colour lie in a pixel; the rows are padded to four bytes."""

    width: int
    height: int
    bits: int
    compression: int
    top_down: bool
    rows_at: int
    masks: tuple[int, int, int, int]
    """Of red, green, blue and alpha; contiguous, and 0 for what there is none of."""

    @property
    def row_bytes(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4


class _Header(NamedTuple):
    header_bytes: int
    width: int
    height: int
    bits: int
    compression: int


def header(data: bytes) -> StoredPicture:
    bitmap = _header(data)
    width, height = bitmap.width, abs(bitmap.height)  # negative: the rows go from the top down
    check_size(width, height)
    if bitmap.bits in (0, 2):
        raise _unsupported("BMPs with two bits a pixel, or with another file inside,")
    if bitmap.bits not in (1, 4, 8, 16, 24, 32):
        raise DamagedImage(f"The BMP is damaged: its header says {bitmap.bits} bits per pixel")
    if bitmap.compression in (_RLE8, _RLE4) and width <= _MAX_RLE_WIDTH and bitmap.bits <= 8:
        return StoredPicture(BMP, width, height)
    fields = bit_fields(data)
    if fields is None and bitmap.compression != _UNCOMPRESSED:
        raise _unsupported("BMPs with this compression")
    if fields is not None and not _are_readable(fields):
        raise _unsupported("BMPs with colours in these bits")
    _check_rows_are_there(data, (width * bitmap.bits + 31) // 32 * 4, height)
    return StoredPicture(BMP, width, height)


def clean_parts(data: bytes) -> list[Part]:
    """All of it: the format has no room for metadata, and a BMP is never served. Of a palette with
    more colours than its pixels can name, which decoders choke on, it says what they can."""
    bitmap, view = _header(data), memoryview(data)
    if bitmap.bits > 8 or bitmap.header_bytes == _OS2_1 or len(data) < _COLOURS_AT + 4:
        return [view]
    (colours,) = struct.unpack_from("<I", data, _COLOURS_AT)
    most = struct.pack("<I", min(colours, 1 << bitmap.bits))
    return [view[:_COLOURS_AT], most, view[_COLOURS_AT + 4 :]]


def bit_fields(data: bytes) -> BitFields | None:
    """None where the colours stand in bytes, or in a palette."""
    header_bytes, width, height, bits, compression = _header(data)
    if compression not in (BIT_FIELDS, _ALPHA_BIT_FIELDS) or header_bytes == _OS2_2:
        return None
    has_alpha = header_bytes >= _WITH_ALPHA or compression == _ALPHA_BIT_FIELDS
    count = 4 if has_alpha else 3
    if len(data) < _MASKS_AT + 4 * count:
        raise DamagedImage("The BMP is cut off: its header is incomplete")
    red, green, blue, *alpha = struct.unpack_from(f"<{count}I", data, _MASKS_AT)
    masks = (red, green, blue, alpha[0] if alpha else 0)
    (rows_at,) = struct.unpack_from("<I", data, 10)
    return BitFields(width, abs(height), bits, compression, height < 0, rows_at, masks)


def _header(data: bytes) -> _Header:
    if len(data) < 26 or (header_bytes := data[14]) not in _HEADER_BYTES or any(data[15:18]):
        raise NotAnImage("The file is not an image: it only begins like a BMP")
    if header_bytes == _OS2_1:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
        return _Header(header_bytes, width, height, bits, _UNCOMPRESSED)
    if len(data) < 34:
        raise DamagedImage("The BMP is cut off: its header is incomplete")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    return _Header(header_bytes, width, height, bits, compression)


def _are_readable(fields: BitFields) -> bool:
    masks = [mask for mask in fields.masks if mask]
    if fields.bits == 24:
        return fields.masks == _BGR and fields.compression == BIT_FIELDS
    if fields.bits == 32 and not masks:
        return True
    return (
        fields.bits in (16, 32)
        and any(fields.masks[:3])
        and all(_is_contiguous(mask) and mask >> fields.bits == 0 for mask in masks)
        # None overlaps another.
        and sum(mask.bit_count() for mask in masks)
        == functools.reduce(operator.or_, masks).bit_count()
    )


def _is_contiguous(mask: int) -> bool:
    lowest = mask & -mask
    return (mask // lowest) & (mask // lowest + 1) == 0


def _check_rows_are_there(data: bytes, row_bytes: int, rows: int) -> None:
    (start,) = struct.unpack_from("<I", data, 10)
    if start + row_bytes * rows > len(data):
        raise DamagedImage("The BMP is cut off: rows of pixels are missing")


def _unsupported(kind: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"{kind} are not accepted; save the picture as PNG or JPEG")
