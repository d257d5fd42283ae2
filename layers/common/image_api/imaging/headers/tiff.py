"""TIFF (6.0, and BigTIFF): directories of tagged values that say where the pixels are."""

from __future__ import annotations

import itertools
import operator
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import byteorder
from typing import Any

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.headers.exif import taken_at
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import TIFF, StoredPicture, check_size

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _PLANES = 266, 274, 277, 278, 284
_COLOUR_MAP, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 320, 338, 339
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION, _WINDOWS_MEDIA = 254, 330, 50706, 48129
_JPEG_TABLES, _PROFILE = 347, 34675

# One value each: with more, Pillow warns and takes the first.
_SINGLE = {
    _WIDTH, _LENGTH, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _ROWS_PER_STRIP, _PLANES,
    292, 293, 317, _TILE_WIDTH, _TILE_LENGTH, 512, 513, 514, 515,
}  # fmt: skip
_PIECES = {_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}
_BYTES = {_JPEG_TABLES, _PROFILE}
_SEVERAL = {
    _BITS, 318, 319, _COLOUR_MAP, 332, _EXTRA_SAMPLES, _SAMPLE_FORMAT, 519, 520, 521, 529, 530,
    532,
}  # fmt: skip
_SHAPES_PIXELS = _SINGLE | _SEVERAL | _PIECES | _BYTES
_MAX_ENTRIES = 4_096
_MAX_VALUE_BYTES = 8 << 20
# As many as 50 megapixels have in tiles of 16x16; each costs a decoder a step.
_MAX_PIECES = 262_144
_MAX_VALUES = 3 * 65_536
# A tile is decoded whole: it may be as large as this, or as its picture.
_MAX_TILE_SIDE = 4_096
_UNCOMPRESSED, _OLD_JPEG = 1, 6
_WHITE_IS_ZERO, _PALETTE, _YCBCR = 0, 3, 6
# CCITT, LZW, JPEG, Deflate, PackBits, ThunderScan, LZMA and Zstandard.
_COMPRESSIONS = {1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34925, 50000}


def _kinds() -> Iterator[tuple[str, int, int, int, tuple[int, ...], tuple[int, ...]]]:
    """Every kind of pixel that Pillow reads, as byte order, photometric interpretation, format,
    order of bits, bits, and extra samples."""
    both, little = "<>", "<"
    rows: list[tuple[str, tuple[int, ...], int, tuple[int, ...], tuple[int, ...], list[Any]]] = [
        *((both, (0, 1, 3), 1, (1, 2), (bits,), [()]) for bits in (1, 2, 4, 8)),
        (both, (1,), 1, (1,), (16,), [()]),
        (little, (0,), 1, (1,), (16,), [()]),
        (little, (1,), 1, (2,), (16,), [()]),
        (little, (1,), 1, (1,), (12,), [()]),
        (little, (1,), 1, (1,), (32,), [()]),
        *((both, (1,), 2, (1,), (bits,), [()]) for bits in (8, 16, 32)),
        (both, (0, 1), 3, (1,), (32,), [()]),
        (both, (1,), 1, (1,), (8, 8), [(0,), (1,), (2,)]),
        (both, (3,), 1, (1,), (8, 8), [(0,), (2,)]),
        (both, (2,), 1, (1, 2), (8,) * 3, [()]),
        (both, (2,), 1, (1,), (8,) * 4, [(), (0,), (1,), (2,), (999,)]),
        (both, (2,), 1, (1,), (8,) * 5, [(0, 0), (1, 0), (2, 0)]),
        (both, (2,), 1, (1,), (8,) * 6, [(0, 0, 0), (1, 0, 0), (2, 0, 0)]),
        (both, (2,), 1, (1,), (16,) * 3, [()]),
        (both, (2,), 1, (1,), (16,) * 4, [(), (0,), (1,), (2,)]),
        (both, (5,), 1, (1,), (8,) * 4, [()]),
        (both, (5,), 1, (1,), (8,) * 5, [(0,)]),
        (both, (5,), 1, (1,), (8,) * 6, [(0, 0)]),
        (both, (5,), 1, (1,), (16,) * 4, [()]),
        (both, (6,), 1, (1,), (8,), [()]),
        (both, (6, 8), 1, (1,), (8,) * 3, [()]),
    ]
    for orders, photometrics, sample_format, fills, bits, extras in rows:
        for order, photometric, fill, extra in itertools.product(
            orders, photometrics, fills, extras
        ):
            yield order, photometric, sample_format, fill, bits, extra


KINDS = frozenset(_kinds())
# One more than Pillow reads.
_MAX_SAMPLES = 7
_PHOTOMETRICS = {
    0: "grey, inverted", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr",
    8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "colour filter array", 32844: "LogL",
    32845: "LogLuv",
}  # fmt: skip
_TYPE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
    18: 8,
}  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""By the type of an entry, as `array` and `struct` name them."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers are written; `offset` is the kind that positions and counts have."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        return "Q" if self.big else "I"

    @property
    def header_bytes(self) -> int:
        return 16 if self.big else 8

    @property
    def count(self) -> str:
        return "Q" if self.big else "H"

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12

    @property
    def inline_bytes(self) -> int:
        return 8 if self.big else 4

    def read(self, kind: str, data: bytes, position: int) -> int:
        if position + struct.calcsize(self.order + kind) > len(data):
            raise DamagedImage("The TIFF is cut off: its directory is incomplete")
        return int(struct.unpack_from(self.order + kind, data, position)[0])


_LAYOUTS = {
    b"II*\0": _Layout("<", big=False),
    b"MM\0*": _Layout(">", big=False),
    b"II+\0": _Layout("<", big=True),
}
_BIG_ENDIAN_BIG_TIFF = b"MM\0+"
SIGNATURES = (*_LAYOUTS, _BIG_ENDIAN_BIG_TIFF)


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: int
    kind: int
    count: int
    position: int
    values_start: int

    @property
    def value_bytes(self) -> int:
        return self.count * _TYPE_BYTES.get(self.kind, 0)


@dataclass(slots=True)
class _Directory:
    """The first entry of each tag whose values lie inside the file."""

    data: bytes
    layout: _Layout
    entries: dict[int, _Entry] = field(default_factory=dict)

    def integers(self, tag: int) -> array[int]:
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS:
            return array("B")
        values = array(_INTEGERS[entry.kind])
        end = entry.values_start + entry.value_bytes
        values.frombytes(memoryview(self.data)[entry.values_start : end])
        if (self.layout.order == "<") != (byteorder == "little"):
            values.byteswap()
        return values

    def integer(self, tag: int) -> int | None:
        return next(iter(self.integers(tag)), None)


def header(data: bytes) -> StoredPicture:
    """Of the first page."""
    directory = _directory(data)
    _refuse_raw(directory)
    width, height = directory.integer(_WIDTH), directory.integer(_LENGTH)
    if width is None or height is None:
        raise DamagedImage("The TIFF is damaged: it does not say how large the picture is")
    check_size(width, height)
    _check_kind(directory)
    _check_tiles(directory, width, height)
    _check_data_is_there(directory)
    orientation = directory.integer(_ORIENTATION) or 1
    return StoredPicture(
        TIFF,
        width,
        height,
        orientation if orientation <= 8 else 1,
        # Which EXIF is written in.
        taken_at=taken_at(memoryview(data)),
    )


def clean_parts(data: bytes) -> list[Part]:
    """The file with a directory of ours, which holds only what shapes the pixels: no EXIF, GPS or
    maker's notes for a decoder to stumble over. It stands at the end, and no value moves."""
    directory = _directory(data)
    layout = directory.layout
    view = memoryview(data)
    start = len(data) + len(data) % 2
    colour_map = _colour_map_of_sixteen_bits(directory)
    entries: list[Part] = []
    for tag, entry in sorted(directory.entries.items()):
        if tag == _COLOUR_MAP and colour_map:
            entries.append(
                view[entry.position : entry.position + layout.entry_bytes - layout.inline_bytes]
            )
            entries.append(struct.pack(layout.order + layout.offset, start))
        elif tag in _SHAPES_PIXELS:
            entries.append(view[entry.position : entry.position + layout.entry_bytes])
    count = sum(map(len, entries)) // layout.entry_bytes
    return [
        view[: layout.header_bytes // 2],
        struct.pack(layout.order + layout.offset, start + len(colour_map)),
        view[layout.header_bytes :],
        bytes(len(data) % 2),
        colour_map,
        struct.pack(layout.order + layout.count, count),
        *entries,
        bytes(layout.inline_bytes),
    ]


def _colour_map_of_sixteen_bits(directory: _Directory) -> bytes:
    """In place of one that has eight, which old writers left and readers take; else empty."""
    colours = directory.integers(_COLOUR_MAP)
    if colours.typecode != "H" or len(colours) < 2 * 3 or max(colours) > 0xFF:
        return b""
    return struct.pack(
        f"{directory.layout.order}{len(colours)}H", *(colour * 257 for colour in colours)
    )


def _directory(data: bytes) -> _Directory:
    if data.startswith(_BIG_ENDIAN_BIG_TIFF):
        raise _unsupported("Big-endian BigTIFFs")
    directory = _Directory(data, _LAYOUTS[data[:4]])
    for entry in _entries(data, directory.layout):
        readable = 0 < entry.value_bytes <= min(len(data) - entry.values_start, _MAX_VALUE_BYTES)
        if readable and _has_as_many_as_it_may(entry):
            directory.entries.setdefault(entry.tag, entry)
        elif entry.tag in _SHAPES_PIXELS and entry.value_bytes > 0 and not readable:
            raise DamagedImage("The TIFF is damaged or cut off: values lie past its end")
    return directory


def _has_as_many_as_it_may(entry: _Entry) -> bool:
    """Whether a tag has a number of values that makes sense; a decoder reads each of them."""
    if entry.tag in _SINGLE:
        return entry.count == 1
    if entry.tag in _BYTES:
        return _TYPE_BYTES[entry.kind] == 1
    if entry.count > (_MAX_PIECES if entry.tag in _PIECES else _MAX_VALUES):
        if entry.tag in _PIECES:
            raise _unsupported(f"TIFFs in {entry.count} pieces")
        return False
    return True


def _entries(data: bytes, layout: _Layout) -> Iterator[_Entry]:
    """All of the first directory."""
    start = layout.read(layout.offset, data, layout.header_bytes // 2)
    count = layout.read(layout.count, data, start)
    if count > _MAX_ENTRIES:
        raise DamagedImage("The TIFF is damaged: its directory is too long")
    position = start + struct.calcsize(layout.order + layout.count)
    for _ in range(count):
        tag, kind = layout.read("H", data, position), layout.read("H", data, position + 2)
        values = layout.read(layout.offset, data, position + 4)
        # What is short enough stands in place of the position of the values.
        values_start = position + layout.entry_bytes - layout.inline_bytes
        inline = layout.read(layout.offset, data, values_start)
        if values * _TYPE_BYTES.get(kind, 0) > layout.inline_bytes:
            values_start = inline
        yield _Entry(tag, kind, values, position, values_start)
        position += layout.entry_bytes


def _unsupported(kind: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"{kind} are not accepted; save the picture as PNG or JPEG")


def _refuse_raw(directory: _Directory) -> None:
    # Camera makers put a small preview first and the real picture in a sub-directory.
    is_preview = (directory.integer(_SUBFILE_TYPE) or 0) & 1 == 1
    holds_raw = is_preview and _SUB_DIRECTORIES in directory.entries
    if directory.data[8:10] == b"CR" or _DNG_VERSION in directory.entries or holds_raw:
        raise UnsupportedFormat(
            "Camera raw files are not accepted; export the picture as JPEG or TIFF"
        )


def _check_kind(directory: _Directory) -> None:
    """Refuse, in words, what the decoder does not read or reads wrongly."""
    compression = directory.integer(_COMPRESSION) or _UNCOMPRESSED
    if _WINDOWS_MEDIA in directory.entries or compression not in _COMPRESSIONS:
        raise _unsupported(f"TIFFs with this compression ({compression})")
    photometric = directory.integer(_PHOTOMETRIC) or 0
    if compression == _OLD_JPEG:
        photometric = _YCBCR
    bits, extra, samples = _organisation(directory, photometric, compression)
    formats = set(directory.integers(_SAMPLE_FORMAT)) or {1}
    fill = directory.integer(_FILL_ORDER) or 1
    kind = (directory.layout.order, photometric, min(formats), fill, bits, extra)
    described = f"TIFFs of this kind of pixel ({_described(photometric, formats, bits)})"
    if len(formats) > 1 or kind not in KINDS:
        raise _unsupported(described)
    if (photometric, compression) == (_YCBCR, _UNCOMPRESSED) and samples > 1:
        # Pillow reads these as four bytes a pixel.
        raise UnsupportedFormat(
            "TIFFs of uncompressed YCbCr are not accepted; save the picture as RGB"
        )
    if directory.integer(_PHOTOMETRIC) == _WHITE_IS_ZERO and bits[0] > 8:
        # Pillow does not invert these; without the tag, nobody does.
        raise _unsupported(described)
    in_planes = directory.integer(_PLANES) == 2 and samples > 1
    if in_planes and compression == _UNCOMPRESSED and (set(bits) != {8} or fill != 1 or 1 in extra):
        # Pillow reads one byte of each sample, and forgets that colours are premultiplied.
        raise _unsupported(f"{described} in planes")
    if photometric == _PALETTE and len(directory.integers(_COLOUR_MAP)) < 3 << bits[0]:
        raise DamagedImage("The TIFF is damaged: colours of its palette are missing")


def _organisation(
    directory: _Directory, photometric: int, compression: int
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The bits of each sample, what the extra ones are, and how many there are, as Pillow has it:
    one number of bits stands for all samples, and extra planes that mean nothing are left out."""
    extra = tuple(directory.integers(_EXTRA_SAMPLES)[:_MAX_SAMPLES])
    bits = tuple(directory.integers(_BITS)[:_MAX_SAMPLES]) or (1,)
    presumed = 3 if compression == _OLD_JPEG and photometric in (2, _YCBCR) else 1
    samples = directory.integer(_SAMPLES) or presumed
    if directory.integer(_PLANES) == 2 and extra and max(extra) == 0:
        bits, samples, extra = bits[: -len(extra)], samples - len(extra), ()
    if not 1 <= samples < _MAX_SAMPLES:
        raise _unsupported(f"TIFFs with {samples} samples a pixel")
    if samples > len(bits) == 1:
        bits *= samples
    return bits[:samples], extra, samples


def _described(photometric: int, formats: set[int], bits: tuple[int, ...]) -> str:
    name = _PHOTOMETRICS.get(photometric, f"interpretation {photometric}")
    numbers = "floating point" if 3 in formats else "complex" if formats & {5, 6} else "bits"
    return f"{name}, {'/'.join(map(str, bits))} {numbers}"


def _check_tiles(directory: _Directory, width: int, height: int) -> None:
    for tag, side in ((_TILE_WIDTH, width), (_TILE_LENGTH, height)):
        tile_side = directory.integer(tag)
        if tile_side is not None and not 1 <= tile_side <= max(
            _MAX_TILE_SIDE, -(-side // 256) * 256
        ):
            raise DamagedImage("The TIFF is damaged: its tiles are larger than its picture")
    if directory.integer(_ROWS_PER_STRIP) == 0:
        raise DamagedImage("The TIFF is damaged: its strips have no rows")


def _check_data_is_there(directory: _Directory) -> None:
    if not directory.integers(_STRIPS) and not directory.integers(_TILES):
        raise DamagedImage("The TIFF is damaged: it does not say where its pixels are")
    for offsets_tag, bytes_tag in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        offsets, counts = directory.integers(offsets_tag), directory.integers(bytes_tag)
        ends = map(operator.add, offsets, counts) if counts else offsets
        if max(ends, default=0) > len(directory.data):
            raise DamagedImage("The TIFF is cut off: pixels are missing")
