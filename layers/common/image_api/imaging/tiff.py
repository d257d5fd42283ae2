"""TIFF (6.0, and BigTIFF): directories of tagged values that say where the pixels are."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.container import TIFF, Container
from image_api.imaging.model import check_size

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
_MAX_VALUE_BYTES = 8 << 20
_TYPE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
    18: 8,
}  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: int
    count: int
    raw: bytes
    values_start: int


@dataclass(frozen=True, slots=True)
class _Layout:
    order: str
    big: bool

    def read(self, kind: str, data: bytes, position: int) -> int:
        if position + struct.calcsize(self.order + kind) > len(data):
            raise DamagedImage("The TIFF is cut off: its directory is incomplete")
        return int(struct.unpack_from(self.order + kind, data, position)[0])

    @property
    def offset(self) -> str:
        return "Q" if self.big else "I"


_LAYOUTS = {
    b"II*\0": _Layout("<", big=False),
    b"MM\0*": _Layout(">", big=False),
    b"II+\0": _Layout("<", big=True),
    b"MM\0+": _Layout(">", big=True),
}
SIGNATURES = tuple(_LAYOUTS)


def inspect(data: bytes) -> Container:
    """The first page. What Pillow will decode is the same file with a directory of ours, which
    holds only what shapes the pixels: no EXIF, GPS or maker's notes to stumble over."""
    layout = _LAYOUTS[data[:4]]
    entries = _directory(data, layout)
    if data[8:10] == b"CR" or _DNG_VERSION in entries or _is_raw(data, layout, entries):
        raise UnsupportedFormat(
            "Camera raw files are not accepted; export the picture as JPEG or TIFF"
        )
    if _integers(data, layout, entries, _PHOTOMETRIC) == (_YCBCR,) and _integers(
        data, layout, entries, _COMPRESSION
    ) == (_UNCOMPRESSED,):
        # Pillow reads these as four bytes a pixel.
        raise UnsupportedFormat(
            "TIFFs of uncompressed YCbCr are not accepted; save the picture as RGB"
        )
    width, height = (_integers(data, layout, entries, tag)[:1] for tag in (_WIDTH, _LENGTH))
    if not width or not height:
        raise DamagedImage("The TIFF is damaged: it does not say how large the picture is")
    check_size(width[0], height[0])
    _check_data_is_there(data, layout, entries)
    (orientation, *_) = _integers(data, layout, entries, _ORIENTATION) or (1,)
    return Container(
        TIFF,
        data,
        width[0],
        height[0],
        orientation if 1 <= orientation <= 8 else 1,
        parts=_with_directory(
            data, layout, {tag: e for tag, e in entries.items() if tag in _SHAPES_PIXELS}
        ),
    )


def _directory(data: bytes, layout: _Layout) -> dict[int, _Entry]:
    """The entries of the first directory whose values lie inside the file."""
    start = layout.read(layout.offset, data, 8 if layout.big else 4)
    count = layout.read("Q" if layout.big else "H", data, start)
    first, entry_bytes, inline = (start + 8, 20, 8) if layout.big else (start + 2, 12, 4)
    if count > 65_535:
        raise DamagedImage("The TIFF is damaged: its directory is too long")
    entries: dict[int, _Entry] = {}
    for position in range(first, first + count * entry_bytes, entry_bytes):
        tag, kind = layout.read("H", data, position), layout.read("H", data, position + 2)
        values = layout.read(layout.offset, data, position + 4)
        value_bytes = values * _TYPE_BYTES.get(kind, 0)
        values_start = position + entry_bytes - inline
        raw = data[position : position + entry_bytes]
        if len(raw) < entry_bytes:
            raise DamagedImage("The TIFF is cut off: its directory is incomplete")
        if value_bytes > inline:
            values_start = layout.read(layout.offset, data, values_start)
        readable = 0 < value_bytes <= min(len(data) - values_start, _MAX_VALUE_BYTES)
        if readable and (values == 1 or tag not in _SINGLE):
            entries.setdefault(tag, _Entry(kind, values, raw, values_start))
        elif tag in _SHAPES_PIXELS and value_bytes > 0 and not readable:
            raise DamagedImage("The TIFF is damaged or cut off: values lie past its end")
    return entries


def _integers(
    data: bytes, layout: _Layout, entries: dict[int, _Entry], tag: int
) -> tuple[int, ...]:
    entry = entries.get(tag)
    if entry is None or entry.kind not in _INTEGERS:
        return ()
    values = f"{layout.order}{entry.count}{_INTEGERS[entry.kind]}"
    return struct.unpack_from(values, data, entry.values_start)


def _is_raw(data: bytes, layout: _Layout, entries: dict[int, _Entry]) -> bool:
    """Camera makers put a small preview first and the real picture in a sub-directory."""
    kind = _integers(data, layout, entries, _SUBFILE_TYPE)
    return bool(kind) and kind[0] & 1 == 1 and _SUB_DIRECTORIES in entries


def _check_data_is_there(data: bytes, layout: _Layout, entries: dict[int, _Entry]) -> None:
    for offsets_tag, bytes_tag in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        offsets = _integers(data, layout, entries, offsets_tag)
        counts = _integers(data, layout, entries, bytes_tag) or (0,) * len(offsets)
        ends = (offset + count for offset, count in zip(offsets, counts, strict=False))
        if max(ends, default=0) > len(data):
            raise DamagedImage("The TIFF is cut off: pixels are missing")


def _with_directory(
    data: bytes, layout: _Layout, entries: dict[int, _Entry]
) -> tuple[bytes | memoryview, ...]:
    """The file with a new first and only directory at its end; no value moves."""
    header_bytes = 16 if layout.big else 8
    start = len(data) + len(data) % 2
    header = data[: header_bytes // 2] + struct.pack(layout.order + layout.offset, start)
    count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(entries))
    end = bytes(8 if layout.big else 4)
    return (
        header,
        memoryview(data)[header_bytes:],
        bytes(len(data) % 2),
        count,
        *(entry.raw for _, entry in sorted(entries.items())),
        end,
    )
