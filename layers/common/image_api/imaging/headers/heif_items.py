"""The `meta` box of HEIF (ISO/IEC 14496-12, 23008-12): items, their places and properties."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from image_api.errors import DamagedImage
from image_api.imaging.headers.boxes import Box, Budget, Cursor, boxes_in, only_one_each

MAX_ITEMS = 1_000
"""libheif opens no file with more."""
_MAX_EXTENTS = 4_000
_IN_FILE, _IN_META = 0, 1
PROPERTIES, ASSOCIATIONS = b"ipco", b"ipma"


class Association(NamedTuple):
    property_number: int
    """From 1."""
    essential: bool


class Reference(NamedTuple):
    box: Box
    source: int
    targets: tuple[int, ...]


@dataclass(slots=True)
class Item:
    kind: bytes
    kind_at: int
    """Where its kind stands in the list of items; what follows, up to `entry_end`, is its name."""
    entry_end: int
    is_protected: bool


@dataclass(slots=True)
class Place:
    """Where an item's bytes are."""

    extents: list[tuple[int, int]] = field(default_factory=list)
    is_elsewhere: bool = False
    """In another file, or inside another item."""


@dataclass(slots=True)
class Items:
    """The tables of a `meta` box, by item number."""

    boxes: list[Box] = field(default_factory=list)
    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    properties: list[Box] = field(default_factory=list)
    property_boxes: list[Box] = field(default_factory=list)
    """What `iprp` holds: the properties, which items have them, and whatever else is in it."""
    associations: dict[int, list[Association]] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)

    def properties_of(self, item: int) -> Iterator[Box]:
        for association in self.associations.get(item, []):
            yield self.properties[association.property_number - 1]

    def referred(self, kind: bytes, source: int) -> tuple[int, ...]:
        for reference in self.references:
            if reference.source == source and reference.box.kind == kind:
                return reference.targets
        return ()

    def referring(self, kind: bytes) -> dict[int, list[int]]:
        """The sources of references of this kind, by their targets."""
        sources: dict[int, list[int]] = {}
        for reference in self.references:
            if reference.box.kind == kind:
                for target in reference.targets:
                    sources.setdefault(target, []).append(reference.source)
        return sources

    def box(self, kind: bytes) -> Box | None:
        return next((box for box in self.boxes if box.kind == kind), None)


def read_items(data: bytes, meta: Box, budget: Budget) -> Items:
    start = meta.body + 4
    if start > meta.end:
        raise DamagedImage("The image is damaged: its list of items is empty")
    items = Items(only_one_each(boxes_in(data, start, meta.end, budget), _REPEATABLE))

    def cursor_of(kind: bytes) -> Cursor | None:
        box = items.box(kind)
        return None if box is None else Cursor(data, box.body, box.end, budget)

    if cursor := cursor_of(b"pitm"):
        version, _ = cursor.version_and_flags()
        items.primary = cursor.number(4 if version else 2)
    if cursor := cursor_of(b"iinf"):
        _read_kinds(cursor, items)
    if cursor := cursor_of(b"iloc"):
        _read_extents(cursor, items, items.box(b"idat"))
    if cursor := cursor_of(b"iprp"):
        _read_properties(cursor, items)
    if cursor := cursor_of(b"iref"):
        _read_references(cursor, items)
    return items


_REPEATABLE = frozenset({b"free", b"skip", b"uuid"})


def _read_kinds(cursor: Cursor, items: Items) -> None:
    version, _ = cursor.version_and_flags()
    cursor.number(4 if version else 2)
    for entry in boxes_in(cursor.data, cursor.position, cursor.end, cursor.budget):
        one = Cursor(cursor.data, entry.body, entry.end, cursor.budget)
        version, _ = one.version_and_flags()
        if entry.kind != b"infe" or version < 2:
            raise DamagedImage("The image is damaged: its list of items cannot be read")
        number = one.number(2 if version == 2 else 4)
        protection = one.number(2)
        position = one.position
        one.skip(4)
        if number in items.items:
            raise DamagedImage("The image is damaged: two of its items have the same number")
        kind = cursor.data[position : position + 4]
        items.items[number] = Item(kind, position, entry.end, protection != 0)
        if len(items.items) > MAX_ITEMS:
            raise DamagedImage(f"The image consists of more than {MAX_ITEMS:,} items")


def _read_extents(cursor: Cursor, items: Items, inline: Box | None) -> None:
    version, _ = cursor.version_and_flags()
    sizes = cursor.number(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (
        sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15 if version else 0,
    )  # fmt: skip
    number_bytes = 4 if version == 2 else 2
    extents_left = _MAX_EXTENTS
    for _ in range(cursor.number(number_bytes)):
        number = cursor.number(number_bytes)
        method = cursor.number(2) & 15 if version else _IN_FILE
        other_file = cursor.number(2)
        base = cursor.number(base_bytes)
        stop = len(cursor.data)
        if method == _IN_META and inline:
            base, stop = base + inline.body, inline.end
        if number in items.places:
            raise DamagedImage("The image is damaged: one of its items lies in two places")
        place = items.places[number] = Place(
            is_elsewhere=other_file != 0
            or not (method == _IN_FILE or (method == _IN_META and inline))
        )
        count = cursor.number(2)
        extents_left -= count
        if extents_left < 0:
            raise DamagedImage("The image is damaged: its items are in too many pieces")
        for _ in range(count):
            cursor.number(index_bytes)
            start = base + cursor.number(offset_bytes)
            # A length of zero, or none: all that follows.
            length = cursor.number(length_bytes) or max(stop - start, 0)
            place.extents.append((start, start + length))


def _read_properties(cursor: Cursor, items: Items) -> None:
    tables: set[tuple[bytes, int, int]] = set()
    for table in boxes_in(cursor.data, cursor.position, cursor.end, cursor.budget):
        items.property_boxes.append(table)
        one = Cursor(cursor.data, table.body, table.end, cursor.budget)
        version = flags = 0
        if table.kind == PROPERTIES:
            items.properties = list(boxes_in(one.data, one.position, one.end, one.budget))
        elif table.kind == ASSOCIATIONS:
            version, flags = one.version_and_flags()
            _read_associations(one, version, flags, items)
        else:
            continue
        if (table.kind, version, flags) in tables:
            raise DamagedImage("The image is damaged: it lists properties of its items twice")
        tables.add((table.kind, version, flags))
    for associations in items.associations.values():
        if any(number > len(items.properties) for number, _ in associations):
            raise DamagedImage("The image is damaged: an item has a property that is not there")


def _read_associations(cursor: Cursor, version: int, flags: int, items: Items) -> None:
    size_bytes = 2 if flags & 1 else 1
    essential = 0x80 << 8 * (size_bytes - 1)
    for _ in range(cursor.number(4)):
        number = cursor.number(4 if version else 2)
        if number in items.associations:
            raise DamagedImage("The image is damaged: it lists properties of an item twice")
        values = [cursor.number(size_bytes) for _ in range(cursor.number(1))]
        items.associations[number] = [
            Association(value & ~essential, bool(value & essential))
            for value in values
            if value & ~essential
        ]


def _read_references(cursor: Cursor, items: Items) -> None:
    version, _ = cursor.version_and_flags()
    number_bytes = 4 if version else 2
    seen: set[tuple[bytes, int]] = set()
    for box in boxes_in(cursor.data, cursor.position, cursor.end, cursor.budget):
        one = Cursor(cursor.data, box.body, box.end, cursor.budget)
        source = one.number(number_bytes)
        count = one.number(2)
        if one.left_bytes != count * number_bytes:
            raise DamagedImage("The image is damaged: its references between items are broken")
        if (box.kind, source) in seen:
            raise DamagedImage("The image is damaged: it lists references of an item twice")
        seen.add((box.kind, source))
        targets = tuple(one.number(number_bytes) for _ in range(count))
        items.references.append(Reference(box, source, targets))
