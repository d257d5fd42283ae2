"""WebP (RFC 9649): a RIFF file of chunks, each a type and a length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from image_api.errors import DamagedImage
from image_api.imaging.headers.exif import exif_orientation, taken_at
from image_api.imaging.headers.icc import clean_profile
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import MAX_PROFILE_BYTES, WEBP, StoredPicture, check_size

_LOSSY, _LOSSLESS, _ALPHA = b"VP8 ", b"VP8L", b"ALPH"
_EXTENDED, _FRAME = b"VP8X", b"ANMF"
_PROFILE = b"ICCP"
_WANTED = {_LOSSY, _LOSSLESS, _ALPHA, _EXTENDED, b"ANIM", _PROFILE}
_WANTED_IN_FRAME = {_LOSSY, _LOSSLESS, _ALPHA}
_EXIF_AND_XMP_FLAGS, _PROFILE_FLAG = 0x0C, 0x20
_MAX_CHUNKS = 50_000
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
    orientation = pictures = frames = 0
    taken: str | None = None
    budget = _Budget()
    for chunk in _chunks(_riff_body(data), budget):
        if size is None:
            # The first chunk is the extended header, or else the picture itself.
            size = _size(chunk)
            check_size(*size)
        elif chunk.kind == _EXTENDED:
            raise DamagedImage("The WebP is damaged: it has more than one header")
        if chunk.kind == b"EXIF" and not orientation:
            orientation, taken = exif_orientation(chunk.body), taken_at(chunk.body)
        elif chunk.kind == _FRAME:
            frames += 1
            check_size(*size, frames)
            _check_once(_chunks_of_frame(chunk, budget))
        pictures += chunk.kind in (_LOSSY, _LOSSLESS)
    if size is None or pictures + frames == 0:
        raise DamagedImage("The WebP is damaged: it holds no picture")
    _check_once(_chunks(_riff_body(data), _Budget()))
    return StoredPicture(
        WEBP,
        *size,
        orientation or 1,
        frames=max(frames, 1),
        web_safe=orientation <= 1,
        taken_at=taken,
    )


def clean_parts(data: bytes) -> list[Part]:
    kept: list[Part] = []
    seen: set[bytes] = set()
    budget = _Budget()
    has_profile = False
    for chunk in _chunks(_riff_body(data), budget):
        if chunk.kind == _FRAME:
            kept.extend(_without_unknown_chunks(chunk, budget))
        elif chunk.kind in _WANTED and chunk.kind not in seen:
            # Decoders ignore what stands twice, or stumble over it.
            seen.add(chunk.kind)
            if chunk.kind == _PROFILE:
                profile = _clean_profile_chunk(chunk)
                has_profile = bool(profile)
                kept.extend(profile)
            else:
                kept.extend(_padded(chunk))
    if kept and bytes(kept[0][:4]) == _EXTENDED:
        kept[0] = _with_true_flags(bytes(kept[0]), has_profile=has_profile)
    length = len(b"WEBP") + sum(len(part) for part in kept)
    return [b"RIFF", length.to_bytes(4, "little"), b"WEBP", *kept]


class _Budget:
    """Counts chunks, those within frames as well: each one costs a step."""

    left = _MAX_CHUNKS

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DamagedImage("The WebP is damaged: it has too many chunks")


def _check_once(chunks: Iterator[_Chunk]) -> None:
    """One picture, and one plane of transparency, in a file or in a frame."""
    pictures = alphas = 0
    for chunk in chunks:
        pictures += chunk.kind in (_LOSSY, _LOSSLESS)
        alphas += chunk.kind == _ALPHA
    if max(pictures, alphas) > 1:
        raise DamagedImage("The WebP is damaged: it holds more than one picture")


def _riff_body(data: bytes) -> memoryview:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise DamagedImage(f"The WebP is cut off: {end - len(data)} bytes are missing")
    return memoryview(data)[12:end]


def _chunks(body: memoryview, budget: _Budget) -> Iterator[_Chunk]:
    position = 0
    while position + 8 <= len(body):
        budget.count()
        end = position + 8 + int.from_bytes(body[position + 4 : position + 8], "little")
        if end > len(body):
            raise DamagedImage("The WebP is damaged: a chunk goes past its end")
        yield _Chunk(bytes(body[position : position + 4]), body[position:end])
        position = end + end % 2


def _chunks_of_frame(frame: _Chunk, budget: _Budget) -> Iterator[_Chunk]:
    """A frame is itself a list of chunks, with room for unknown ones at its end."""
    if len(frame.body) < _FRAME_HEADER_BYTES:
        raise DamagedImage("The WebP is damaged: a frame has no header")
    return _chunks(frame.body[_FRAME_HEADER_BYTES:], budget)


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


def _with_true_flags(extended: bytes, *, has_profile: bool) -> bytes:
    """The extended header, which no longer announces EXIF, XMP and a profile that has gone."""
    gone = _EXIF_AND_XMP_FLAGS if has_profile else _EXIF_AND_XMP_FLAGS | _PROFILE_FLAG
    return extended[:8] + bytes(byte & ~gone for byte in extended[8:9]) + extended[9:]


def _clean_profile_chunk(chunk: _Chunk) -> tuple[Part, ...]:
    """Nothing where the profile cannot be read."""
    profile = clean_profile(bytes(chunk.body)) if len(chunk.body) <= MAX_PROFILE_BYTES else b""
    if not profile:
        return ()
    return _PROFILE, len(profile).to_bytes(4, "little"), profile, b"\0" * (len(profile) % 2)


def _without_unknown_chunks(frame: _Chunk, budget: _Budget) -> tuple[Part, ...]:
    inner: list[Part] = [frame.body[:_FRAME_HEADER_BYTES]]
    for chunk in _chunks_of_frame(frame, budget):
        if chunk.kind in _WANTED_IN_FRAME:
            inner.extend(_padded(chunk))
    return _FRAME, sum(len(part) for part in inner).to_bytes(4, "little"), *inner
