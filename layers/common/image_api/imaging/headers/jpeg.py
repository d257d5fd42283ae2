"""JPEG (ITU-T T.81): segments, each a marker and a length, around entropy-coded scans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.headers.exif import exif_orientation
from image_api.imaging.headers.ranges import KeptRanges, Part
from image_api.imaging.model import JPEG, StoredPicture, check_size

_MAX_SEGMENTS = 65_536
# Each scan of a progressive JPEG goes over the whole picture: a few hundred empty ones in a small
# file keep a decoder busy for minutes. Encoders write about ten.
_MAX_SCANS = 100

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_BASELINE_EXTENDED_PROGRESSIVE = {0xC0, 0xC1, 0xC2}
_LOSSLESS_OR_ARITHMETIC = {0xC3, 0xC9, 0xCA, 0xCB}
_FRAMES = _BASELINE_EXTENDED_PROGRESSIVE | _LOSSLESS_OR_ARITHMETIC
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF}
_JPEG_LS = 0xF7
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_KNOWN = _FRAMES | _TABLES | {_SOS, _EOI} | set(range(_APP0, 0x100))

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


class _Frame(NamedTuple):
    marker: int
    width: int
    height: int
    components: int

    @property
    def is_web_safe(self) -> bool:
        return self.marker in _BASELINE_EXTENDED_PROGRESSIVE and self.components in (1, 3)


def header(data: bytes) -> StoredPicture:
    frame: _Frame | None = None
    scans = orientation = 0
    inks_are_inverted = False
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            if frame is not None:
                raise DamagedImage("The JPEG is damaged: it has more than one frame header")
            frame = _frame(segment)
        elif segment.marker == _SOS:
            scans += 1
            _check_scans(scans, frame)
        elif segment.marker == _APP1:
            orientation = orientation or _orientation(segment)
        elif segment.marker == _APP14:
            inks_are_inverted = inks_are_inverted or _shapes_pixels(segment)
    if frame is None or not scans:
        raise DamagedImage("The JPEG is damaged: it holds no picture")
    return StoredPicture(
        JPEG,
        frame.width,
        frame.height,
        orientation or 1,
        web_safe=orientation <= 1 and frame.is_web_safe,
        inks_are_inverted=inks_are_inverted,
    )


def clean_parts(data: bytes) -> list[Part]:
    kept, with_comments = KeptRanges(data, [(0, 2)]), KeptRanges(data, [(0, 2)])
    for segment in _segments(data):
        if _shapes_pixels(segment):
            kept.keep(segment.start, segment.end)
        if _shapes_pixels(segment) or segment.marker == _COM:
            with_comments.keep(segment.start, segment.end)
    # A comment alone is no reason to touch a file.
    return [data] if with_comments.covers_all else kept.clean_parts()


def _segments(data: bytes) -> Iterator[_Segment]:
    """All from behind the start of the image up to its end marker."""
    view = memoryview(data)
    position = 2
    for _ in range(_MAX_SEGMENTS):
        start = _next_marker(data, position)
        marker = data[start + 1]
        if marker == _EOI:
            yield _Segment(marker, view[:0], start, start + 2)
            return
        length = int.from_bytes(view[start + 2 : start + 4], "big")
        end = start + 2 + length
        if length < 2 or end > len(data):
            raise DamagedImage("The JPEG is damaged or cut off: a segment goes past its end")
        if marker in _HIERARCHICAL or marker == _JPEG_LS:
            raise UnsupportedFormat(
                "This kind of JPEG (hierarchical, or JPEG-LS) is not accepted; "
                "save the picture as an ordinary JPEG"
            )
        if marker not in _KNOWN:
            raise DamagedImage("The JPEG is damaged: it holds an unknown marker")
        position = _next_marker(data, end) if marker == _SOS else end
        yield _Segment(marker, view[start + 4 : end], start, position)
    raise DamagedImage("The JPEG is damaged: it has too many segments")


def _next_marker(data: bytes, position: int) -> int:
    found = _NEXT_MARKER.search(data, position)
    if found is None:
        raise DamagedImage("The JPEG is cut off: its end is missing")
    return found.start()


def _frame(segment: _Segment) -> _Frame:
    payload = segment.payload
    if len(payload) < 6:
        raise DamagedImage("The JPEG is damaged: its frame header is too short")
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    bits, components = payload[0], payload[5]
    check_size(width, height)
    if bits != 8 or components not in (1, 3, 4):
        raise UnsupportedFormat(
            f"JPEGs with {bits} bits in {components} components are not accepted; "
            "save the picture as an ordinary JPEG"
        )
    return _Frame(segment.marker, width, height, components)


def _check_scans(scans: int, frame: _Frame | None) -> None:
    if frame is None or scans > _MAX_SCANS:
        raise DamagedImage("The JPEG is damaged: its scans make no sense")


def _orientation(segment: _Segment) -> int:
    """0 where the segment is not EXIF: XMP has the same marker."""
    return exif_orientation(segment.payload) if segment.begins_with(b"Exif\0\0") else 0


def _shapes_pixels(segment: _Segment) -> bool:
    """Whether a segment shapes the pixels or their colours (JFIF, Adobe, ICC)."""
    marker, payload_bytes = segment.marker, len(segment.payload)
    if marker == _APP0:
        # A JFIF header may hold a thumbnail, which shows what has been cropped away since.
        return segment.begins_with(b"JFIF\0") and payload_bytes == 14
    if marker == _APP2:
        return segment.begins_with(b"ICC_PROFILE\0") and payload_bytes > 14
    if marker == _APP14:
        return segment.begins_with(b"Adobe") and payload_bytes >= 12
    return marker < _APP0
