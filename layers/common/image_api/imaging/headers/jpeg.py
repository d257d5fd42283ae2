"""JPEG (ITU-T T.81): segments, each a marker and a length, around entropy-coded scans."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.headers.exif import exif_orientation, taken_at
from image_api.imaging.headers.icc import clean_profile
from image_api.imaging.headers.ranges import KeptRanges, Part
from image_api.imaging.model import JPEG, MAX_PROFILE_BYTES, StoredPicture, check_size

_MAX_SEGMENTS = 65_536
# Each scan of a progressive JPEG goes over the whole picture: a few hundred empty ones in a small
# file keep a decoder busy for minutes. Encoders write about ten.
_MAX_SCANS = 100
# Of these a scan of 50 MB has some 200,000, or as many as it has blocks where each is restarted.
_MAX_ESCAPES = 2_000_000
_WINDOW_BYTES = 64 * 1024

_EOI, _SOS = 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_END_OF_IMAGE = b"\xff\xd9"
_COEFFICIENTS = 64
_BASELINE_EXTENDED_PROGRESSIVE = {0xC0, 0xC1, 0xC2}
_LOSSLESS_OR_ARITHMETIC = {0xC3, 0xC9, 0xCA, 0xCB}
_FRAMES = _BASELINE_EXTENDED_PROGRESSIVE | _LOSSLESS_OR_ARITHMETIC
_SEQUENTIAL = {0xC0, 0xC1, 0xC3, 0xC9, 0xCB}
_ARITHMETIC = {0xC9, 0xCA, 0xCB}
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF}
_JPEG_LS = 0xF7
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_KNOWN = _FRAMES | _TABLES | {_SOS, _EOI} | set(range(_APP0, 0x100))
_AFTER_A_SCAN = _KNOWN - _FRAMES

_PROFILE = b"ICC_PROFILE\0"
# XMP has the same marker.
_EXIF = b"Exif\0\0"
_PROFILE_PIECE_BYTES = 65_519
_JFIF_BYTES, _ADOBE_BYTES = 14, 12

# In entropy-coded data FF is followed by 00, or by a restart marker; FF FF is a fill byte.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class _Segment(NamedTuple):
    marker: int
    payload: memoryview
    start: int
    end: int
    """Behind the payload, and behind the entropy-coded data that follows a start of scan."""

    def begins_with(self, identifier: bytes) -> bool:
        return bytes(self.payload[: len(identifier)]) == identifier

    @property
    def profile_piece(self) -> memoryview | None:
        if self.marker == _APP2 and self.begins_with(_PROFILE) and len(self.payload) > 14:
            return self.payload
        return None


class _Frame(NamedTuple):
    marker: int
    width: int
    height: int
    components: bytes

    @property
    def is_web_safe(self) -> bool:
        return self.marker in _BASELINE_EXTENDED_PROGRESSIVE and len(self.components) in (1, 3)


class Scans(NamedTuple):
    """Where the entropy-coded data of a cleaned file lies, for a decoder to be watched over it."""

    start: int
    """Behind the header of the first scan."""
    end: int
    are_one: bool
    """One scan holds the whole picture; a decoder reads no further."""
    height_at: int
    """Where the frame header has the number of rows, in two bytes."""
    are_arithmetic: bool
    """Coded in a way that no decoder can stop in."""


def header(data: bytes) -> StoredPicture:
    frame: _Frame | None = None
    scans = orientation = last = 0
    taken: str | None = None
    missing: set[tuple[int, int]] = set()
    for segment in _segments(data):
        last = segment.marker
        if segment.marker in _FRAMES:
            if frame is not None:
                raise DamagedImage("The JPEG is damaged: it has more than one frame header")
            frame = _frame(segment)
            missing = _coefficients(frame.components, range(_COEFFICIENTS))
        elif segment.marker == _SOS:
            scans += 1
            if frame is None or scans > _MAX_SCANS:
                raise DamagedImage("The JPEG is damaged: its scans make no sense")
            missing -= _completed_by(segment, frame)
        elif segment.marker == _APP1 and not orientation and segment.begins_with(_EXIF):
            orientation, taken = exif_orientation(segment.payload), taken_at(segment.payload)
    if frame is None or not scans:
        raise DamagedImage("The JPEG is damaged: it holds no picture")
    if missing:
        raise DamagedImage("The JPEG is cut off: some of its scans are missing")
    return StoredPicture(
        JPEG,
        frame.width,
        frame.height,
        orientation or 1,
        # Without its end marker, nobody but a decoder knows where the picture ends and whatever
        # follows it begins: such a file is encoded anew.
        web_safe=orientation <= 1 and frame.is_web_safe and last == _EOI,
        taken_at=taken,
    )


def clean_parts(data: bytes) -> list[Part]:
    """With one end marker, whatever stood in its place."""
    profile = _profile(data)
    cleaned = clean_profile(profile)
    kept = KeptRanges(data, [(0, 2)])
    last = 0
    for segment in _segments(data):
        last = segment.marker
        if segment.profile_piece is not None and cleaned != profile:
            kept.put(b"".join(_profile_segments(cleaned)))
            cleaned = profile = b""
        elif (segment.profile_piece is not None and cleaned) or _shapes_pixels(segment):
            kept.keep(segment.start, segment.end)
        elif _is_long_adobe(segment):
            kept.put(_segment(_APP14, bytes(segment.payload[:_ADOBE_BYTES])))
    if last != _EOI:
        kept.put(_END_OF_IMAGE)
    return kept.clean_parts()


def scans_of(clean: bytes) -> Scans:
    """Of a file as `clean_parts` leaves it."""
    start = end = height_at = 0
    frame: _Frame | None = None
    for segment in _segments(clean):
        if segment.marker in _FRAMES:
            frame, height_at = _frame(segment), segment.start + 5
        elif segment.marker == _SOS and frame is not None:
            end = segment.end
            if not start:
                start = segment.start + 4 + len(segment.payload)
                holds_all = len(_components_of_scan(segment)) == len(frame.components)
                if holds_all and frame.marker in _SEQUENTIAL:
                    break
    else:
        holds_all = False
    is_arithmetic = frame is not None and frame.marker in _ARITHMETIC
    return Scans(start, end, holds_all, height_at, is_arithmetic)


def _segments(data: bytes) -> Iterator[_Segment]:
    """All from behind the start of the image up to its end marker, or to where it lacks one.

    What follows the last scan and makes no sense is not part of the image: phones put their own
    data in the place of the end marker.
    """
    view = memoryview(data)
    position, scans = 2, 0
    escapes = _Escapes()
    for _ in range(_MAX_SEGMENTS):
        start = _next_marker(data, position, escapes)
        if start is None:
            if scans:
                return
            raise DamagedImage("The JPEG is cut off: its pixels are missing")
        marker = data[start + 1]
        if marker == _EOI:
            yield _Segment(marker, view[:0], start, start + 2)
            return
        length = int.from_bytes(view[start + 2 : start + 4], "big")
        end = start + 2 + length
        fits = length >= 2 and end <= len(data)
        if scans and (not fits or marker not in _AFTER_A_SCAN):
            return
        if marker in _HIERARCHICAL or marker == _JPEG_LS:
            raise UnsupportedFormat(
                "This kind of JPEG (hierarchical, or JPEG-LS) is not accepted; "
                "save the picture as an ordinary JPEG"
            )
        if not fits:
            raise DamagedImage("The JPEG is damaged or cut off: a segment goes past its end")
        if marker not in _KNOWN:
            raise DamagedImage("The JPEG is damaged: it holds an unknown marker")
        position = end
        if marker == _SOS:
            scans += 1
            after = _next_marker(data, end, escapes)
            position = len(data) if after is None else after
        yield _Segment(marker, view[start + 4 : end], start, position)
    raise DamagedImage("The JPEG is damaged: it has too many segments")


class _Escapes:
    """Counts the bytes FF that were searched through: each one costs a step."""

    left = _MAX_ESCAPES

    def count(self, data: bytes, start: int, end: int) -> None:
        self.left -= data.count(b"\xff", start, end)
        if self.left < 0:
            raise DamagedImage("The JPEG is damaged: it has too many markers")


def _next_marker(data: bytes, position: int, escapes: _Escapes) -> int | None:
    while position < len(data):
        window_end = min(position + _WINDOW_BYTES, len(data))
        # One byte more, for a marker on the border.
        found = _NEXT_MARKER.search(data, position, window_end + 1)
        escapes.count(data, position, window_end if found is None else found.start())
        if found is not None:
            return found.start()
        position = window_end
    return None


def _frame(segment: _Segment) -> _Frame:
    payload = segment.payload
    if len(payload) < 6:
        raise DamagedImage("The JPEG is damaged: its frame header is too short")
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    bits, components = payload[0], payload[5]
    identifiers = bytes(payload[6 : 6 + 3 * components : 3])
    check_size(width, height)
    if bits != 8 or components not in (1, 3, 4):
        raise UnsupportedFormat(
            f"JPEGs with {bits} bits in {components} components are not accepted; "
            "save the picture as an ordinary JPEG"
        )
    if len(identifiers) != components:
        raise DamagedImage("The JPEG is damaged: its frame header is too short")
    return _Frame(segment.marker, width, height, identifiers)


def _coefficients(components: bytes, ks: Iterable[int]) -> set[tuple[int, int]]:
    return set(itertools.product(components, ks))


def _completed_by(scan: _Segment, frame: _Frame) -> set[tuple[int, int]]:
    """The coefficients whose last bits a scan has, as pairs of component and place."""
    components = _components_of_scan(scan)
    if frame.marker in _SEQUENTIAL:
        # All of them, whatever it says.
        return _coefficients(components, range(_COEFFICIENTS))
    of_progression = bytes(scan.payload[1 + 2 * len(components) :])
    if len(of_progression) != 3:
        return set()
    first, last, bits = of_progression
    if bits & 0x0F:
        return set()
    return _coefficients(components, range(first, min(last + 1, _COEFFICIENTS)))


def _components_of_scan(segment: _Segment) -> bytes:
    count = segment.payload[0] if len(segment.payload) else 0
    return bytes(segment.payload[1 : 1 + 2 * count : 2])


def _shapes_pixels(segment: _Segment) -> bool:
    """Whether a segment shapes the pixels or their colours (JFIF, Adobe)."""
    if segment.marker == _APP0:
        # A JFIF header may hold a thumbnail, which shows what has been cropped away since.
        return segment.begins_with(b"JFIF\0") and len(segment.payload) == _JFIF_BYTES
    if segment.marker == _APP14:
        return segment.begins_with(b"Adobe") and len(segment.payload) == _ADOBE_BYTES
    return segment.marker < _APP0


def _is_long_adobe(segment: _Segment) -> bool:
    """Whether something follows what the segment is for."""
    return (
        segment.marker == _APP14
        and segment.begins_with(b"Adobe")
        and len(segment.payload) > _ADOBE_BYTES
    )


def _profile(data: bytes) -> bytes:
    """The colour profile that all its pieces together make; empty where some are missing."""
    pieces = [
        bytes(segment.profile_piece)
        for segment in _segments(data)
        if segment.profile_piece is not None
    ]
    if len(pieces) > 255 or any(piece[13] != len(pieces) for piece in pieces):
        return b""
    pieces.sort(key=lambda piece: piece[12])
    profile = b"".join(piece[14:] for piece in pieces)
    return profile if len(profile) <= MAX_PROFILE_BYTES else b""


def _profile_segments(profile: bytes) -> Iterator[bytes]:
    pieces = [
        profile[start : start + _PROFILE_PIECE_BYTES]
        for start in range(0, len(profile), _PROFILE_PIECE_BYTES)
    ]
    for number, piece in enumerate(pieces, 1):
        payload = _PROFILE + bytes((number, len(pieces))) + piece
        yield _segment(_APP2, payload)


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload
