"""Which format bytes are in, whatever their name says, and what their header tells."""

from __future__ import annotations

from typing import Protocol

from image_api.errors import DamagedImage, EmptyFile, NotAnImage, UnsupportedFormat
from image_api.imaging.headers import bmp, gif, heif, jpeg, png, tiff, webp
from image_api.imaging.headers.ranges import Part
from image_api.imaging.model import Header, StoredPicture

ACCEPTED = "JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP or HEIC"

_VIDEO = "an MP4 or QuickTime video"
# (where, what, its name): what people take for pictures, so that the refusal can say which.
_OTHER_FORMATS = (
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\0\0\2\0", "a cursor (CUR)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"II\xbc", "a JPEG XR image"),
    (0, b"qoif", "a QOI image"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"gimp xcf", "a GIMP image"),
    (0, b"\x8aMNG", "an MNG animation"),
    (0, b"\x8bJNG", "a JNG image"),
    (0, b"BPG\xfb", "a BPG image"),
    (0, b"FLIF", "a FLIF image"),
    (0, b"farbfeld", "a farbfeld image"),
    (0, b"AT&TFORM", "a DjVu document"),
    (0, b"\x01\xda", "an SGI image"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (0, b"IIRO", "a camera raw file"),
    (0, b"IIRS", "a camera raw file"),
    (0, b"IIU\0", "a camera raw file"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file"),
    (4, b"ftypcrx ", "a camera raw file"),
    (4, b"ftypavci", "a HEIF image coded with H.264"),
    (4, b"ftypj2ki", "a HEIF image coded with JPEG 2000"),
    (0, b"%PDF-", "a PDF document"),
    (4, b"moov", _VIDEO),
    (4, b"wide", _VIDEO),
    (4, b"mdat", _VIDEO),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (8, b"AVI LIST", "an AVI video"),
    *(
        (0, b"P%d%c" % (kind, space), "a PNM image")
        for kind in range(1, 8)
        for space in b" \n\r\t#"
    ),
)


_VIDEO_BRANDS = {
    b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ",
    b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"dash",
}  # fmt: skip


class _Reader(Protocol):
    """The module of one format."""

    def header(self, data: bytes) -> StoredPicture:
        """Raises DamagedImage, UnsupportedFormat and TooManyPixels."""

    def clean_parts(self, data: bytes) -> list[Part]:
        """What stays of a file that `header` accepts, in order."""


_SIGNATURES: tuple[tuple[_Reader, tuple[bytes, ...]], ...] = (
    (jpeg, (b"\xff\xd8",)),
    (png, (png.SIGNATURE,)),
    (gif, (b"GIF87a", b"GIF89a")),
    (tiff, tiff.SIGNATURES),
    (bmp, (b"BM",)),
)


def identify(data: bytes) -> Header:
    """Read the header; no pixel is decoded.

    Raises EmptyFile, NotAnImage, UnsupportedFormat, DamagedImage (a broken header, or a file that
    is plainly cut off) and TooManyPixels.
    """
    stored = header(data)
    kind = stored.format
    return Header(
        kind.content_type, kind.extension, *stored.upright_size, stored.frames, stored.taken_at
    )


def header(data: bytes) -> StoredPicture:
    """What a decoder has to know; raises as `identify` does."""
    return _reader(data).header(data)


def clean(data: bytes) -> bytes:
    """The file without location, camera data, comments, embedded thumbnails and trailers.

    Of a file that `header` accepts; the same object where there is nothing to remove.
    """
    cleaned = b"".join(_reader(data).clean_parts(data))
    return data if cleaned == data else cleaned


def _reader(data: bytes) -> _Reader:
    if not data:
        raise EmptyFile("The file is empty")
    for reader, signatures in _SIGNATURES:
        if data.startswith(signatures):
            return reader
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return webp
    if data[4:8] == b"ftyp" and _brands(data) & heif.BRANDS:
        return heif
    raise _refusal(data)


def _brands(data: bytes) -> set[bytes]:
    end = min(int.from_bytes(data[:4], "big"), 4096)
    return {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}


def _refusal(data: bytes) -> UnsupportedFormat | NotAnImage | DamagedImage:
    for position, magic, name in _OTHER_FORMATS:
        if data.startswith(magic, position):
            return UnsupportedFormat(f"The file is {name}; only {ACCEPTED} is accepted")
    if data[4:8] == b"ftyp" and _brands(data) & _VIDEO_BRANDS:
        return UnsupportedFormat(f"The file is {_VIDEO}; only {ACCEPTED} is accepted")
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<") and b"<svg" in start.lower():
        return UnsupportedFormat(f"The file is an SVG drawing; only {ACCEPTED} is accepted")
    if any(magic.startswith(data) for magic in (png.SIGNATURE, b"GIF89a", b"GIF87a")):
        return DamagedImage("The file is cut off: only the first bytes of an image are there")
    return NotAnImage(f"The file is not an image; {ACCEPTED} is expected")
