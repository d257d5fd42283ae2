"""What is blanked in a HEIF or AVIF file: everything that its pixels and their colours do not need.

Positions in these files are absolute, so nothing is cut out: boxes that must go become `free`,
items become `skip`, and bytes become zeros, where they lie.
"""

from __future__ import annotations

from collections.abc import Iterable

from image_api.imaging.headers.boxes import Box
from image_api.imaging.headers.heif_items import ASSOCIATIONS, PROPERTIES, Items, Reference
from image_api.imaging.headers.heif_movies import Movie, Track
from image_api.imaging.headers.heif_pictures import UNDERSTOOD, Picture
from image_api.imaging.headers.icc import clean_profile

# Brands that promise what is blanked, and what is left of the promise.
_STILL_BRANDS = {
    b"tmap": b"mif1", b"msf1": b"mif1", b"avis": b"avif",
    b"hevc": b"heic", b"hevx": b"heix", b"hevm": b"heim", b"hevs": b"heis",
}  # fmt: skip
_MOVING_BRANDS = {b"tmap": b"mif1"}

_META_TABLES = {b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp", b"iref", b"idat"}
_MOVIE_BOXES = {b"mvhd", b"trak"}
_TRACK_BOXES = {
    b"tkhd", b"edts", b"tref", b"mdia", b"mdhd", b"hdlr", b"minf", b"vmhd", b"dinf", b"stbl",
    b"stsd", b"stts", b"ctts", b"cslg", b"stsc", b"stsz", b"stco", b"co64", b"stss", b"sdtp",
    b"sbgp", b"sgpd",
}  # fmt: skip
_ENTRY_PROPERTIES = (UNDERSTOOD - {b"auxC"}) | {b"ccst", b"auxi", b"btrt"}
_REFERENCES = {b"dimg", b"auxl", b"prem"}
_PLAIN_NAMES = {b"Color", b"Alpha"}
"""What libavif calls the planes of any picture."""


def holds_profile(data: bytes, box: Box) -> bool:
    return box.kind == b"colr" and data[box.body : box.body + 4] in (b"prof", b"rICC")


def cleaned_profile(data: bytes, box: Box) -> bytes | None:
    """What takes the place of the profile in this box; None if it would not fit into it."""
    size_bytes = box.end - box.body - 4
    profile = clean_profile(data[box.body + 4 : box.end])
    return profile.ljust(size_bytes, b"\0") if len(profile) <= size_bytes else None


class Blanker:
    """Blanks parts of a copy of a file."""

    def __init__(self, data: bytes, end: int) -> None:
        self._data = data
        self.clean = bytearray(memoryview(data)[:end])

    def zero(self, start: int, stop: int) -> None:
        stop = min(stop, len(self.clean))
        if start < stop:
            self.clean[start:stop] = bytes(stop - start)

    def remove(self, box: Box) -> None:
        self.zero(box.body, box.end)
        self.rename(box, b"free")

    def rename(self, box: Box, kind: bytes) -> None:
        self.clean[box.start + 4 : box.start + 8] = kind

    def brands(self, box: Box, *, moves: bool) -> None:
        replaced = _MOVING_BRANDS if moves else _STILL_BRANDS
        for start in (box.body, *range(box.body + 8, box.end - 3, 4)):
            brand = self._data[start : start + 4]
            if brand in replaced:
                self.clean[start : start + 4] = replaced[brand]

    def top_level(self, boxes: Iterable[Box], kept: Iterable[bytes]) -> None:
        for box in boxes:
            if box.kind not in kept:
                self.remove(box)

    def media(self, boxes: Iterable[Box], wanted: list[tuple[int, int]]) -> None:
        """Of boxes that hold nothing but what items and tracks point to, what nobody wants.

        Each range of `wanted` lies in one of the boxes; they may overlap.
        """
        ranges = sorted(wanted, reverse=True)
        for box in sorted(boxes, key=lambda box: box.start):
            position = box.body
            while ranges and ranges[-1][0] < box.end:
                start, stop = ranges.pop()
                self.zero(position, start)
                position = max(position, stop)
            self.zero(position, box.end)

    def meta(self, items: Items, picture: Picture) -> None:
        self.top_level(items.boxes, _META_TABLES)
        for box in items.boxes:
            if box.kind == b"hdlr":
                # Its version, a reserved number, the handler's type, three more numbers; its name.
                self.zero(box.body + 12, box.end)
        for number, item in items.items.items():
            if number not in picture.items:
                # Its kind, its name and what else the list says of it.
                self.clean[item.kind_at : item.kind_at + 4] = b"skip"
                self.zero(item.kind_at + 4, item.entry_end)
            elif self._data[item.kind_at + 4 : item.entry_end].rstrip(b"\0") not in _PLAIN_NAMES:
                self.zero(item.kind_at + 4, item.entry_end)
        self._properties(items, picture)
        for reference in items.references:
            if not _is_wanted(reference, picture):
                self.rename(reference.box, b"skip")

    def _properties(self, items: Items, picture: Picture) -> None:
        used = {
            association.property_number
            for item in picture.items
            for association in items.associations.get(item, [])
        }
        for number, box in enumerate(items.properties, 1):
            if number not in used or box.kind not in UNDERSTOOD:
                self.remove(box)
            else:
                self._property(box)
        self._put_properties_first(items.property_boxes)

    def _put_properties_first(self, boxes: list[Box]) -> None:
        """Decoders of AVIF open no file where they lie among other boxes than their associations.

        Room that is left becomes one more property, which no item has.
        """
        kinds = [box.kind for box in boxes]
        properties = next((box for box in boxes if box.kind == PROPERTIES), None)
        if properties is None or kinds == [PROPERTIES, *[ASSOCIATIONS] * (len(boxes) - 1)]:
            return
        associations = [box for box in boxes if box.kind == ASSOCIATIONS]
        listed = self.clean[properties.body : properties.end]
        start, end = boxes[0].start, boxes[-1].end
        spare_bytes = end - start - sum(box.end - box.start for box in [properties, *associations])
        if spare_bytes:
            listed += spare_bytes.to_bytes(4, "big") + b"free" + bytes(spare_bytes - 8)
        header_bytes = properties.body - properties.start
        size = (header_bytes + len(listed)).to_bytes(header_bytes // 2, "big")
        header = b"\0\0\0\1" + PROPERTIES + size if header_bytes > 8 else size + PROPERTIES
        self.clean[start:end] = b"".join(
            [header, listed, *(self.clean[box.start : box.end] for box in associations)]
        )

    def _property(self, box: Box) -> None:
        if box.kind == b"auxC":
            name_end = self._data.find(b"\0", box.body + 4, box.end)
            self.zero(name_end if name_end >= 0 else box.end, box.end)
        elif holds_profile(self._data, box):
            profile = cleaned_profile(self._data, box)
            if profile is not None:
                self.clean[box.body + 4 : box.end] = profile

    def movie(self, movie: Movie) -> None:
        self.top_level(movie.boxes, _MOVIE_BOXES)
        shown = {track.box for track in movie.tracks}
        for box in movie.boxes:
            if box.kind == b"trak" and box not in shown:
                self.remove(box)
            elif box.kind == b"mvhd":
                self._times(box)
        for track in movie.tracks:
            self._track(track)

    def _track(self, track: Track) -> None:
        for box in track.boxes:
            if box.kind not in _TRACK_BOXES:
                self.remove(box)
            elif box.kind in (b"tkhd", b"mdhd"):
                self._times(box)
            elif box.kind == b"hdlr":
                self.zero(box.body + 12, box.end)
        for reference in track.references:
            if reference.kind not in _REFERENCES:
                self.remove(reference)
        for source in track.sources:
            # Its version and flags stay: they say that it is this file, and then there is no
            # address.
            self.zero(source.body + 4, source.end)
        assert track.entry is not None
        # Numbers that writers of other files than AVIF set, and the name of the encoder.
        self.zero(track.entry.body + 8, track.entry.body + 24)
        self.zero(track.entry.body + 42, track.entry.body + 74)
        for box in track.properties:
            if box.kind not in _ENTRY_PROPERTIES:
                self.remove(box)
            else:
                self._property(box)

    def _times(self, box: Box) -> None:
        size_bytes = 8 if self._data[box.body] else 4
        self.zero(box.body + 4, min(box.body + 4 + 2 * size_bytes, box.end))


def _is_wanted(reference: Reference, picture: Picture) -> bool:
    return (
        reference.box.kind in _REFERENCES
        and reference.source in picture.items
        and not picture.items.isdisjoint(reference.targets)
    )
