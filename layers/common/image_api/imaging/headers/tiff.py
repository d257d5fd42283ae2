"""TIFF (6.0, and BigTIFF): directories of tagged values that say where the pixels are."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import TIFF, StoredPicture, check_size

_WIDTH, _LENGTH, _ORIENTATION = 256, 257, 274
_COMPRESSION, _PHOTOMETRIC = 259, 262
_UNCOMPRESSED, _YCBCR = 1, 6
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 330, 50706

# One value each: with more, Pillow warns and takes the first.
_SINGLE = {
    _WIDTH, _LENGTH, _COMPRESSION, _PHOTOMETRIC, 266, 277, 278, 284, 292, 293, 317, 322, 323, 512,
    513, 514, 515,
}  # fmt: skip
_SEVERAL = {
    258, _STRIPS, _STRIP_BYTES, 318, 319, 320, _TILES, _TILE_BYTES, 332, 338, 339, 347, 519, 520,
    521, 529, 530, 532, 34675,
}  # fmt: skip
_SHAPES_PIXELS = _SINGLE | _SEVERAL
_MAX_ENTRIES = 65_535
_MAX_VALUE_BYTES = 8 << 20
_TYPE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
    18: 8,
}  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


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
    b"MM\0+": _Layout(">", big=True),
}
SIGNATURES = tuple(_LAYOUTS)


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

    def integers(self, tag: int) -> Iterator[int]:
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS:
            return
        end = entry.values_start + entry.value_bytes
        values = memoryview(self.data)[entry.values_start : end]
        for (value,) in struct.iter_unpack(self.layout.order + _INTEGERS[entry.kind], values):
            yield value

    def integer(self, tag: int) -> int | None:
        return next(self.integers(tag), None)


def header(data: bytes) -> StoredPicture:
    """Of the first page."""
    directory = _directory(data)
    _check_kind(directory)
    width, height = directory.integer(_WIDTH), directory.integer(_LENGTH)
    if width is None or height is None:
        raise DamagedImage("The TIFF is damaged: it does not say how large the picture is")
    check_size(width, height)
    _check_data_is_there(directory)
    orientation = directory.integer(_ORIENTATION) or 1
    return StoredPicture(TIFF, width, height, orientation if orientation <= 8 else 1)


def clean_parts(data: bytes) -> list[Part]:
    """The file with a directory of ours, which holds only what shapes the pixels: no EXIF, GPS or
    maker's notes for a decoder to stumble over. It stands at the end, and no value moves."""
    directory = _directory(data)
    layout = directory.layout
    entries = [e for tag, e in sorted(directory.entries.items()) if tag in _SHAPES_PIXELS]
    view = memoryview(data)
    start = len(data) + len(data) % 2
    return [
        view[: layout.header_bytes // 2],
        struct.pack(layout.order + layout.offset, start),
        view[layout.header_bytes :],
        bytes(len(data) % 2),
        struct.pack(layout.order + layout.count, len(entries)),
        *(view[e.position : e.position + layout.entry_bytes] for e in entries),
        bytes(layout.inline_bytes),
    ]


def _directory(data: bytes) -> _Directory:
    directory = _Directory(data, _LAYOUTS[data[:4]])
    for entry in _entries(data, directory.layout):
        readable = 0 < entry.value_bytes <= min(len(data) - entry.values_start, _MAX_VALUE_BYTES)
        if readable and (entry.count == 1 or entry.tag not in _SINGLE):
            directory.entries.setdefault(entry.tag, entry)
        elif entry.tag in _SHAPES_PIXELS and entry.value_bytes > 0 and not readable:
            raise DamagedImage("The TIFF is damaged or cut off: values lie past its end")
    return directory


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


def _check_kind(directory: _Directory) -> None:
    # Camera makers put a small preview first and the real picture in a sub-directory.
    is_preview = (directory.integer(_SUBFILE_TYPE) or 0) & 1 == 1
    holds_raw = is_preview and _SUB_DIRECTORIES in directory.entries
    if directory.data[8:10] == b"CR" or _DNG_VERSION in directory.entries or holds_raw:
        raise UnsupportedFormat(
            "Camera raw files are not accepted; export the picture as JPEG or TIFF"
        )
    kind = (directory.integer(_PHOTOMETRIC), directory.integer(_COMPRESSION))
    if kind == (_YCBCR, _UNCOMPRESSED):
        # Pillow reads these as four bytes a pixel.
        raise UnsupportedFormat(
            "TIFFs of uncompressed YCbCr are not accepted; save the picture as RGB"
        )


def _check_data_is_there(directory: _Directory) -> None:
    for offsets_tag, bytes_tag in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        offsets = directory.integers(offsets_tag)
        counts = directory.integers(bytes_tag)
        if directory.integer(bytes_tag) is None:
            counts = itertools.repeat(0)
        ends = (offset + count for offset, count in zip(offsets, counts, strict=False))
        if max(ends, default=0) > len(directory.data):
            raise DamagedImage("The TIFF is cut off: pixels are missing")
