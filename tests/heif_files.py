"""HEIF and AVIF files made by hand (ISO/IEC 14496-12, 23008-12): what no encoder would write."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from tests import samples
from tests.samples import box

HEIC_BRANDS = (b"heic", b"mif1", b"heic")
AVIF_BRANDS = (b"avif", b"avif", b"mif1", b"miaf")
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"dinf"}


def full_box(kind: bytes, body: bytes, *, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big") + body)


def found(data: bytes, kind: bytes, start: int = 0, end: int | None = None) -> list[slice]:
    """Where every box of a kind lies, however deep."""
    places = []
    end = len(data) if end is None else end
    while start < end:
        stop = start + int.from_bytes(data[start : start + 4], "big")
        here = data[start + 4 : start + 8]
        if here == kind:
            places.append(slice(start, stop))
        if here in _CONTAINERS:
            places += found(data, kind, start + 8, stop)
        elif here == b"meta":
            places += found(data, kind, start + 12, stop)
        start = stop
    return places


# --- properties -------------------------------------------------------------------------------


def size(width: int, height: int) -> bytes:
    return full_box(b"ispe", struct.pack(">2I", width, height))


def aperture(
    width: float, height: float, across: tuple[int, int] = (0, 1), down: tuple[int, int] = (0, 1)
) -> bytes:
    """A crop, and by how much its centre is moved, as fractions."""
    return box(b"clap", struct.pack(">4IiIiI", int(width), 1, int(height), 1, *across, *down))


def turned(quarters: int) -> bytes:
    """Anticlockwise."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis: int) -> bytes:
    """0: top and bottom change places; 1: left and right do."""
    return box(b"imir", bytes([axis]))


DEPTH = full_box(b"pixi", b"\x03\x08\x08\x08")
SRGB = box(b"colr", b"nclx" + struct.pack(">3HB", 1, 13, 6, 0x80))
ALPHA = full_box(b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
_ESSENTIAL = {b"hvcC", b"av1C", b"clap", b"irot", b"imir"}


# --- coded pixels -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Coded:
    kind: bytes
    width: int
    height: int
    configuration: bytes
    data: bytes


def _coded(whole: bytes, kind: bytes) -> Coded:
    configuration = {b"hvc1": b"hvcC", b"av01": b"av1C"}[kind]
    (place,) = found(whole, configuration)
    (stored,) = found(whole, b"ispe")
    (media,) = found(whole, b"mdat")
    width, height = struct.unpack_from(">2I", whole, stored.start + 12)
    return Coded(kind, width, height, whole[place], whole[media][8:])


@functools.cache
def hevc(width: int = 64, height: int = 64, colour: tuple[int, ...] = (200, 60, 30)) -> Coded:
    mode = "L" if len(colour) == 1 else "RGB"
    picture = Image.new(mode, (width, height), colour[0] if mode == "L" else colour)
    return _coded(samples.heic(picture, quality=60), b"hvc1")


@functools.cache
def av1(width: int = 64, height: int = 64, colour: tuple[int, ...] = (200, 60, 30)) -> Coded:
    mode = "L" if len(colour) == 1 else "RGB"
    picture = Image.new(mode, (width, height), colour[0] if mode == "L" else colour)
    return av1_of(picture)


def av1_of(picture: Image.Image) -> Coded:
    return _coded(samples.avif(picture, subsampling="4:4:4", quality=95), b"av01")


# --- files of items ---------------------------------------------------------------------------


@dataclass
class Item:
    """Items with equal `data` share the same bytes in the file; `inline` ones lie in `meta`."""

    kind: bytes
    properties: list[bytes] = field(default_factory=list)
    data: bytes = b""
    inline: bytes = b""
    name: bytes = b""

    @classmethod
    def of(cls, coded: Coded, *properties: bytes) -> Item:
        return cls(
            coded.kind,
            [size(coded.width, coded.height), coded.configuration, *properties],
            coded.data,
        )


Reference = tuple[bytes, int, Sequence[int]]
"""Its kind, from which item, to which."""


def file_of(
    items: Sequence[Item],
    references: Iterable[Reference] = (),
    *,
    brands: Sequence[bytes] | None = None,
    tables: bytes = b"",
    behind: bytes = b"",
    media_behind: bytes = b"",
) -> bytes:
    """A still picture: items are numbered from 1 and the first is the primary one. `tables` are
    more boxes of `meta`, `behind` more of the file, `media_behind` bytes that no item claims."""
    if brands is None:
        brands = AVIF_BRANDS if any(item.kind == b"av01" for item in items) else HEIC_BRANDS
    start = box(b"ftyp", brands[0] + bytes(4) + b"".join(brands[1:]))
    media, places = _laid_out(item.data for item in items)
    inline, inline_places = _laid_out(item.inline for item in items)

    def meta(media_start: int) -> bytes:
        locations = b"".join(
            struct.pack(
                ">4H2I", number, bool(item.inline), 0, 1,
                inline_places[item.inline] if item.inline else media_start + places[item.data],
                len(item.inline or item.data),
            )
            for number, item in enumerate(items, 1)
        )  # fmt: skip
        return full_box(b"meta", _descriptions(items, locations, references) + tables + inline_box)

    inline_box = box(b"idat", inline) if inline else b""
    media_start = len(start) + len(meta(0)) + 8
    return start + meta(media_start) + box(b"mdat", media + media_behind) + behind


def _laid_out(pieces: Iterator[bytes]) -> tuple[bytes, dict[bytes, int]]:
    places: dict[bytes, int] = {}
    whole = b""
    for piece in pieces:
        if piece not in places:
            places[piece] = len(whole)
            whole += piece
    return whole, places


def _descriptions(
    items: Sequence[Item], locations: bytes, references: Iterable[Reference]
) -> bytes:
    properties: list[bytes] = []
    associations = b""
    for number, item in enumerate(items, 1):
        numbers = []
        for each in item.properties:
            if each not in properties:
                properties.append(each)
            essential = 0x80 if each[4:8] in _ESSENTIAL else 0
            numbers.append(properties.index(each) + 1 | essential)
        associations += struct.pack(">HB", number, len(numbers)) + bytes(numbers)
    entries = b"".join(
        full_box(b"infe", struct.pack(">HH", number, 0) + item.kind + item.name + b"\0", version=2)
        for number, item in enumerate(items, 1)
    )
    links = b"".join(
        box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))
        for kind, source, targets in references
    )
    count = struct.pack(">H", len(items))
    return b"".join(
        (
            full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            full_box(b"pitm", struct.pack(">H", 1)),
            full_box(b"iloc", b"\x44\0" + count + locations, version=1),
            full_box(b"iinf", count + entries),
            box(
                b"iprp",
                box(b"ipco", b"".join(properties))
                + full_box(b"ipma", struct.pack(">I", len(items)) + associations),
            ),
            full_box(b"iref", links) if links else b"",
        )
    )


def grid_item(rows: int, columns: int, width: int, height: int, *properties: bytes) -> Item:
    description = struct.pack(">4B2I", 0, 1, rows - 1, columns - 1, width, height)
    return Item(b"grid", [size(width, height), *properties], inline=description)


def overlay_item(count: int, width: int, height: int) -> Item:
    description = struct.pack(">BB4H2I", 0, 1, 0, 0, 0, 65_535, width, height) + bytes(8 * count)
    return Item(b"iovl", [size(width, height)], inline=description)


def grid_file(
    tiles: Sequence[Coded],
    rows: int,
    columns: int,
    output: tuple[int, int] | None = None,
    *properties: bytes,
    **options: Any,
) -> bytes:
    """A grid of these tiles, from left to right and from top to bottom."""
    if output is None:
        output = columns * tiles[0].width, rows * tiles[0].height
    top = grid_item(rows, columns, *output, *properties)
    numbers = range(2, 2 + len(tiles))
    items = [top, *(Item.of(tile) for tile in tiles)]
    return file_of(
        items, [(b"dimg", 1, numbers)],
        brands=AVIF_BRANDS if tiles[0].kind == b"av01" else HEIC_BRANDS, **options,
    )  # fmt: skip


def levels(make: Callable[[int], Item], levels: int, width: int, leaf: Coded) -> bytes:
    """Derived items, each made of all `width` items of the level below: width to the power of
    levels are to be decoded."""
    items, references, above = [make(width)], [], [1]
    for level in range(levels):
        numbers = range(len(items) + 1, len(items) + 1 + width)
        items += [Item.of(leaf) if level == levels - 1 else make(width)] * width
        references += [(b"dimg", parent, numbers) for parent in above]
        above = list(numbers)
    return file_of(items, references)


# --- sequences --------------------------------------------------------------------------------


def at_time(data: bytes, seconds: int) -> bytes:
    """A sequence that was made and changed at this time, in seconds since 1904."""
    changed = bytearray(data)
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        for place in found(data, kind):
            times = struct.pack(">2Q" if data[place.start + 8] else ">2I", seconds, seconds)
            changed[place.start + 12 : place.start + 12 + len(times)] = times
    return bytes(changed)


def plain_sequence(data: bytes) -> bytes:
    """As it is served: without a time, and without the name of its encoder."""
    return at_time(data, 0).replace(b"\x0aAOM Coding", bytes(11))


def with_box_behind(data: bytes, kind: bytes, added: bytes) -> bytes:
    """The same file with `added` at the end of its first box of this kind (not in a table of
    items), and all that is behind it found where it is now."""
    place = found(data, kind)[0]
    changed = bytearray(data)
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"meta", b"iprp", b"ipco", kind):
        for outer in found(data, parent):
            if (
                outer.start <= place.start
                and place.stop <= outer.stop
                and (parent != kind or outer == place)
            ):
                length = outer.stop - outer.start + len(added)
                changed[outer.start : outer.start + 4] = length.to_bytes(4, "big")
    for table in found(data, b"stco"):
        for at in range(table.start + 16, table.stop, 4):
            _move(changed, at, place.stop, len(added))
    for table in found(data, b"iloc"):
        # As libavif writes it: items of one extent, whose place and length are the last numbers.
        for at in range(table.stop - 8, table.start + 16, -14):
            _move(changed, at, place.stop, len(added))
    changed[place.stop : place.stop] = added
    return bytes(changed)


def with_box_behind_entry(data: bytes, added: bytes) -> bytes:
    """The sequence with one more property of its frames."""
    (table,) = found(data, b"stsd")
    length = int.from_bytes(data[table.start + 16 : table.start + 20], "big") + len(added)
    longer = data[: table.start + 16] + length.to_bytes(4, "big") + data[table.start + 20 :]
    return with_box_behind(longer, b"stsd", added)


def _move(data: bytearray, at: int, behind: int, by: int) -> None:
    offset = int.from_bytes(data[at : at + 4], "big")
    if offset >= behind:
        data[at : at + 4] = (offset + by).to_bytes(4, "big")


def sound_track(start: int, length: int) -> bytes:
    """A track of one sample of sound, with a name in its handler."""
    entry = box(b"mp4a", bytes(6) + struct.pack(">H8x4HI", 1, 1, 16, 0, 0, 8000 << 16))
    samples_table = box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 1) + entry)
        + full_box(b"stts", struct.pack(">3I", 1, 1, 8000))
        + full_box(b"stsc", struct.pack(">4I", 1, 1, 1, 1))
        + full_box(b"stsz", struct.pack(">3I", 0, 1, length))
        + full_box(b"stco", struct.pack(">2I", 1, start)),
    )
    reference = full_box(b"dref", struct.pack(">I", 1) + full_box(b"url ", b"", flags=1))
    media = box(b"minf", full_box(b"smhd", bytes(4)) + box(b"dinf", reference) + samples_table)
    header = struct.pack(">5I8x4H9I2I", 0, 0, 77, 0, 8000, 0, 0, 0x100, 0, *[0] * 9, 0, 0)
    handler = full_box(b"hdlr", bytes(4) + b"soun" + bytes(12) + b"Somebody's voice\0")
    times = full_box(b"mdhd", struct.pack(">4I2H", 0, 0, 8000, 8000, 0x55C4, 0))
    return box(b"trak", full_box(b"tkhd", header, flags=3) + box(b"mdia", times + handler + media))


def with_sound(movie: bytes, sound: bytes) -> bytes:
    """The sequence with a track of sound, whose bytes lie behind everything else."""
    start = len(movie) + len(sound_track(0, 0)) + 8
    return with_box_behind(movie, b"moov", sound_track(start, len(sound))) + box(b"mdat", sound)
