"""WebP (RFC 9649): a RIFF file of chunks, each a type and a length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from image_api.errors import DamagedImage
from image_api.imaging.headers.exif import exif_orientation
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import WEBP, StoredPicture, check_size

_LOSSY, _LOSSLESS, _ALPHA = b"VP8 ", b"VP8L", b"ALPH"
_EXTENDED, _FRAME = b"VP8X", b"ANMF"
_WANTED = {_LOSSY, _LOSSLESS, _ALPHA, _EXTENDED, _FRAME, b"ANIM", b"ICCP"}
_WANTED_IN_FRAME = {_LOSSY, _LOSSLESS, _ALPHA}
_EXIF_AND_XMP_FLAGS = 0x0C
_FRAME_HEADER_BYTES = 16


class _Chunk(NamedTuple):
    kind: bytes
    whole: memoryview
    """Without its padding."""

    @property
    def body(self) -> memoryview:
        return self.whole[8:]


def header(data: bytes) -> StoredPicture:
    size: tuple[int, int] | None = None
    orientation = 1
    pictures = frames = 0
    for chunk in _chunks(_riff_body(data)):
        if size is None:
            # The first chunk is the extended header, or else the picture itself.
            size = _size(chunk)
            check_size(*size)
        if chunk.kind == b"EXIF":
            orientation = exif_orientation(chunk.body)
        elif chunk.kind == _FRAME:
            frames += 1
            for _ in _chunks_of_frame(chunk):
                pass  # Looked at for what the generator refuses.
        pictures += chunk.kind in (_LOSSY, _LOSSLESS)
    if size is None or pictures + frames == 0:
        raise DamagedImage("The WebP is damaged: it holds no picture")
    check_size(*size, max(frames, 1))
    return StoredPicture(WEBP, *size, orientation, frames=max(frames, 1), web_safe=orientation == 1)


def clean_parts(data: bytes) -> list[Part]:
    kept: list[Part] = []
    for chunk in _chunks(_riff_body(data)):
        if chunk.kind == _EXTENDED:
            kept.extend(_without_flags(chunk))
        elif chunk.kind == _FRAME:
            kept.extend(_without_unknown_chunks(chunk))
        elif chunk.kind in _WANTED:
            kept.extend(_padded(chunk))
    length = len(b"WEBP") + sum(len(part) for part in kept)
    return [b"RIFF", length.to_bytes(4, "little"), b"WEBP", *kept]


def _riff_body(data: bytes) -> memoryview:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise DamagedImage(f"The WebP is cut off: {end - len(data)} bytes are missing")
    return memoryview(data)[12:end]


def _chunks(body: memoryview) -> Iterator[_Chunk]:
    position = 0
    while position + 8 <= len(body):
        end = position + 8 + int.from_bytes(body[position + 4 : position + 8], "little")
        if end > len(body):
            raise DamagedImage("The WebP is damaged: a chunk goes past its end")
        yield _Chunk(bytes(body[position : position + 4]), body[position:end])
        position = end + end % 2


def _chunks_of_frame(frame: _Chunk) -> Iterator[_Chunk]:
    """A frame is itself a list of chunks, with room for unknown ones at its end."""
    if len(frame.body) < _FRAME_HEADER_BYTES:
        raise DamagedImage("The WebP is damaged: a frame has no header")
    return _chunks(frame.body[_FRAME_HEADER_BYTES:])


def _size(first: _Chunk) -> tuple[int, int]:
    start = bytes(first.body[:10])
    if first.kind == _EXTENDED and len(start) == 10:
        return int.from_bytes(start[4:7], "little") + 1, int.from_bytes(start[7:10], "little") + 1
    if first.kind == _LOSSY and start[3:6] == b"\x9d\x01\x2a" and len(start) == 10:
        width, height = (int.from_bytes(start[i : i + 2], "little") for i in (6, 8))
        return width & 0x3FFF, height & 0x3FFF
    if first.kind == _LOSSLESS and start[:1] == b"\x2f" and len(start) >= 5:
        bits = int.from_bytes(start[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise DamagedImage("The WebP is damaged: its header cannot be read")


def _padded(chunk: _Chunk) -> tuple[Part, Part]:
    return chunk.whole, b"\0" * (len(chunk.whole) % 2)


def _without_flags(extended: _Chunk) -> tuple[Part, ...]:
    """The extended header, which no longer announces EXIF and XMP."""
    flags = bytes(byte & ~_EXIF_AND_XMP_FLAGS for byte in extended.body[:1])
    return extended.whole[:8], flags, extended.body[1:]


def _without_unknown_chunks(frame: _Chunk) -> tuple[Part, ...]:
    inner: list[Part] = [frame.body[:_FRAME_HEADER_BYTES]]
    for chunk in _chunks_of_frame(frame):
        if chunk.kind in _WANTED_IN_FRAME:
            inner.extend(_padded(chunk))
    return _FRAME, sum(len(part) for part in inner).to_bytes(4, "little"), *inner
