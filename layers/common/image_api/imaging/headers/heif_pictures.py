"""What the picture of a HEIF file is made of, and what decoding it may cost.

A picture is one coded item, or a grid of such items that tiles it exactly. So its price is known
from its header: nothing is decoded twice, laid over another, or larger than it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from image_api.errors import DamagedImage, TooManyPixels, UnsupportedFormat
from image_api.imaging.headers import av1, hevc
from image_api.imaging.headers.boxes import Box, Budget, Cursor
from image_api.imaging.headers.heif_items import Item, Items
from image_api.imaging.model import MAX_PIXELS, Area, check_size

AV1, HEVC = b"av01", b"hvc1"
_CONFIGURATION = {AV1: b"av1C", HEVC: b"hvcC"}

MAX_CODED_PIXELS = MAX_PIXELS * 3 // 2
"""In all tiles of a grid, which reach over the picture's edge, or in all layers of a picture."""
_MAX_SLICE_PIXELS = 1_000_000_000
_MAX_LAYERS = 4
_SMALLEST_AVIF_TILE = 64
_MAX_SHARED_BYTES = 4 << 20
"""Items may lie in the same bytes, as long as little is decoded more than once."""

_ALPHA = {b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"}
_SIZE_OF_LAYERS = {b"a1op", b"a1lx", b"lsel"}
TRANSFORMATIONS = {b"clap", b"irot", b"imir"}
_ONCE_FOR_AN_ITEM = TRANSFORMATIONS | {b"ispe", b"auxC", *_CONFIGURATION.values()}

UNDERSTOOD = frozenset(
    {b"ispe", b"pixi", b"colr", b"pasp", b"auxC", b"clap", b"irot", b"imir", b"av1C", b"hvcC"}
    | {b"clli", b"mdcv", b"cclv", b"amve", b"ndwt", b"a1op", b"a1lx", b"lsel"}
)
"""The properties that pixels and their colours need."""

_COMPOSED = {
    b"iovl": "an overlay of several pictures",
    b"iden": "a transformed copy of another picture",
    b"tmap": "two pictures of different brightness",
    b"grid": "a grid of other grids",
}

# irot (anticlockwise quarter turns), then imir (its axis, -1 without) → EXIF's number.
_ORIENTATIONS = {
    (0, -1): 1, (1, -1): 8, (2, -1): 3, (3, -1): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


class Picture(NamedTuple):
    codec: bytes
    items: frozenset[int]
    """All that must stay: the primary item, its tiles, and their alpha planes."""
    size: tuple[int, int]
    """Of the pixels as stored."""


class Placement(NamedTuple):
    """How stored pixels are shown: cut to `crop` (None: whole), then turned as in EXIF."""

    crop: Area | None
    orientation: int


class _Plane(NamedTuple):
    """The colours, or the alpha."""

    coded: tuple[int, ...]
    all: tuple[int, ...]
    codec: bytes
    size: tuple[int, int]


def primary_picture(data: bytes, items: Items, end: int, budget: Budget) -> Picture:
    """`end` is where the file's boxes end. Raises as `identify` does."""
    return _Reader(data, items, end, budget).picture()


class _Reader:
    def __init__(self, data: bytes, items: Items, end: int, budget: Budget) -> None:
        self._data = data
        self._items = items
        self._end = end
        self._budget = budget
        self._coded_bytes = 0
        self._properties: dict[int, dict[bytes, Box]] = {}

    def picture(self) -> Picture:
        items = self._items
        colour = self._plane(items.primary)
        check_size(*colour.size)
        planes = [colour, *self._alpha_of(colour)]
        for plane in planes:
            for item in plane.coded:
                self._check_coded(item, plane.codec)
        wanted = frozenset(item for plane in planes for item in plane.all)
        for item in wanted:
            self._check_item(item)
        return Picture(colour.codec, wanted, colour.size)

    def _alpha_of(self, colour: _Plane) -> Iterator[_Plane]:
        """The picture's own alpha plane, or else one of each tile."""
        sources = self._items.referring(b"auxl")
        own = self._alpha_item(sources, self._items.primary)
        tiles = [self._alpha_item(sources, item) for item in colour.coded]
        if own is not None:
            alpha = self._plane(own)
            if alpha.size != colour.size:
                raise DamagedImage("The image is damaged: its transparency has another size")
            yield alpha
        elif None not in tiles:
            for item, tile in zip(tiles, colour.coded, strict=True):
                assert item is not None
                alpha = self._plane(item)
                if len(alpha.all) > 1 or alpha.size != self._size(tile):
                    raise DamagedImage("The image is damaged: its transparency has another size")
                yield alpha

    def _alpha_item(self, sources: dict[int, list[int]], master: int) -> int | None:
        found = {source for source in sources.get(master, []) if self._is_alpha(source)}
        if len(found) > 1:
            raise DamagedImage("The image is damaged: it has more than one alpha channel")
        return found.pop() if found else None

    def _is_alpha(self, item: int) -> bool:
        box = self._properties_of(item).get(b"auxC")
        if box is None:
            return False
        kind, _, _ = self._data[box.body + 4 : min(box.end, box.body + 64)].partition(b"\0")
        return kind in _ALPHA

    def _plane(self, number: int) -> _Plane:
        item = self._item(number)
        if item.kind in _CONFIGURATION:
            return _Plane((number,), (number,), item.kind, self._size(number))
        if item.kind == b"grid":
            return self._grid(number)
        raise _not_accepted(item.kind)

    def _grid(self, number: int) -> _Plane:
        rows, columns, width, height = self._grid_description(number)
        tiles = self._items.referred(b"dimg", number)
        if len(tiles) != rows * columns or len(set(tiles)) != len(tiles):
            raise DamagedImage("The image is damaged: tiles of its grid are missing")
        kinds = {self._item(tile).kind for tile in tiles}
        if len(kinds) != 1 or not kinds <= _CONFIGURATION.keys():
            raise _not_accepted((kinds - _CONFIGURATION.keys() or kinds).pop())
        if any(self._properties_of(tile).keys() & TRANSFORMATIONS for tile in tiles):
            raise UnsupportedFormat(
                "HEIF files whose tiles are cropped or turned are not accepted; "
                "export the picture as JPEG"
            )
        tile_sizes = {self._size(tile) for tile in tiles}
        if len(tile_sizes) != 1:
            raise DamagedImage("The image is damaged: the tiles of its grid differ in size")
        (tile_width, tile_height) = tile_sizes.pop()
        if kinds == {AV1} and min(tile_width, tile_height) < _SMALLEST_AVIF_TILE:
            raise UnsupportedFormat(
                f"An AVIF of tiles of less than {_SMALLEST_AVIF_TILE} pixels is not accepted; "
                "export the picture as JPEG"
            )
        if not (
            (columns - 1) * tile_width < width <= columns * tile_width
            and (rows - 1) * tile_height < height <= rows * tile_height
            and (width, height) == self._size(number)
        ):
            raise DamagedImage("The image is damaged: its tiles do not cover it exactly")
        if columns * tile_width * rows * tile_height > MAX_CODED_PIXELS:
            raise TooManyPixels(
                f"The image has {len(tiles)} tiles of {tile_width}x{tile_height} pixels; at most "
                f"{MAX_CODED_PIXELS // 1_000_000} megapixels over all tiles are accepted"
            )
        return _Plane(tiles, (number, *tiles), kinds.pop(), (width, height))

    def _grid_description(self, number: int) -> tuple[int, int, int, int]:
        start, end = self._bytes_of(number)
        cursor = Cursor(self._data, start, end, self._budget)
        cursor.number(1)
        size_bytes = 4 if cursor.number(1) & 1 else 2
        rows, columns = cursor.number(1) + 1, cursor.number(1) + 1
        return rows, columns, cursor.number(size_bytes), cursor.number(size_bytes)

    def _item(self, number: int) -> Item:
        item = self._items.items.get(number)
        if item is None:
            raise DamagedImage("The image is damaged: one of its parts is missing")
        return item

    def _size(self, number: int) -> tuple[int, int]:
        box = self._properties_of(number).get(b"ispe")
        if box is None:
            raise DamagedImage("The image is damaged: it does not say its size")
        cursor = Cursor(self._data, box.body, box.end, self._budget)
        cursor.version_and_flags()
        width, height = cursor.number(4), cursor.number(4)
        check_size(width, height)
        return width, height

    def _properties_of(self, number: int) -> dict[bytes, Box]:
        """The first of each kind."""
        if number not in self._properties:
            found: dict[bytes, Box] = {}
            for box in self._items.properties_of(number):
                found.setdefault(box.kind, box)
            self._properties[number] = found
        return self._properties[number]

    def _check_item(self, number: int) -> None:
        """What every item that stays has to keep."""
        if self._item(number).is_protected:
            raise UnsupportedFormat("Encrypted HEIF files are not accepted")
        once: list[bytes] = []
        for association in self._items.associations.get(number, []):
            box = self._items.properties[association.property_number - 1]
            if association.essential and box.kind not in UNDERSTOOD:
                name = box.kind.decode("ascii", "replace")
                raise UnsupportedFormat(
                    f"This kind of HEIF is not accepted: it needs the property {name!r}; "
                    "export the picture as JPEG"
                )
            if box.kind == b"colr":
                kind = self._data[box.body : box.body + 4]
                once.append(b"colr nclx" if kind == b"nclx" else b"colr")
            elif box.kind in _ONCE_FOR_AN_ITEM:
                once.append(box.kind)
        if len(once) != len(set(once)):
            raise DamagedImage("The image is damaged: it says twice how it is to be shown")

    def _bytes_of(self, number: int) -> tuple[int, int]:
        """Where the item begins and ends, of which only one that is in one piece."""
        extents = self.extents_of(number)
        if len(extents) != 1:
            raise DamagedImage("The image is damaged: its description is in several pieces")
        return extents[0]

    def extents_of(self, number: int) -> list[tuple[int, int]]:
        place = self._items.places.get(number)
        if place is None or not place.extents:
            raise DamagedImage("The image is damaged: the place of its pixels is not given")
        if place.is_elsewhere:
            raise UnsupportedFormat("HEIF files whose pixels are in another file are not accepted")
        if any(stop > self._end for _, stop in place.extents):
            raise DamagedImage("The image is cut off: pixels are missing")
        return place.extents

    def _check_coded(self, number: int, codec: bytes) -> None:
        extents = self.extents_of(number)
        length = sum(stop - start for start, stop in extents)
        self._coded_bytes += length
        if self._coded_bytes > max(_MAX_SHARED_BYTES, len(self._data)):
            raise DamagedImage("The image is damaged: its items share too many bytes")
        if len(extents) == 1:
            cursor = Cursor(self._data, *extents[0], self._budget)
        else:
            joined = b"".join(self._data[start:stop] for start, stop in extents)
            cursor = Cursor(joined, 0, length, self._budget)
        configuration = self._configuration(number, codec)
        if codec == HEVC:
            self._check_hevc(number, cursor, configuration)
        else:
            self._check_av1(number, cursor, configuration)

    def _configuration(self, number: int, codec: bytes) -> Cursor:
        box = self._properties_of(number).get(_CONFIGURATION[codec])
        if box is None:
            raise DamagedImage("The image is damaged: it does not say how its pixels are coded")
        return Cursor(self._data, box.body, box.end, self._budget)

    def _check_hevc(self, number: int, cursor: Cursor, description: Cursor) -> None:
        configuration = hevc.read_configuration(description)
        contents = hevc.read_contents(cursor, configuration)
        width, height = size = self._size(number)
        if configuration.sizes - {size}:
            raise DamagedImage("The image is damaged: its coded pixels have another size")
        if contents.pictures != 1 or contents.slices * width * height > _MAX_SLICE_PIXELS:
            raise DamagedImage("The image is damaged: more is coded than one picture")

    def _check_av1(self, number: int, cursor: Cursor, description: Cursor) -> None:
        contents = av1.Contents()
        description.skip(4)
        av1.read_units(description, contents)
        av1.read_units(cursor, contents)
        width, height = size = self._size(number)
        if self._properties_of(number).keys() & _SIZE_OF_LAYERS:
            for coded in contents.sizes:
                check_size(*coded)
        elif contents.sizes - {size}:
            raise DamagedImage("The image is damaged: its coded pixels have another size")
        # Layers of a picture that grows sharper, which are held together.
        most = min(_MAX_LAYERS, MAX_CODED_PIXELS // (width * height))
        if not 1 <= contents.frames <= most:
            raise DamagedImage("The image is damaged: more is coded than one picture")


def _not_accepted(kind: bytes) -> UnsupportedFormat:
    if kind in _COMPOSED:
        return UnsupportedFormat(
            f"HEIF files whose picture is {_COMPOSED[kind]} are not accepted; "
            "export the picture as JPEG"
        )
    return UnsupportedFormat(
        "Only HEIF files coded with HEVC (HEIC) or AV1 (AVIF) are accepted; "
        "export the picture as JPEG"
    )


def placement(data: bytes, boxes: list[Box], size: tuple[int, int], budget: Budget) -> Placement:
    """From the boxes `clap`, `irot` and `imir`, in whatever order they are."""
    crop: Area | None = None
    turns, mirror = 0, -1
    for box in boxes:
        cursor = Cursor(data, box.body, box.end, budget)
        if box.kind == b"clap":
            if turns or mirror >= 0:
                raise UnsupportedFormat(
                    "HEIF files that are turned before they are cropped are not accepted; "
                    "export the picture as JPEG"
                )
            crop = clean_aperture(cursor, size)
        elif box.kind == b"irot":
            turned = cursor.number(1) & 3
            # Turning what is mirrored already is mirroring what is turned the other way.
            turns = (turns + (turned if mirror < 0 else -turned)) % 4
        else:  # `imir`
            mirror = cursor.number(1) & 1
    return Placement(crop, _ORIENTATIONS[turns, mirror])


def clean_aperture(cursor: Cursor, size: tuple[int, int]) -> Area | None:
    """The part of a picture that is to be shown; None for all of it."""
    edges: list[tuple[int, int]] = []
    numbers = [cursor.number(4) for _ in range(8)]
    if not all(numbers[1::2]):
        raise DamagedImage("The image is damaged: its crop makes no sense")
    for index, length in enumerate(size):
        shown = Fraction(numbers[2 * index], numbers[2 * index + 1])
        shift = Fraction(_signed(numbers[4 + 2 * index]), numbers[5 + 2 * index])
        start = round(Fraction(length - 1, 2) + shift - (shown - 1) / 2)
        edges.append((start, start + round(shown)))
    (left, right), (top, bottom) = edges
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise DamagedImage("The image is damaged: its crop lies outside of it")
    return None if (left, top, right, bottom) == (0, 0, *size) else (left, top, right, bottom)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number
