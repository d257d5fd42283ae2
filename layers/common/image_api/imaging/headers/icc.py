"""Colour profiles (ICC.1): a header, then tagged data, of which colours need only some."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

_HEADER_BYTES = 128
_MAX_TAGS = 100
_PICTURE_CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}

# What colours are computed from, in either direction. All else is about the device, its owner,
# its maker and the day it was measured.
_MATRIX = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_TABLES = (
    *(b"%s%d" % (direction, intent) for direction in (b"A2B", b"B2A") for intent in range(3)),
    *(b"%s%d" % (direction, intent) for direction in (b"D2B", b"B2D") for intent in range(4)),
)
_COLOURS = {b"wtpt", b"chad", b"cicp", *_MATRIX, *_CURVES, *_TABLES}

_COPYRIGHT = "None"

# XYZ, adapted to D50 as profiles have them.
_SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
# From sample to light, where the curve differs most from a plain gamma, and in between.
_SRGB_CURVE = (
    (0.02, 0.001548),
    (0.1, 0.010023),
    (0.25, 0.050876),
    (0.5, 0.214041),
    (0.75, 0.522522),
)


def clean_profile(profile: bytes) -> bytes:
    """The same colours, and nothing of who made the profile, for which device, and when.

    Empty where the profile cannot be read, or is none that a picture can have. Its result is left
    as it is.
    """
    kept = _kept(profile)
    if not kept or sum(map(len, set(kept.values()))) > len(profile):
        return b""
    version = profile[8]
    name = "sRGB" if _are_srgb(kept) else "Colour profile"
    tags = {b"cprt": _text(_COPYRIGHT, version), b"desc": _description(name, version), **kept}
    table, body = _laid_out(tags)
    size_bytes = _HEADER_BYTES + len(table) + len(body)
    return _header(profile, size_bytes) + table + body


def is_srgb(profile: bytes) -> bool:
    """By its numbers, whatever it is called; off by less than eight bits can tell."""
    return _are_srgb(_kept(profile))


def _kept(profile: bytes) -> dict[bytes, bytes]:
    return {name: data for name, data in _tags(profile) if name in _COLOURS}


def _are_srgb(tags: dict[bytes, bytes]) -> bool:
    if not tags.keys() >= {*_MATRIX, *_CURVES[:3]} or tags.keys() & {*_TABLES, b"cicp"}:
        return False
    return all(
        math.dist(_xyz(tags[name]), primary) < 0.005
        for name, primary in zip(_MATRIX, _SRGB_PRIMARIES, strict=True)
    ) and all(
        abs(_light(tags[name], sample) - light) < 0.004 * max(sample, 0.08)
        for name in _CURVES[:3]
        for sample, light in _SRGB_CURVE
    )


def _xyz(tag: bytes) -> tuple[float, ...]:
    if tag[:4] != b"XYZ " or len(tag) != 20:
        return (math.inf,) * 3
    return tuple(number / 65_536 for number in struct.unpack_from(">3i", tag, 8))


def _light(curve: bytes, sample: float) -> float:
    """What a tone curve makes of a sample from 0 to 1; not a number for one of another kind."""
    count = int.from_bytes(curve[8:12], "big")
    if curve[:4] == b"curv" and len(curve) == 12 + 2 * count and count > 1:
        place = sample * (count - 1)
        low = min(int(place), count - 2)
        below, above = struct.unpack_from(">2H", curve, 12 + 2 * low)
        return float(below + (above - below) * (place - low)) / 65_535
    if curve[:4] == b"para" and curve[8:10] == b"\0\3" and len(curve) == 32:
        gamma, a, b, c, d = (number / 65_536 for number in struct.unpack_from(">5i", curve, 12))
        if gamma > 0:
            bent = math.pow(min(1.0, max(0.0, a * sample + b)), gamma)
            return bent if sample >= d else c * sample
    return math.nan


def _tags(profile: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The first tag of each name, without what follows the data inside it."""
    readable = (
        len(profile) > _HEADER_BYTES + 4
        and profile[36:40] == b"acsp"
        and profile[12:16] in _PICTURE_CLASSES
    )
    count = int.from_bytes(profile[_HEADER_BYTES : _HEADER_BYTES + 4], "big") if readable else 0
    if count > _MAX_TAGS:
        return
    end_of_profile = min(len(profile), int.from_bytes(profile[:4], "big"))
    seen: set[bytes] = set()
    for entry in range(_HEADER_BYTES + 4, _HEADER_BYTES + 4 + 12 * count, 12):
        name = profile[entry : entry + 4]
        start, length = (int.from_bytes(profile[entry + i : entry + i + 4], "big") for i in (4, 8))
        if length >= 8 and start + length <= end_of_profile and name not in seen:
            seen.add(name)
            yield name, _trimmed(profile[start : start + length])


def _trimmed(tag: bytes) -> bytes:
    """Without what stands behind the values that the tag's type has."""
    kind, length = tag[:4], len(tag)
    if kind == b"XYZ ":
        length = 20
    elif kind == b"curv" and len(tag) >= 12:
        length = 12 + 2 * int.from_bytes(tag[8:12], "big")
    elif kind == b"para" and len(tag) >= 12:
        length = 12 + 4 * {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(int.from_bytes(tag[8:10], "big"), 7)
    elif kind == b"sf32":
        length = min(len(tag), 8 + 4 * 9)
    elif kind == b"cicp":
        length = 12
    elif kind in (b"mft1", b"mft2") and len(tag) >= 52:
        length = _table_bytes(tag)
    # One that is too short stays so: it is the decoder's to judge.
    return tag[:4] + bytes(4) + tag[8:length]


def _table_bytes(tag: bytes) -> int:
    inputs, outputs, points = tag[8:11]
    if tag[:4] == b"mft1":
        return int(48 + 256 * inputs + points**inputs * outputs + 256 * outputs)
    entries, exits = struct.unpack_from(">2H", tag, 48)
    return int(52 + 2 * (entries * inputs + points**inputs * outputs + exits * outputs))


def _header(profile: bytes, size_bytes: int) -> bytes:
    """Version, class, colour spaces, intent and illuminant; no maker, model, time or creator."""
    header = bytearray(_HEADER_BYTES)
    header[:4] = size_bytes.to_bytes(4, "big")
    for start, end in ((8, 10), (12, 24), (36, 40), (64, 80)):
        header[start:end] = profile[start:end]
    return bytes(header)


def _laid_out(tags: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """The table of tags and the data behind it; what is the same is there once."""
    first = _HEADER_BYTES + 4 + 12 * len(tags)
    table, body = bytearray(len(tags).to_bytes(4, "big")), bytearray()
    starts: dict[bytes, int] = {}
    for name, data in tags.items():
        if data not in starts:
            starts[data] = first + len(body)
            body += data + bytes(-len(data) % 4)
        table += name + struct.pack(">2I", starts[data], len(data))
    return bytes(table), bytes(body)


def _text(text: str, version: int) -> bytes:
    if version >= 4:
        return _multilingual(text)
    return b"text\0\0\0\0" + text.encode("ascii") + b"\0"


def _description(text: str, version: int) -> bytes:
    if version >= 4:
        return _multilingual(text)
    ascii_text = text.encode("ascii") + b"\0"
    # No text in Unicode, and none for the Macintosh, for which there are 67 bytes.
    return b"desc\0\0\0\0" + len(ascii_text).to_bytes(4, "big") + ascii_text + bytes(8 + 3 + 67)


def _multilingual(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">2I4s2I", 1, 12, b"enUS", len(encoded), 28) + encoded
