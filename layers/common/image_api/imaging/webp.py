"""WebP (RFC 9649): a RIFF file of chunks, each a type and a length."""

from __future__ import annotations

from collections.abc import Iterator

from image_api.errors import DamagedImage
from image_api.imaging.container import WEBP, Container, exif_orientation
from image_api.imaging.model import check_size

_LOSSY, _LOSSLESS, _EXTENDED, _FRAME = b"VP8 ", b"VP8L", b"VP8X", b"ANMF"
_WANTED = {_LOSSY, _LOSSLESS, _EXTENDED, _FRAME, b"ALPH", b"ANIM", b"ICCP"}
_EXIF_AND_XMP_FLAGS = 0x0C
_FRAME_HEADER_BYTES = 16


def inspect(data: bytes) -> Container:
    size: tuple[int, int] | None = None
    orientation = 1
    pictures = frames = 0
    wanted: list[bytes | memoryview] = []
    for kind, chunk in _chunks(_riff_body(data)):
        body = chunk[8:]
        if size is None:
            # The first chunk is the extended header, or else the picture itself.
            size = _size(kind, bytes(body[:10]))
            check_size(*size)
        if kind == b"EXIF":
            orientation = exif_orientation(bytes(body))
        pictures += kind in (_LOSSY, _LOSSLESS)
        frames += kind == _FRAME
        if kind in _WANTED:
            wanted.extend(_without_metadata(kind, chunk))
    if size is None or pictures + frames == 0:
        raise DamagedImage("The WebP is damaged: it holds no picture")
    check_size(*size, max(frames, 1))
    length = 4 + sum(len(part) for part in wanted)
    clean = (b"RIFF", length.to_bytes(4, "little"), b"WEBP", *wanted)
    return Container(
        WEBP,
        data,
        *size,
        orientation,
        frames=max(frames, 1),
        web_safe=orientation == 1,
        parts=None if b"".join(clean) == data else clean,
    )


def _riff_body(data: bytes) -> memoryview:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise DamagedImage(f"The WebP is cut off: {end - len(data)} bytes are missing")
    return memoryview(data)[12:end]


def _chunks(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's type, and the whole chunk without its padding."""
    position = 0
    while position + 8 <= len(body):
        end = position + 8 + int.from_bytes(body[position + 4 : position + 8], "little")
        if end > len(body):
            raise DamagedImage("The WebP is damaged: a chunk goes past its end")
        yield bytes(body[position : position + 4]), body[position:end]
        position = end + end % 2


def _size(kind: bytes, start: bytes) -> tuple[int, int]:
    if kind == _EXTENDED and len(start) == 10:
        return int.from_bytes(start[4:7], "little") + 1, int.from_bytes(start[7:10], "little") + 1
    if kind == _LOSSY and start[3:6] == b"\x9d\x01\x2a" and len(start) == 10:
        width, height = (int.from_bytes(start[i : i + 2], "little") for i in (6, 8))
        return width & 0x3FFF, height & 0x3FFF
    if kind == _LOSSLESS and start[:1] == b"\x2f" and len(start) >= 5:
        bits = int.from_bytes(start[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise DamagedImage("The WebP is damaged: its header cannot be read")


def _without_metadata(kind: bytes, chunk: memoryview) -> Iterator[bytes | memoryview]:
    if kind == _EXTENDED:
        yield chunk[:8]
        yield bytes([chunk[8] & ~_EXIF_AND_XMP_FLAGS])
        yield chunk[9:]
        return
    if kind == _FRAME:
        # A frame is itself a list of chunks, with room for unknown ones at its end.
        if len(chunk) < 8 + _FRAME_HEADER_BYTES:
            raise DamagedImage("The WebP is damaged: a frame has no header")
        inner: list[bytes | memoryview] = [chunk[8 : 8 + _FRAME_HEADER_BYTES]]
        for inner_kind, inner_chunk in _chunks(chunk[8 + _FRAME_HEADER_BYTES :]):
            if inner_kind in (_LOSSY, _LOSSLESS, b"ALPH"):
                inner.extend((inner_chunk, b"\0" * (len(inner_chunk) % 2)))
        yield kind + sum(len(part) for part in inner).to_bytes(4, "little")
        yield from inner
        return
    yield chunk
    yield b"\0" * (len(chunk) % 2)
