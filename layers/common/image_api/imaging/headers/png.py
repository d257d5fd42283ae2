"""PNG and APNG (W3C PNG, third edition): chunks, each a length, a type, data and a CRC."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

from image_api.errors import DamagedImage
from image_api.imaging.headers.exif import exif_orientation, taken_at
from image_api.imaging.headers.icc import clean_profile
from image_api.imaging.headers.ranges import KeptRanges, Part
from image_api.imaging.model import MAX_PROFILE_BYTES, PNG, StoredPicture, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 100_000

_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_PIXELS = _CRITICAL | _ANIMATION
_SINGLE = {b"IHDR", b"PLTE", b"acTL"}
_APPEARANCE: dict[bytes, Collection[int]] = {
    b"tRNS": range(1, 257), b"cHRM": (32,), b"gAMA": (4,), b"iCCP": range(1 << 31),
    b"sBIT": (1, 2, 3, 4), b"sRGB": (1,), b"cICP": (4,), b"mDCV": (24,), b"cLLI": (8,),
    b"bKGD": (1, 2, 6), b"pHYs": (9,),
}  # fmt: skip
"""How long each may be: with another length it says nothing, and decoders choke on some."""
_TRANSPARENT_COLOUR = {0: (2,), 2: (6,)}
"""What `tRNS` is where there is no palette, by type of colour."""
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_WITH_PALETTE = 3
_PROFILE_NAME = b"ICC Profile"


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    whole: memoryview

    @property
    def end(self) -> int:
        return self.start + len(self.whole)

    @property
    def body(self) -> memoryview:
        return self.whole[8:-4]

    @property
    def is_intact(self) -> bool:
        return zlib.crc32(self.whole[4:-4]) == int.from_bytes(self.whole[-4:], "big")


class _ImageHeader(NamedTuple):
    width: int
    height: int
    bit_depth: int
    colour_type: int

    @property
    def required_chunks(self) -> set[bytes]:
        return {b"IDAT", b"PLTE"} if self.colour_type == _WITH_PALETTE else {b"IDAT"}


class _Frames:
    """Those of an animation: their chunks are numbered, and each frame has pixels; the first may
    have those of the picture."""

    def __init__(self) -> None:
        self.count = 0
        self._numbers = 0
        self._in_order = True
        self._awaits_pixels = False
        self._takes_pixels = False

    def add(self, chunk: _Chunk, *, is_behind_pixels: bool) -> None:
        number = int.from_bytes(chunk.body[:4], "big")
        self._in_order &= len(chunk.body) >= 4 and number == self._numbers
        self._numbers += 1
        if chunk.kind == b"fcTL":
            self._in_order &= not self._awaits_pixels
            self._awaits_pixels = self._takes_pixels = is_behind_pixels
            self.count += 1
        else:
            self._in_order &= self._takes_pixels
            self._awaits_pixels = False

    @property
    def are_complete(self) -> bool:
        return self._in_order and not self._awaits_pixels


def header(data: bytes) -> StoredPicture:
    image_header = _image_header(data)
    orientation = 0
    taken: str | None = None
    declared_frames, frames = 0, _Frames()
    seen: set[bytes] = set()
    for chunk in _chunks(data):
        _check(chunk, seen)
        if chunk.kind == b"eXIf" and not orientation:
            orientation, taken = exif_orientation(chunk.body), taken_at(chunk.body)
        elif chunk.kind == b"acTL" and b"IDAT" not in seen:
            declared_frames = _declared_frames(chunk)
        elif chunk.kind in (b"fcTL", b"fdAT"):
            frames.add(chunk, is_behind_pixels=b"IDAT" in seen)
        if chunk.kind in _PIXELS:
            seen.add(chunk.kind)
    if not image_header.required_chunks <= seen:
        raise DamagedImage("The PNG is damaged: it holds no picture")
    if declared_frames and not (frames.are_complete and frames.count == declared_frames):
        raise DamagedImage("The PNG is damaged: frames of its animation are missing")
    return StoredPicture(
        PNG,
        image_header.width,
        image_header.height,
        orientation or 1,
        frames=max(declared_frames, 1),
        web_safe=orientation <= 1 and image_header.bit_depth <= 8,
        taken_at=taken,
    )


def bit_depth(data: bytes) -> int:
    """Of a sample: 1, 2, 4, 8 or 16."""
    return _image_header(data).bit_depth


def clean_parts(data: bytes) -> list[Part]:
    before_pixels = itertools.takewhile(lambda chunk: chunk.kind != b"IDAT", _chunks(data))
    moves = any(_declared_frames(chunk) for chunk in before_pixels if chunk.kind == b"acTL")
    pixels = _PIXELS if moves else _CRITICAL
    kept = KeptRanges(data, [(0, len(SIGNATURE))])
    colour_type = _image_header(data).colour_type
    seen: set[bytes] = set()
    for chunk in _chunks(data):
        if chunk.kind in pixels:
            kept.keep(chunk.start, chunk.end)
        elif chunk.kind not in seen and chunk.is_intact and _says_something(chunk, colour_type):
            # Each stands once; decoders take the first, or the last, or inflate all of them.
            seen.add(chunk.kind)
            if chunk.kind == b"iCCP":
                kept.put(_clean_profile_chunk(chunk))
            else:
                kept.keep(chunk.start, chunk.end)
    return kept.clean_parts()


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """All up to the end of the image, the first of them its header."""
    view = memoryview(data)
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise DamagedImage("The PNG is cut off: its end is missing")
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if end > len(data):
            raise DamagedImage("The PNG is cut off: its last chunk is incomplete")
        kind = data[position + 4 : position + 8]
        yield _Chunk(kind, position, view[position:end])
        if kind == b"IEND":
            return
        position = end
    raise DamagedImage("The PNG is damaged: it has too many chunks")


def _image_header(data: bytes) -> _ImageHeader:
    start = data[8:29]
    if len(start) < 21 or start[:8] != b"\0\0\0\x0dIHDR":
        raise DamagedImage("The PNG is damaged: it does not begin with a header")
    width, height = int.from_bytes(start[8:12], "big"), int.from_bytes(start[12:16], "big")
    bit_depth, colour_type = start[16], start[17]
    check_size(width, height)
    if bit_depth not in _BIT_DEPTHS.get(colour_type, ()):
        raise DamagedImage("The PNG is damaged: its header names an unknown kind of pixel")
    return _ImageHeader(width, height, bit_depth, colour_type)


def _check(chunk: _Chunk, seen: set[bytes]) -> None:
    if chunk.kind in _PIXELS and not chunk.is_intact:
        raise DamagedImage("The PNG is damaged: a checksum is wrong")
    if chunk.kind in _SINGLE and chunk.kind in seen:
        raise DamagedImage("The PNG is damaged: it has more than one header")


def _says_something(chunk: _Chunk, colour_type: int) -> bool:
    """Of how the pixels are to be shown."""
    lengths = _APPEARANCE.get(chunk.kind, ())
    if chunk.kind == b"tRNS":
        lengths = _TRANSPARENT_COLOUR.get(colour_type, lengths)
    return len(chunk.body) in lengths


def _declared_frames(animation_control: _Chunk) -> int:
    """How many frames an animation has; 0 where the picture does not move."""
    body = animation_control.body
    return int.from_bytes(body[:4], "big") if len(body) == 8 else 0


def _clean_profile_chunk(chunk: _Chunk) -> bytes:
    """The chunk with a clean profile, as it is where that is clean already; empty where it cannot
    be read: a broken profile counts as none."""
    name, separator, compressed = bytes(chunk.body).partition(b"\0")
    if not separator or compressed[:1] != b"\0":
        return b""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(compressed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    cleaned = clean_profile(profile) if inflater.eof else b""
    if not cleaned:
        return b""
    if cleaned == profile and name == _PROFILE_NAME and not inflater.unused_data:
        return bytes(chunk.whole)
    body = _PROFILE_NAME + b"\0\0" + zlib.compress(cleaned, 9)
    kind_and_body = b"iCCP" + body
    checksum = zlib.crc32(kind_and_body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind_and_body + checksum
