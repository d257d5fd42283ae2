"""The costliest files of each format, for a reader of headers or for a decoder, of a given size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

from PIL import Image

from tests import samples

_MEGAPIXELS_50 = (7_072, 7_069)


def filled(data: bytes, size_bytes: int, at: int, unit: bytes, most: int | None = None) -> bytes:
    """The file with as many units at a place as there is room for."""
    count = (size_bytes - len(data)) // len(unit)
    return data[:at] + unit * min(count, most or count) + data[at:]


def jpeg_of_markers(size_bytes: int) -> bytes:
    return filled(samples.jpeg(), size_bytes, -2, b"\xff\0")


def jpeg_of_as_many_markers_as_allowed(size_bytes: int) -> bytes:
    most = filled(samples.jpeg(), size_bytes, -2, b"\xff\0", 1_900_000)
    return filled(most, size_bytes, -2, b"\x55")


def jpeg_of_segments(size_bytes: int) -> bytes:
    exif = b"Exif\0\0II*\0\x08\0\0\0" + (5_000).to_bytes(2, "little") + bytes(12 * 5_000)
    return filled(samples.jpeg(), size_bytes, 2, samples.jpeg_segment(0xE1, exif), 60_000)


def jpeg_of_empty_segments(size_bytes: int) -> bytes:
    return filled(samples.jpeg(), size_bytes, 2, samples.jpeg_segment(0xE5, b""), 65_500)


def jpeg_of_scans(size_bytes: int) -> bytes:
    """50 megapixels, gone over a hundred times by scans that hold nothing."""
    output = BytesIO()
    Image.new("RGB", _MEGAPIXELS_50).save(output, "JPEG", progressive=True)
    data = output.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return filled(data, size_bytes, -2, scan, 100 - data.count(b"\xff\xda"))


def jpeg_whose_scan_goes_on(size_bytes: int) -> bytes:
    """50 megapixels, and data for more rows."""
    output = BytesIO()
    Image.effect_noise((2_048, 2_048), 90).resize(_MEGAPIXELS_50).save(output, "JPEG", quality=30)
    data = output.getvalue()[:size_bytes]
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + (5_000).to_bytes(2, "big") + data[at + 2 :]


def png_of_chunks(size_bytes: int) -> bytes:
    return filled(samples.png(), size_bytes, 33, samples.png_chunk(b"tEXt", b""), 99_000)


def png_of_profiles(size_bytes: int) -> bytes:
    profile = samples.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(4 << 20), 9))
    return filled(samples.png(), size_bytes, 33, profile)


def png_of_orientations(size_bytes: int) -> bytes:
    exif = b"II*\0\x08\0\0\0" + (65_535).to_bytes(2, "little") + bytes(12 * 65_535)
    return filled(samples.png(), size_bytes, 33, samples.png_chunk(b"eXIf", exif))


def png_of_50_megapixels(size_bytes: int) -> bytes:
    """Sixteen bits of four samples, of which every row is predicted by its neighbours."""
    width, height = _MEGAPIXELS_50
    header = struct.pack(">2I5B", width, height, 16, 6, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = b"\4" + bytes(8 * width)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return samples.png_of_chunks((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))


def moving(content_type: str) -> Callable[[int], bytes]:
    def make(size_bytes: int) -> bytes:
        """A hundred and one frames of four megapixels, all but the first the same."""
        first = Image.new("RGB", (2_048, 2_048))
        second = first.copy()
        second.paste((200, 9, 90), (0, 0, 1_024, 2_048))
        data = samples.animation(content_type, [first, second], duration=50)
        if content_type == "image/gif":
            start = data.rindex(b"!\xf9\x04")
            return data[:start] + data[start:-1] * 100 + b";"
        start = data.rindex(b"ANMF")
        body = data[8:start] + data[start:] * 100
        return b"RIFF" + len(body).to_bytes(4, "little") + body

    return make


def moving_png(size_bytes: int) -> bytes:
    """A hundred frames of four megapixels."""
    side, count = 2_048, 100
    rows = zlib.compress((b"\0" + bytes(3 * side)) * side, 1)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)),
        (b"acTL", struct.pack(">2I", count, 0)),
    ]
    for frame in range(count):
        number = max(0, 2 * frame - 1)
        control = struct.pack(">5I2H2B", number, side, side, 0, 0, 1, 10, 0, 0)
        chunks.append((b"fcTL", control))
        if frame == 0:
            chunks.append((b"IDAT", rows))
        else:
            chunks.append((b"fdAT", (number + 1).to_bytes(4, "big") + rows))
    return samples.png_of_chunks(*chunks, (b"IEND", b""))


def gif_of_comments(size_bytes: int) -> bytes:
    return filled(samples.gif(), size_bytes, -1, b"!\xfe\0")


def gif_of_as_many_comments_as_allowed(size_bytes: int) -> bytes:
    return filled(samples.gif(), size_bytes, -1, b"!\xfe\xff" + bytes(255) + b"\0", 49_000)


def gif_of_small_pieces(size_bytes: int) -> bytes:
    pieces = b"\1x" * (min(size_bytes // 2, 2_000_000) - 1_000)
    return samples.gif()[:-1] + b"!\xfe" + pieces + b"\0;"


def webp_of(kind: bytes, most: int | None = None) -> Callable[[int], bytes]:
    def make(size_bytes: int) -> bytes:
        plain = samples.webp(exif=samples.exif())
        data = filled(plain, size_bytes, len(plain), samples.webp_chunk(kind, b""), most)
        return b"RIFF" + (len(data) - 8).to_bytes(4, "little") + data[8:]

    return make


def tiff_of_entries(size_bytes: int) -> bytes:
    """A directory of tags that all say how large the picture is."""
    entry = struct.pack("<2HII", 258, 3, 190_000, 8)
    count = min(65_000, (size_bytes - 400_000) // 12)
    return (
        b"II*\0"
        + struct.pack("<I", 400_000)
        + bytes(399_992)
        + struct.pack("<H", count)
        + (entry * count)
    )


def tiff_of_strips(size_bytes: int) -> bytes:
    count = min(262_144, size_bytes // 8 - 200)
    tags = {**samples.TIFF_TAGS, 257: count, 278: 1, 273: (8,) * count, 279: (48,) * count}
    return samples.tiff_of_tags(tags, bytes(48))


def tiff_of_small_tiles(size_bytes: int) -> bytes:
    width, height = 7_072, 7_056
    count = (width // 16) * (height // 16)
    size = 16 * 16 * 3
    tags: dict[int, int | tuple[int, ...]] = {
        256: width, 257: height, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3, 284: 1, 322: 16, 323: 16,
        324: (8,) * count, 325: (size,) * count,
    }  # fmt: skip
    return samples.tiff_of_tags(tags, bytes(size), pieces=False)


def tiff_of_50_megapixels(size_bytes: int) -> bytes:
    """Sixteen bits of four samples in one strip."""
    width, height = _MEGAPIXELS_50
    packer = zlib.compressobj(6)
    row = bytes(8 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    tags: dict[int, int | tuple[int, ...]] = {
        256: width, 257: height, 258: (16,) * 4, 259: 8, 262: 2, 277: 4, 278: height, 284: 1,
        317: 2, 338: 2,
    }  # fmt: skip
    return samples.tiff_of_tags(tags, pixels)


def bmp_of_runs(size_bytes: int) -> bytes:
    """50 megapixels in runs of one."""
    width, height = _MEGAPIXELS_50
    runs = b"\1\7" * ((size_bytes - 2_000) // 2) + b"\0\1"
    palette = bytes(range(256)) * 4
    start = 14 + 40 + len(palette)
    info = struct.pack("<3i2H6I", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<I2HI", start + len(runs), 0, 0, start) + info + palette + runs


def bmp_of_masks(size_bytes: int) -> bytes:
    side = int(((size_bytes - 100) / 4) ** 0.5)
    masks = (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)
    info = struct.pack("<3i2H6I4I", 56, side, side, 1, 32, 3, 0, 0, 0, 0, 0, *masks)
    return b"BM" + struct.pack("<I2HI", 0, 0, 0, 70) + info + bytes(4 * side * side)


WORST: dict[str, Callable[[int], bytes]] = {
    "JPEG of markers": jpeg_of_markers,
    "JPEG of as many markers as allowed": jpeg_of_as_many_markers_as_allowed,
    "JPEG of EXIF": jpeg_of_segments,
    "JPEG of empty segments": jpeg_of_empty_segments,
    "JPEG of scans": jpeg_of_scans,
    "JPEG whose scan goes on": jpeg_whose_scan_goes_on,
    "PNG of chunks": png_of_chunks,
    "PNG of profiles": png_of_profiles,
    "PNG of EXIF": png_of_orientations,
    "PNG of 50 megapixels": png_of_50_megapixels,
    "PNG that moves": moving_png,
    "GIF of comments": gif_of_comments,
    "GIF of as many comments as allowed": gif_of_as_many_comments_as_allowed,
    "GIF of small pieces": gif_of_small_pieces,
    "GIF that moves": moving("image/gif"),
    "WebP of chunks": webp_of(b"junk"),
    "WebP of as many chunks as allowed": webp_of(b"junk", 49_000),
    "WebP of transparency": webp_of(b"ALPH"),
    "WebP that moves": moving("image/webp"),
    "TIFF of tags": tiff_of_entries,
    "TIFF of strips": tiff_of_strips,
    "TIFF of small tiles": tiff_of_small_tiles,
    "TIFF of 50 megapixels": tiff_of_50_megapixels,
    "BMP of runs": bmp_of_runs,
    "BMP of masks": bmp_of_masks,
}
SAME_AT_ANY_SIZE = {
    "JPEG of scans", "PNG of 50 megapixels", "PNG that moves", "GIF that moves", "WebP that moves",
    "TIFF of 50 megapixels", "TIFF of small tiles",
}  # fmt: skip
