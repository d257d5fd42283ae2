"""A file format's outer structure: where the picture is, and what lies around it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from image_api.imaging.model import Header


class Format(NamedTuple):
    name: str
    content_type: str
    extension: str


JPEG = Format("JPEG", "image/jpeg", "jpg")
PNG = Format("PNG", "image/png", "png")
GIF = Format("GIF", "image/gif", "gif")
WEBP = Format("WebP", "image/webp", "webp")
AVIF = Format("AVIF", "image/avif", "avif")
TIFF = Format("TIFF", "image/tiff", "tiff")
BMP = Format("BMP", "image/bmp", "bmp")
HEIC = Format("HEIC", "image/heic", "heic")
HEIF = Format("HEIF", "image/heif", "heif")


@dataclass(frozen=True, slots=True)
class Container:
    """One inspected file.

    `width` and `height` are those of the stored pixels; `orientation` is how to turn them
    upright, as in EXIF (1 to 8). `web_safe` says that browsers show the stored pixels as they
    should be seen. `parts` is the file without its metadata, None where there is none to remove.
    """

    format: Format
    original: bytes
    width: int
    height: int
    orientation: int = 1
    frames: int = 1
    web_safe: bool = False
    parts: tuple[bytes | bytearray | memoryview, ...] | None = None
    inks_are_inverted: bool = True
    """Of a CMYK JPEG: Adobe's marker says so; without it they are not."""

    @property
    def upright_size(self) -> tuple[int, int]:
        if self.orientation >= 5:
            return self.height, self.width
        return self.width, self.height

    def header(self) -> Header:
        width, height = self.upright_size
        return Header(self.format.content_type, self.format.extension, width, height)

    def clean(self) -> bytes:
        """The file without location, camera data, comments, embedded thumbnails and trailers."""
        return self.original if self.parts is None else b"".join(self.parts)


@dataclass(slots=True)
class Kept:
    """Collects the ranges of `data` that stay, in order, joining neighbours."""

    data: bytes
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def keep(self, start: int, end: int) -> None:
        if self.ranges and self.ranges[-1][1] == start:
            start = self.ranges.pop()[0]
        self.ranges.append((start, end))

    @property
    def is_everything(self) -> bool:
        return self.ranges == [(0, len(self.data))]

    def parts(self) -> tuple[memoryview, ...]:
        view = memoryview(self.data)
        return tuple(view[start:end] for start, end in self.ranges)


_ORIENTATION = 0x0112


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block (a TIFF header, perhaps after `Exif\\0\\0`).

    1, which is upright, where there is none or the block cannot be read: browsers do the same.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, values, value = struct.unpack_from(order + "HHIH", exif, entry)
            if tag == _ORIENTATION:
                return value if (kind, values) == (3, 1) and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
