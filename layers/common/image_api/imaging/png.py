"""PNG and APNG (W3C PNG, third edition): chunks, each a length, a type, data and a CRC."""

from __future__ import annotations

import zlib

from image_api.errors import DamagedImage
from image_api.imaging.container import PNG, Container, Kept, exif_orientation
from image_api.imaging.model import check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES = 4 << 20
_MAX_CHUNKS = 500_000

_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_APPEARANCE = {
    b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD",
    b"pHYs",
}  # fmt: skip
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def inspect(data: bytes) -> Container:
    header = data[8:29]
    if len(header) < 21 or header[:8] != b"\0\0\0\x0dIHDR":
        raise DamagedImage("The PNG is damaged: it does not begin with a header")
    width, height = int.from_bytes(header[8:12], "big"), int.from_bytes(header[12:16], "big")
    bit_depth, colour_type = header[16], header[17]
    check_size(width, height)
    if bit_depth not in _BIT_DEPTHS.get(colour_type, ()):
        raise DamagedImage("The PNG is damaged: its header names an unknown kind of pixel")

    still, moving = Kept(data, [(0, 8)]), Kept(data, [(0, 8)])
    orientation = 1
    declared_frames = frames = 0
    seen: set[bytes] = set()
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise DamagedImage("The PNG is cut off: its end is missing")
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise DamagedImage("The PNG is cut off: its last chunk is incomplete")
        checksum = int.from_bytes(data[end - 4 : end], "big")
        intact = zlib.crc32(memoryview(data)[position + 4 : end - 4]) == checksum
        if not intact and (kind in _CRITICAL or kind in _ANIMATION):
            raise DamagedImage("The PNG is damaged: a checksum is wrong")
        if kind in (b"IHDR", b"PLTE", b"acTL") and kind in seen:
            raise DamagedImage("The PNG is damaged: it has more than one header")

        body = data[position + 8 : end - 4] if kind in (b"eXIf", b"iCCP", b"acTL") else b""
        if kind == b"eXIf":
            orientation = exif_orientation(body)
        elif kind == b"acTL" and length == 8 and b"IDAT" not in seen:
            declared_frames = int.from_bytes(body[:4], "big")
        elif kind == b"fcTL":
            frames += 1
        if kind in _CRITICAL or (kind in _APPEARANCE and intact and _is_sound(kind, body)):
            still.keep(position, end)
            moving.keep(position, end)
        elif kind in _ANIMATION:
            moving.keep(position, end)
        seen.add(kind)
        position = end
        if kind == b"IEND":
            break
    else:
        raise DamagedImage("The PNG is damaged: it has too many chunks")
    if b"IDAT" not in seen or (colour_type == 3 and b"PLTE" not in seen):
        raise DamagedImage("The PNG is damaged: it holds no picture")
    if declared_frames and declared_frames != frames:
        raise DamagedImage("The PNG is damaged: frames of its animation are missing")

    kept = moving if declared_frames else still
    return Container(
        PNG,
        data,
        width,
        height,
        orientation,
        frames=max(declared_frames, 1),
        web_safe=orientation == 1 and bit_depth <= 8,
        parts=None if kept.is_everything else kept.parts(),
    )


def _is_sound(kind: bytes, body: bytes) -> bool:
    """Whether a decoder can read the chunk: a broken colour profile counts as none."""
    if kind != b"iCCP":
        return True
    _, separator, compressed = body.partition(b"\0")
    if not separator or compressed[:1] != b"\0":
        return False
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(compressed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return inflater.eof
