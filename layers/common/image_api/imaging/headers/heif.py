"""HEIF, and AVIF with it (ISO/IEC 23008-12): boxes that list items and where their bytes are.

`boxes` bounds what reading costs; `heif_items` reads the tables, `heif_pictures` says what a
picture is made of and refuses what would cost too much, `heif_movies` does so for sequences, and
`heif_cleaning` blanks what else is in the file.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from image_api.errors import DamagedImage, TooManyPixels, UnsupportedFormat
from image_api.imaging.headers.boxes import Box, Budget, Cursor, boxes_in
from image_api.imaging.headers.exif import taken_at
from image_api.imaging.headers.heif_cleaning import Blanker, cleaned_profile, holds_profile
from image_api.imaging.headers.heif_items import Items, read_items
from image_api.imaging.headers.heif_movies import Movie, read_movie
from image_api.imaging.headers.heif_pictures import (
    AV1,
    TRANSFORMATIONS,
    Picture,
    Placement,
    clean_aperture,
    placement,
    primary_picture,
)
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import (
    AVIF,
    HEIC,
    HEIF,
    MAX_AVIF_SIDE_PIXELS,
    Format,
    StoredPicture,
    check_rendered_size,
)

BRANDS = {
    b"avif", b"avis", b"mif1", b"msf1", b"miaf", b"heic", b"heix", b"heim", b"heis", b"hevc",
    b"hevx", b"hevm", b"hevs",
}  # fmt: skip
_EXIF = b"Exif"
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}


@dataclass(frozen=True, slots=True)
class _Structure:
    boxes: list[Box]
    end: int
    """Whatever follows is not part of the file."""
    meta: Box
    items: Items
    picture: Picture
    movie: Movie | None
    """Of an AVIF that moves; of any other file, its movie is nobody's."""

    def all(self, kind: bytes) -> list[Box]:
        return [box for box in self.boxes if box.kind == kind]


def header(data: bytes) -> StoredPicture:
    budget = Budget()
    structure = _structure(data, budget)
    boxes = [
        box
        for box in structure.items.properties_of(structure.items.primary)
        if box.kind in TRANSFORMATIONS
    ]
    if structure.picture.codec != AV1:
        width, height = _shown_size(data, boxes, structure.picture.size, budget)
        taken = _taken_at(data, structure.items)
        return StoredPicture(_heif_format(data), width, height, taken_at=taken)
    size, frames = structure.picture.size, 1
    if structure.movie:
        track = structure.movie.tracks[0]
        size, frames = track.size, structure.movie.frames
        boxes = [box for box in track.properties if box.kind in TRANSFORMATIONS]
    if max(size) > MAX_AVIF_SIDE_PIXELS:
        raise TooManyPixels(
            f"The image has {size[0]}x{size[1]} pixels; an AVIF may be at most "
            f"{MAX_AVIF_SIDE_PIXELS:,} pixels wide and high"
        )
    shown = placement(data, boxes, size, budget)
    left, top, right, bottom = shown.crop or (0, 0, *size)
    web_safe = shown == Placement(None, 1) and _profiles_can_be_cleaned(data, structure)
    if not web_safe:
        check_rendered_size(right - left, bottom - top, frames, AVIF.content_type)
    return StoredPicture(
        AVIF,
        right - left,
        bottom - top,
        shown.orientation,
        crop=shown.crop,
        frames=frames,
        web_safe=web_safe,
        taken_at=_taken_at(data, structure.items),
    )


def clean_parts(data: bytes) -> list[Part]:
    structure = _structure(data, Budget())
    items, picture, movie = structure.items, structure.picture, structure.movie
    blanker = Blanker(data, structure.end)
    kept = {b"ftyp", b"meta", b"mdat"} | ({b"moov"} if movie else set())
    blanker.top_level(structure.boxes, kept)
    for box in structure.all(b"ftyp"):
        blanker.brands(box, moves=movie is not None)
    wanted = [extent for item in picture.items for extent in items.places[item].extents]
    if movie:
        wanted += [sample for track in movie.tracks for sample in track.samples]
        blanker.movie(movie)
    inline = [box for box in items.boxes if box.kind == b"idat"]
    blanker.media([*structure.all(b"mdat"), *inline], wanted)
    blanker.meta(items, picture)
    return [blanker.clean]


def _structure(data: bytes, budget: Budget) -> _Structure:
    boxes, end = _top_level(data, budget)
    found = {kind: [box for box in boxes if box.kind == kind] for kind in (b"meta", b"moov")}
    if any(len(of_a_kind) > 1 for of_a_kind in found.values()):
        raise DamagedImage("The image is damaged: it has two lists of what is in it")
    items = read_items(data, found[b"meta"][0], budget) if found[b"meta"] else Items()
    if items.primary not in items.items:
        raise UnsupportedFormat(
            "HEIF files without a still picture are not accepted; export the picture as JPEG"
        )
    picture = primary_picture(data, items, end, budget)
    movie = None
    # As decoders of AVIF choose: by the first brand, and else the movie where there is one.
    if found[b"moov"] and picture.codec == AV1 and data[8:12] != b"avif":
        movie = read_movie(data, found[b"moov"][0], end, budget)
    _check_places(boxes, items, picture, movie)
    return _Structure(boxes, end, found[b"meta"][0], items, picture, movie)


def _profiles_can_be_cleaned(data: bytes, structure: _Structure) -> bool:
    """Where they lie; in a file that is encoded anew there are none."""
    properties = list(structure.items.properties_of(structure.items.primary))
    if structure.movie:
        properties += structure.movie.tracks[0].properties
    return all(
        cleaned_profile(data, box) is not None for box in properties if holds_profile(data, box)
    )


def _check_places(boxes: list[Box], items: Items, picture: Picture, movie: Movie | None) -> None:
    """Pixels lie where nothing else does, so that blanking and keeping never meet."""
    media = sorted(
        (box.body, box.end) for box in [*boxes, *items.boxes] if box.kind in (b"mdat", b"idat")
    )
    places = [extent for item in picture.items for extent in items.places[item].extents]
    if movie:
        places += [sample for track in movie.tracks for sample in track.samples]
    starts = [start for start, _ in media]
    for start, stop in places:
        index = bisect_right(starts, start) - 1
        if index < 0 or stop > media[index][1]:
            raise DamagedImage("The image is damaged: its pixels lie outside of where they may")


def _top_level(data: bytes, budget: Budget) -> tuple[list[Box], int]:
    """The boxes, and where they end."""
    boxes: list[Box] = []
    end = 0
    try:
        for box in boxes_in(data, 0, len(data), budget):
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


def _heif_format(data: bytes) -> Format:
    return HEIC if data[8:12] in _HEIC_BRANDS else HEIF


def _taken_at(data: bytes, items: Items) -> str | None:
    """Of the EXIF that describes the primary picture, where that lies in one piece."""
    for number, item in items.items.items():
        place = items.places.get(number)
        if (
            item.kind == _EXIF
            and items.primary in items.referred(b"cdsc", number)
            and place is not None
            and not place.is_elsewhere
            and len(place.extents) == 1
        ):
            start, end = place.extents[0]
            block = memoryview(data)[start:end]
            # Before it stands how much lies before the block itself.
            skipped = 4 + int.from_bytes(block[:4], "big")
            return taken_at(block[skipped:])
    return None


def _shown_size(
    data: bytes, boxes: list[Box], size: tuple[int, int], budget: Budget
) -> tuple[int, int]:
    """What libheif makes of a picture: it crops and turns while it decodes."""
    for box in boxes:
        cursor = Cursor(data, box.body, box.end, budget)
        if box.kind == b"clap":
            left, top, right, bottom = clean_aperture(cursor, size) or (0, 0, *size)
            size = right - left, bottom - top
        elif box.kind == b"irot" and cursor.number(1) % 2:
            size = size[1], size[0]
    return size
