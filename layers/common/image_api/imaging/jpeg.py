"""JPEG (ITU-T T.81): segments, each a marker and a length, around entropy-coded scans."""

from __future__ import annotations

import re

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.container import JPEG, Container, Kept, exif_orientation
from image_api.imaging.model import check_size

_MAX_SEGMENTS = 65_536
# Each scan of a progressive JPEG goes over the whole picture: a few hundred empty ones in a small
# file keep a decoder busy for minutes. Encoders write about ten.
_MAX_SCANS = 100

_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_BASELINE_EXTENDED_PROGRESSIVE = {0xC0, 0xC1, 0xC2}
_LOSSLESS_OR_ARITHMETIC = {0xC3, 0xC9, 0xCA, 0xCB}
_HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF}
_JPEG_LS = 0xF7
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}

# In entropy-coded data FF is followed by 00, or by a restart marker; FF FF is a fill byte.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def inspect(data: bytes) -> Container:
    width = height = components = scans = 0
    frame = 0
    orientation = 0
    adobe = False
    everything, wanted = Kept(data, [(0, 2)]), Kept(data, [(0, 2)])
    position = 2
    for _ in range(_MAX_SEGMENTS):
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise DamagedImage("The JPEG is cut off: its end is missing")
        start = found.start()
        marker = data[start + 1]
        if marker == _EOI:
            everything.keep(start, start + 2)
            wanted.keep(start, start + 2)
            break
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        end = start + 2 + length
        if length < 2 or end > len(data):
            raise DamagedImage("The JPEG is damaged or cut off: a segment goes past its end")
        payload = data[start + 4 : end]

        if marker in _BASELINE_EXTENDED_PROGRESSIVE or marker in _LOSSLESS_OR_ARITHMETIC:
            if frame or len(payload) < 6:
                raise DamagedImage("The JPEG is damaged: it has more than one frame header")
            frame = marker
            height = int.from_bytes(payload[1:3], "big")
            width = int.from_bytes(payload[3:5], "big")
            components = payload[5]
            check_size(width, height)
            if payload[0] != 8 or components not in (1, 3, 4):
                raise UnsupportedFormat(
                    f"JPEGs with {payload[0]} bits in {components} components are not accepted; "
                    "save the picture as an ordinary JPEG"
                )
        elif marker in _HIERARCHICAL or marker == _JPEG_LS:
            raise UnsupportedFormat(
                "This kind of JPEG (hierarchical, or JPEG-LS) is not accepted; "
                "save the picture as an ordinary JPEG"
            )
        elif marker == _SOS:
            scans += 1
            if not frame or scans > _MAX_SCANS:
                raise DamagedImage("The JPEG is damaged: its scans make no sense")
            following = _NEXT_MARKER.search(data, end)
            if following is None:
                raise DamagedImage("The JPEG is cut off: its end is missing")
            end = following.start()
        elif marker == _APP1 and not orientation and payload.startswith(b"Exif\0\0"):
            orientation = exif_orientation(payload)
        elif not _APP0 <= marker <= _APP15 and marker not in _TABLES and marker < 0xF0:
            raise DamagedImage("The JPEG is damaged: it holds an unknown marker")

        adobe = adobe or (marker == _APP14 and _is_wanted(marker, payload))
        if marker == _COM or _is_wanted(marker, payload):
            everything.keep(start, end)
        if _is_wanted(marker, payload):
            wanted.keep(start, end)
        position = end
    else:
        raise DamagedImage("The JPEG is damaged: it has too many segments")
    if not scans:
        raise DamagedImage("The JPEG is damaged: it holds no picture")
    return Container(
        JPEG,
        data,
        width,
        height,
        orientation or 1,
        web_safe=orientation in (0, 1)
        and components in (1, 3)
        and frame in _BASELINE_EXTENDED_PROGRESSIVE,
        # A comment alone is no reason to touch a file.
        parts=None if everything.is_everything else wanted.parts(),
        inks_are_inverted=adobe,
    )


def _is_wanted(marker: int, payload: bytes) -> bool:
    """Whether a segment shapes the pixels or their colours (JFIF, Adobe, ICC) and so stays."""
    if marker == _APP0:
        # A JFIF header may hold a thumbnail, which shows what has been cropped away since.
        return payload.startswith(b"JFIF\0") and len(payload) == 14
    if marker == _APP2:
        return payload.startswith(b"ICC_PROFILE\0") and len(payload) > 14
    if marker == _APP14:
        return payload.startswith(b"Adobe") and len(payload) >= 12
    return marker < _APP0
