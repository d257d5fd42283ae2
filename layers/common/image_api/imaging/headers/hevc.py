"""What HEVC (ITU-T H.265) says before it is decoded: the size of pictures, and their number."""

from __future__ import annotations

from dataclasses import dataclass

from image_api.errors import DamagedImage
from image_api.imaging.headers.bits import BitReader
from image_api.imaging.headers.boxes import Cursor

_SEQUENCE_PARAMETERS = 33
_LAST_SLICE_TYPE = 31
_LAYER_BITS = 0x1F8
_CONFIGURATION_BYTES = 21
# A set of parameters of an ordinary picture takes 50 bytes; its size stands in the first 30 or so.
_PARAMETER_BYTES = 256
_PROFILE_BITS, _LEVEL_BITS = 88, 8
_STEPS_OF_A_PARAMETER_SET = 60


@dataclass(slots=True)
class Configuration:
    length_bytes: int
    sizes: set[tuple[int, int]]
    """Width and height of every set of parameters."""


@dataclass(slots=True)
class Contents:
    pictures: int = 0
    slices: int = 0


def read_configuration(cursor: Cursor) -> Configuration:
    """`cursor` stands at the body of an `hvcC` box."""
    cursor.skip(_CONFIGURATION_BYTES)
    length_bytes = (cursor.number(1) & 3) + 1
    configuration = Configuration(length_bytes, set())
    for _ in range(cursor.number(1)):
        kind = cursor.number(1) & 0x3F
        for _ in range(cursor.number(2)):
            length = cursor.number(2)
            start = cursor.position
            cursor.skip(length)
            if kind == _SEQUENCE_PARAMETERS:
                configuration.sizes.add(_size(cursor, start, start + length))
    return configuration


def read_contents(cursor: Cursor, configuration: Configuration) -> Contents:
    """All units of an item. Parameters among them add their size to the configuration's."""
    contents = Contents()
    while cursor.left_bytes:
        length = cursor.number(configuration.length_bytes)
        start = cursor.position
        cursor.skip(length)
        if length < 3:
            continue
        header = int.from_bytes(cursor.data[start : start + 2], "big")
        kind = header >> 9
        if header & _LAYER_BITS:
            continue  # Of another layer, which no decoder of ours shows.
        if kind <= _LAST_SLICE_TYPE:
            contents.slices += 1
            contents.pictures += cursor.data[start + 2] >> 7
        elif kind == _SEQUENCE_PARAMETERS:
            configuration.sizes.add(_size(cursor, start, start + length))
    return contents


def _size(cursor: Cursor, start: int, end: int) -> tuple[int, int]:
    """From a sequence parameter set (7.3.2.2), less its conformance window."""
    cursor.budget.spend(_STEPS_OF_A_PARAMETER_SET)
    unit = cursor.data[start + 2 : min(end, start + _PARAMETER_BYTES)]
    reader = BitReader(unit.replace(b"\0\0\3", b"\0\0"))
    reader.bits(4)
    sub_layers = reader.bits(3)
    reader.bits(1 + _PROFILE_BITS + _LEVEL_BITS)
    described = [(reader.flag(), reader.flag()) for _ in range(sub_layers)]
    if sub_layers:
        reader.bits(2 * (8 - sub_layers))
    for has_profile, has_level in described:
        reader.bits(_PROFILE_BITS * has_profile + _LEVEL_BITS * has_level)
    reader.exp_golomb()
    chroma = reader.exp_golomb()
    if chroma == 3:
        reader.bits(1)
    width, height = reader.exp_golomb(), reader.exp_golomb()
    if reader.flag():
        across, down = 2 if chroma in (1, 2) else 1, 2 if chroma == 1 else 1
        width -= across * (reader.exp_golomb() + reader.exp_golomb())
        height -= down * (reader.exp_golomb() + reader.exp_golomb())
    if width < 1 or height < 1:
        raise DamagedImage("The image is damaged: its coded pixels have no size")
    return width, height
