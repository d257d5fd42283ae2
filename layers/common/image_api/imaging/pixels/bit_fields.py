"""Bitmaps whose colours lie in any bits of a pixel, which Pillow reads for the common ones only."""

from __future__ import annotations

import functools

from PIL import Image, ImageChops

from image_api.imaging.headers.bmp import BIT_FIELDS, BitFields

_READ_BY_PILLOW = {
    (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
    (32, (0xFF000000, 0xFF00, 0xFF, 0)),
    (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    (32, (0xFF000000, 0xFF00, 0xFF, 0xFF0000)),
    (32, (0, 0, 0, 0)),
    (24, (0xFF0000, 0xFF00, 0xFF, 0)),
    (16, (0xF800, 0x7E0, 0x1F, 0)),
    (16, (0x7C00, 0x3E0, 0x1F, 0)),
}


def are_read_by_pillow(fields: BitFields) -> bool:
    return fields.compression == BIT_FIELDS and (fields.bits, fields.masks) in _READ_BY_PILLOW


def decode(data: bytes, fields: BitFields) -> Image.Image:
    """RGB, or RGBA where there is a mask for transparency."""
    # The pixels' bytes, the lowest first, as if they were bands.
    mode = "LA" if fields.bits == 16 else "RGBA"
    rows = memoryview(data)[fields.rows_at : fields.rows_at + fields.row_bytes * fields.height]
    size = (fields.width, fields.height)
    direction = 1 if fields.top_down else -1
    raw = Image.frombytes(mode, size, rows, "raw", mode, fields.row_bytes, direction)
    in_bytes = raw.split()
    del raw
    masks = fields.masks if fields.masks[3] else fields.masks[:3]
    return Image.merge("RGB" if len(masks) == 3 else "RGBA", [_band(in_bytes, m) for m in masks])


def _band(in_bytes: tuple[Image.Image, ...], mask: int) -> Image.Image:
    """The eight highest bits of a mask, or its fewer ones spread over eight."""
    if mask == 0:
        return Image.new("L", in_bytes[0].size, 0)
    lowest = max((mask & -mask).bit_length() - 1, mask.bit_length() - 8)
    largest = mask >> lowest
    parts = [
        byte.point([(value << 8 * place & mask) >> lowest for value in range(256)])
        for place, byte in enumerate(in_bytes)
        if (0xFF << 8 * place & mask) >> lowest
    ]
    joined = functools.reduce(ImageChops.add, parts)
    if largest == 0xFF:
        return joined
    return joined.point([min(255, (value * 255 + largest // 2) // largest) for value in range(256)])
