"""HEIF, and AVIF with it (ISO/IEC 23008-12): boxes that list items and where their bytes are.

Positions in these files are absolute, so nothing is cut out: what must go is blanked in place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.headers.boxes import MAX_BOXES, Box, Cursor, boxes_in
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import AVIF, HEIC, HEIF, Format, StoredPicture, check_size

BRANDS = {
    b"avif", b"avis", b"mif1", b"msf1", b"miaf", b"heic", b"heix", b"heim", b"heis", b"hevc",
    b"hevx", b"hevm", b"hevs",
}  # fmt: skip
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_DERIVED = {b"grid", b"iden", b"iovl"}
_WANTED_BOXES = {b"ftyp", b"mdat", b"moov"}
_UNWANTED_IN_MOVIE = {b"udta", b"meta", b"uuid"}
_MAX_EXTENTS = 20_000

# irot (anticlockwise quarter turns) and imir (its axis, -1 without) → EXIF's number.
_ORIENTATIONS = {
    (0, -1): 1, (1, -1): 8, (2, -1): 3, (3, -1): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


@dataclass(slots=True)
class _Items:
    """The tables of a `meta` box, by item number."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, tuple[int, int]] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    properties: list[Box] = field(default_factory=list)
    property_numbers: dict[int, list[int]] = field(default_factory=dict)
    references: defaultdict[tuple[bytes, int], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def properties_of(self, item: int) -> Iterator[Box]:
        for number in self.property_numbers.get(item, []):
            if 1 <= number <= len(self.properties):
                yield self.properties[number - 1]

    def wanted(self) -> set[int]:
        """The primary item, the tiles that it is made of, and their alpha planes."""
        wanted: set[int] = set()
        waiting = [self.primary]
        while waiting:
            item = waiting.pop()
            if item not in wanted:
                wanted.add(item)
                waiting += self.references[b"dimg", item] + self.references[b"auxl", item]
        return wanted


class _Structure(NamedTuple):
    boxes: list[Box]
    end: int
    """Whatever follows is not part of the file."""
    meta: Box
    items: _Items


def header(data: bytes) -> StoredPicture:
    structure = _structure(data)
    items = structure.items
    wanted = items.wanted()
    image_format = _format(data, {items.kinds.get(item, b"") for item in wanted})
    width, height, orientation = _geometry(data, items, image_format)
    moves = data[8:12] == b"avis"
    frames = _frames(data, structure.boxes) if moves else 1
    check_size(width, height, frames)
    if any(stop > structure.end for item in wanted for _, stop in items.extents.get(item, [])):
        raise DamagedImage("The image is cut off: pixels are missing")
    for _ in _inside_movie(data, structure.boxes):
        pass  # `clean_parts` goes through it: what is broken is refused now, not then.
    return StoredPicture(
        image_format,
        width,
        height,
        orientation,
        frames=frames,
        web_safe=image_format is AVIF and orientation == 1,
    )


def clean_parts(data: bytes) -> list[Part]:
    structure = _structure(data)
    items = structure.items
    unwanted_boxes = _unwanted_boxes(data, structure)
    unwanted_items = items.kinds.keys() - items.wanted()
    clean = bytearray(memoryview(data)[: structure.end])
    for start, stop in _merge(
        [
            *((box.body, box.end) for box in unwanted_boxes),
            *(extent for item in unwanted_items for extent in items.extents.get(item, [])),
        ],
        structure.end,
    ):
        clean[start:stop] = bytes(stop - start)
    for box in unwanted_boxes:
        clean[box.start + 4 : box.start + 8] = b"free"
    for item in unwanted_items:
        # Its kind, its name and what else the list says of it.
        start, stop = items.entries[item]
        clean[start:stop] = b"skip".ljust(stop - start, b"\0")
    return [clean]


def _structure(data: bytes) -> _Structure:
    boxes, end = _top_level(data)
    meta = next((box for box in boxes if box.kind == b"meta"), None)
    items = _items(data, meta) if meta else _Items()
    if meta is None or items.primary not in items.kinds:
        raise UnsupportedFormat(
            "HEIF files without a still picture are not accepted; export the picture as JPEG"
        )
    return _Structure(boxes, end, meta, items)


def _unwanted_boxes(data: bytes, structure: _Structure) -> list[Box]:
    others = (box for box in structure.boxes if box is not structure.meta)
    return [
        *(box for box in others if box.kind not in _WANTED_BOXES),
        *(box for box in _inside_movie(data, structure.boxes) if box.kind in _UNWANTED_IN_MOVIE),
    ]


def _top_level(data: bytes) -> tuple[list[Box], int]:
    """The boxes, and where they end."""
    boxes: list[Box] = []
    end = 0
    try:
        for box in boxes_in(data, 0, len(data)):
            if box.kind == b"ftyp" and boxes:
                # Another file behind this one: phones put a video there.
                break
            boxes.append(box)
            end = box.end
    except DamagedImage:
        # A trailer, or a file that is cut off: the items tell which by where they should be.
        if not any(box.kind == b"meta" for box in boxes):
            raise
    return boxes, end


def _merge(ranges: list[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """The same ranges below `end`, in order and without overlaps: no byte is written twice."""
    position = 0
    for start, stop in sorted(ranges):
        start, stop = max(start, position), min(stop, end)
        if start < stop:
            yield start, stop
            position = stop


def _items(data: bytes, meta: Box) -> _Items:
    items = _Items()
    tables = {box.kind: box for box in boxes_in(data, meta.body + 4, meta.end)}
    inline_start = tables[b"idat"].body if b"idat" in tables else 0
    if b"pitm" in tables:
        cursor = Cursor(data, tables[b"pitm"].body)
        version, _ = cursor.version_and_flags()
        items.primary = cursor.number(4 if version else 2)
    if b"iinf" in tables:
        _read_kinds(data, tables[b"iinf"], items)
    if b"iloc" in tables:
        _read_extents(data, tables[b"iloc"], items, inline_start)
    if b"iprp" in tables:
        _read_properties(data, tables[b"iprp"], items)
    if b"iref" in tables:
        _read_references(data, tables[b"iref"], items)
    return items


def _read_kinds(data: bytes, box: Box, items: _Items) -> None:
    cursor = Cursor(data, box.body)
    version, _ = cursor.version_and_flags()
    cursor.number(4 if version else 2)
    for entry in boxes_in(data, cursor.position, box.end):
        cursor = Cursor(data, entry.body)
        version, _ = cursor.version_and_flags()
        if entry.kind != b"infe" or version < 2:
            raise DamagedImage("The image is damaged: its list of items cannot be read")
        item = cursor.number(2 if version == 2 else 4)
        cursor.number(2)
        items.kinds[item] = data[cursor.position : cursor.position + 4]
        items.entries[item] = (cursor.position, entry.end)


def _read_extents(data: bytes, box: Box, items: _Items, inline_start: int) -> None:
    cursor = Cursor(data, box.body)
    version, _ = cursor.version_and_flags()
    sizes = cursor.number(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (
        sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15 if version else 0,
    )  # fmt: skip
    number_bytes = 4 if version == 2 else 2
    extents_left = _MAX_EXTENTS
    for _ in range(cursor.number(number_bytes)):
        item = cursor.number(number_bytes)
        method = cursor.number(2) & 15 if version else 0
        cursor.number(2)
        base = cursor.number(base_bytes) + (inline_start if method == 1 else 0)
        extents = items.extents.setdefault(item, [])
        count = cursor.number(2)
        extents_left -= count
        if extents_left < 0:
            raise DamagedImage("The image is damaged: its items are in too many pieces")
        for _ in range(count):
            cursor.number(index_bytes)
            start = base + cursor.number(offset_bytes)
            # A length of zero, or none: all that follows.
            length = cursor.number(length_bytes) or len(data) - start
            # Method 2 counts inside another item, where nothing of ours is.
            if method != 2:
                extents.append((start, start + length))


def _read_properties(data: bytes, box: Box, items: _Items) -> None:
    for table in boxes_in(data, box.body, box.end):
        if table.kind == b"ipco":
            items.properties = list(boxes_in(data, table.body, table.end))
        elif table.kind == b"ipma":
            cursor = Cursor(data, table.body)
            version, flags = cursor.version_and_flags()
            wide = flags & 1
            for _ in range(cursor.number(4)):
                item = cursor.number(4 if version else 2)
                items.property_numbers[item] = [
                    cursor.number(2) & 0x7FFF if wide else cursor.number(1) & 0x7F
                    for _ in range(cursor.number(1))
                ]


def _read_references(data: bytes, box: Box, items: _Items) -> None:
    version, _ = Cursor(data, box.body).version_and_flags()
    number_bytes = 4 if version else 2
    for reference in boxes_in(data, box.body + 4, box.end):
        cursor = Cursor(data, reference.body)
        source = cursor.number(number_bytes)
        for _ in range(cursor.number(2)):
            target = cursor.number(number_bytes)
            if reference.kind == b"dimg":
                items.references[b"dimg", source].append(target)
            elif reference.kind == b"auxl":
                items.references[b"auxl", target].append(source)


def _format(data: bytes, kinds: set[bytes]) -> Format:
    codecs = kinds - _DERIVED
    if codecs == {b"av01"}:
        return AVIF
    if codecs == {b"hvc1"}:
        return HEIC if data[8:12] in _HEIC_BRANDS else HEIF
    raise UnsupportedFormat(
        "Only HEIF files coded with HEVC (HEIC) or AV1 (AVIF) are accepted; "
        "export the picture as JPEG"
    )


def _geometry(data: bytes, items: _Items, image_format: Format) -> tuple[int, int, int]:
    """Width and height, and the EXIF orientation that is still to be applied.

    libheif crops and turns while it decodes, so of HEIC these are those of the result; Pillow's
    AVIF decoder gives the stored pixels.
    """
    width = height = turns = 0
    mirror = -1
    applied = image_format is not AVIF
    for box in items.properties_of(items.primary):
        cursor = Cursor(data, box.body)
        if box.kind == b"ispe":
            cursor.version_and_flags()
            width, height = cursor.number(4), cursor.number(4)
        elif box.kind == b"clap" and applied:
            width, height = _cropped_size(cursor)
        elif box.kind == b"irot":
            turns = cursor.number(1) & 3
            if applied and turns % 2:
                width, height = height, width
        elif box.kind == b"imir":
            mirror = cursor.number(1) & 1
    return width, height, 1 if applied else _ORIENTATIONS[turns, mirror]


def _cropped_size(clean_aperture: Cursor) -> tuple[int, int]:
    width, width_divisor, height, height_divisor = (clean_aperture.number(4) for _ in range(4))
    if 0 in (width_divisor, height_divisor):
        raise DamagedImage("The image is damaged: its crop makes no sense")
    return round(width / width_divisor), round(height / height_divisor)


def _inside_movie(data: bytes, boxes: list[Box]) -> Iterator[Box]:
    """Everything within `moov`, level by level, down to the sample tables."""
    waiting = [box for box in boxes if box.kind == b"moov"]
    for _ in range(MAX_BOXES):
        if not waiting:
            return
        parent = waiting.pop()
        for box in boxes_in(data, parent.body, parent.end):
            yield box
            if box.kind in (b"trak", b"mdia", b"minf", b"stbl"):
                waiting.append(box)


def _frames(data: bytes, boxes: list[Box]) -> int:
    counts = [
        Cursor(data, box.body + 8).number(4)
        for box in _inside_movie(data, boxes)
        if box.kind == b"stsz"
    ]
    return max(counts, default=1) or 1
