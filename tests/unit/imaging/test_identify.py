"""What the header says: format, upright size, and what is refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Literal

import pytest
from PIL import TiffImagePlugin

from image_api.errors import DamagedImage, EmptyFile, NotAnImage, TooManyPixels, UnsupportedFormat
from image_api.imaging import MAX_PIXELS
from image_api.imaging.headers import tiff
from image_api.imaging.headers.formats import identify
from tests import samples


@pytest.mark.parametrize("content_type", samples.MAKERS)
def test_every_accepted_format_is_recognised_by_its_bytes(content_type: str) -> None:
    header = identify(samples.MAKERS[content_type](samples.photo(101, 67)))

    assert header.content_type == content_type
    assert header.extension == samples.EXTENSIONS[content_type]
    assert (header.width, header.height) == (101, 67)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("content_type", samples.WITH_EXIF)
def test_the_size_is_that_of_the_upright_picture(content_type: str, orientation: int) -> None:
    stored = samples.stored_for(samples.photo(96, 64), orientation)

    header = identify(samples.MAKERS[content_type](stored, exif=samples.exif(orientation)))

    assert (header.width, header.height) == (96, 64)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (samples.jpeg, {"progressive": True}),
        (samples.webp, {"lossless": True}),
        (samples.tiff, {"big_tiff": True}),
        (samples.tiff, {"compression": "tiff_lzw"}),
        (samples.tiff, {"compression": "tiff_jpeg"}),
    ],
)
def test_variants_of_a_format_are_recognised(make, options) -> None:  # type: ignore[no-untyped-def]
    header = identify(make(samples.photo(96, 64), **options))

    assert (header.width, header.height) == (96, 64)


def test_a_heif_file_of_general_brand_is_heif() -> None:
    heif = samples.heic().replace(b"ftypheic", b"ftypmif1", 1)

    assert identify(heif).content_type == "image/heif"


def test_a_phones_multi_picture_jpeg_is_its_first_picture() -> None:
    header = identify(samples.multi_picture_jpeg())

    assert (header.content_type, header.width, header.height) == ("image/jpeg", 96, 64)


def test_a_gif_is_as_large_as_its_first_frame_makes_it() -> None:
    data = bytearray(samples.gif(samples.photo(96, 64)))
    data[6:10] = b"\x01\0\x01\0"

    assert identify(bytes(data)).width == 96


def test_a_bmp_whose_rows_go_down_has_a_positive_height() -> None:
    data = bytearray(samples.bmp())
    data[22:26] = (-64).to_bytes(4, "little", signed=True)

    assert identify(bytes(data)).height == 64


def test_an_empty_file_is_refused_as_empty() -> None:
    with pytest.raises(EmptyFile):
        identify(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"Hello, world",
        b"PK\x03\x04" + bytes(100),
        b"<!DOCTYPE html><html><body><p>no picture</p></body></html>",
        b"BMW is a maker of cars, not of pictures at all",
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        b"\x7fELF" + bytes(100),
        b"\0" * 100,
        b"x",
    ],
    ids=["text", "zip", "html", "text like bmp", "wav", "program", "zeros", "byte"],
)
def test_what_is_not_an_image_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        identify(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\0\0\1\0\1\0" + bytes(100), "an icon"),
        (b"8BPS\0\1" + bytes(100), "a Photoshop"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (samples.box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + bytes(100), "an MP4"),
        (samples.box(b"ftyp", b"qt  \0\0\2\0qt  ") + bytes(100), "QuickTime"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100), "JPEG 2000"),
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (b"P6\n4 4\n255\n" + bytes(48), "PNM"),
        (b"qoif" + bytes(100), "QOI"),
        (b"II\x2a\0\x10\0\0\0CR\2\0" + bytes(100), "raw"),
    ],
)
def test_an_image_of_another_format_is_refused_by_its_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        identify(data)

    assert name in refused.value.detail


def test_a_raw_file_that_begins_with_a_small_preview_is_refused() -> None:
    with pytest.raises(UnsupportedFormat):
        identify(samples.tiff(tiffinfo={50706: (1, 4, 0, 0)}))


def test_a_twelve_bit_jpeg_is_refused_as_unsupported() -> None:
    data = bytearray(samples.jpeg())
    data[data.index(b"\xff\xc0") + 4] = 12

    with pytest.raises(UnsupportedFormat):
        identify(bytes(data))


@pytest.mark.parametrize("content_type", [kind for kind in samples.MAKERS if kind != "image/jpeg"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_a_file_that_is_cut_off_is_refused_as_damaged(content_type: str, part: float) -> None:
    data = samples.MAKERS[content_type]()

    with pytest.raises(DamagedImage):
        identify(data[: int(len(data) * part)])


@pytest.mark.parametrize("length", [2, 100, 400])
def test_a_jpeg_that_is_cut_off_before_its_pixels_is_refused_as_damaged(length: int) -> None:
    with pytest.raises(DamagedImage, match="cut off"):
        identify(samples.jpeg()[:length])


def test_a_progressive_jpeg_that_lacks_scans_is_refused_as_damaged() -> None:
    data = samples.jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")

    with pytest.raises(DamagedImage, match="scans are missing"):
        identify(data[:last] + data[-2:])


def test_an_end_marker_inside_an_embedded_thumbnail_is_not_the_end() -> None:
    data = samples.with_jpeg_segment(samples.jpeg(), 0xE1, b"Exif\0\0" + samples.jpeg())

    assert identify(data).width == 96
    with pytest.raises(DamagedImage):
        identify(data[: len(data) // 2])


def test_a_png_without_its_last_chunk_is_refused_as_damaged() -> None:
    with pytest.raises(DamagedImage):
        identify(samples.png()[:-12])


def test_a_png_with_a_wrong_checksum_is_refused_as_damaged() -> None:
    data = bytearray(samples.png())
    data[len(data) // 2] ^= 1

    with pytest.raises(DamagedImage):
        identify(bytes(data))


def test_a_picture_without_area_is_refused_as_damaged() -> None:
    with pytest.raises(DamagedImage):
        identify(samples.png_bomb(0, 5))


@pytest.mark.parametrize(
    "data",
    [samples.png_bomb(), samples.gif_bomb(), samples.png_bomb(MAX_PIXELS + 1, 1)],
    ids=["png", "gif", "one pixel too many"],
)
def test_a_header_that_claims_too_many_pixels_is_refused(data: bytes) -> None:
    with pytest.raises(TooManyPixels) as refused:
        identify(data)

    assert "50 megapixels" in refused.value.detail


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/webp", "image/bmp", "image/tiff"])
def test_every_format_has_its_pixels_counted_before_they_are_decoded(content_type: str) -> None:
    data = bytearray(samples.MAKERS[content_type](samples.photo(96, 64)))
    where, size_bytes, order = {
        "image/jpeg": (data.find(b"\xff\xc0") + 5, 2, "big"),
        "image/webp": (26, 2, "little"),
        "image/bmp": (18, 4, "little"),
        "image/tiff": (0, 4, "little"),
    }[content_type]
    if content_type == "image/tiff":
        # The first two entries of the directory are the width and the height.
        directory = int.from_bytes(data[4:8], "little")
        for entry in (directory + 2, directory + 14):
            data[entry : entry + 12] = data[entry : entry + 8] + (16_000).to_bytes(4, "little")
    else:
        side = (16_000).to_bytes(size_bytes, "big" if order == "big" else "little")
        data[where : where + 2 * size_bytes] = side * 2

    with pytest.raises(TooManyPixels):
        identify(bytes(data))


def test_the_largest_accepted_picture_is_accepted() -> None:
    header = identify(samples.png_bomb(MAX_PIXELS // 5_000, 5_000))

    assert header.width * header.height == MAX_PIXELS


def test_an_animation_counts_the_pixels_of_all_its_frames() -> None:
    assert identify(samples.gif_bomb(4_000, 4_000, count=31)).width == 4_000
    with pytest.raises(TooManyPixels, match="over all frames"):
        identify(samples.gif_bomb(4_000, 4_000, count=32))


def test_a_picture_that_moves_may_not_be_as_large_as_a_still_one() -> None:
    assert identify(samples.gif_bomb(5_000, 5_000, count=1)).width == 5_000
    with pytest.raises(TooManyPixels, match="one that moves"):
        identify(samples.gif_bomb(5_000, 5_000, count=2))


def test_an_animation_may_not_have_endless_frames() -> None:
    with pytest.raises(TooManyPixels, match="5001 frames"):
        identify(samples.gif_bomb(1, 1, count=5_001))


def test_a_jpeg_with_hundreds_of_scans_is_refused() -> None:
    data = samples.jpeg(progressive=True)
    start = data.index(b"\xff\xda")
    empty_scan = b"\xff\xda\0\x08\1\1\0\1\5\0"

    with pytest.raises(DamagedImage):
        identify(data[:start] + empty_scan * 500 + data[start:])


def test_items_that_claim_billions_of_pieces_are_refused_at_once() -> None:
    data = samples.avif()
    entry = (1).to_bytes(2, "big") + bytes(2) + (65_535).to_bytes(2, "big")
    endless = samples.box(b"iloc", bytes(6) + (1_000).to_bytes(2, "big") + entry * 1_000)
    meta = data.index(b"meta") - 4
    inner = data[meta + 12 : meta + int.from_bytes(data[meta : meta + 4], "big")]
    kept = inner.replace(b"iloc", b"skip", 1)

    with pytest.raises(DamagedImage):
        identify(data[:meta] + samples.box(b"meta", bytes(4) + kept + endless))


FILLER = b"\x55" * (8 << 20)


def with_sub_blocks(data: bytes) -> bytes:
    """A comment of 8 MB, in the pieces of 255 bytes that GIF has."""
    comment = b"!\xfe" + (b"\xff" + FILLER[:255]) * (len(FILLER) // 256) + b"\0"
    return data[:-1] + comment + data[-1:]


LARGE: dict[str, Callable[[bytes], bytes]] = {
    "image/jpeg": lambda data: data[:-2] + FILLER + data[-2:],
    "image/png": lambda data: samples.with_png_chunk(data, b"eXIf", FILLER),
    "image/gif": with_sub_blocks,
    "image/webp": lambda data: samples.with_webp_chunk(data, b"EXIF", FILLER),
    "image/avif": lambda data: data + samples.box(b"mdat", FILLER),
    "image/heic": lambda data: data + samples.box(b"uuid", FILLER),
    "image/tiff": lambda data: data + FILLER,
    "image/bmp": lambda data: data + FILLER,
}


@pytest.mark.parametrize("content_type", samples.MAKERS)
def test_reading_the_header_of_a_large_file_copies_none_of_it(content_type: str) -> None:
    data = LARGE[content_type](samples.MAKERS[content_type](samples.photo(96, 64)))
    assert len(data) > len(FILLER)

    tracemalloc.start()
    try:
        header = identify(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (header.width, header.height) == (96, 64)
    assert peak_bytes < 64 * 1024


def test_identifying_imports_no_imaging_library() -> None:
    """An upload pays for this import on every cold start."""
    code = (
        "import sys; from image_api.imaging.headers.formats import identify; "
        "print([name for name in sys.modules if name.split('.')[0] in ('PIL', 'pillow_heif')])"
    )

    imported = subprocess.check_output(
        [sys.executable, "-c", code], env={"PYTHONPATH": os.pathsep.join(sys.path)}, text=True
    )

    assert imported.strip() == "[]"


def webp_of_chunks(kind: bytes, count: int) -> bytes:
    body = b"WEBP" + samples.webp()[12:] + samples.webp_chunk(kind, b"") * count
    return b"RIFF" + len(body).to_bytes(4, "little") + body


BEYOND_A_BUDGET = {
    "comments of a GIF": lambda: samples.gif()[:-1] + b"!\xfe\0" * 60_000 + b";",
    "pieces of a GIF": lambda: samples.gif()[:-1] + b"!\xfe" + b"\1x" * 2_000_001 + b"\0;",
    "chunks of a PNG": lambda: (
        samples.png()[:33] + samples.png_chunk(b"tEXt", b"") * 100_001 + samples.png()[33:]
    ),
    "chunks of a WebP": lambda: webp_of_chunks(b"junk", 60_000),
    "planes of transparency": lambda: webp_of_chunks(b"ALPH", 2),
    "pictures in a WebP": lambda: webp_of_chunks(b"VP8 ", 1),
    "markers of a JPEG": lambda: samples.jpeg()[:-2] + b"\xff\0" * 2_100_000 + b"\xff\xd9",
    "segments of a JPEG": lambda: (
        samples.jpeg()[:2] + samples.jpeg_segment(0xE5, b"") * 66_000 + samples.jpeg()[2:]
    ),
}


@pytest.mark.parametrize("what", BEYOND_A_BUDGET)
def test_more_parts_than_any_file_needs_are_refused(what: str) -> None:
    with pytest.raises(DamagedImage, match=r"too many|more than one"):
        identify(BEYOND_A_BUDGET[what]())


# --- kinds of TIFF and BMP that decoders lack ---------------------------------------------------


def test_the_kinds_of_tiff_that_are_accepted_are_those_that_the_decoder_knows() -> None:
    orders = {b"II": "<", b"MM": ">"}
    known = {
        (orders[order], photometric, formats[0], *others)
        for order, photometric, formats, *others in TiffImagePlugin.OPEN_INFO
    }

    assert known == tiff.KINDS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({259: 50001}, "compression"),
        ({259: 34712}, "compression"),
        ({262: 32845}, "LogLuv"),
        ({258: (32, 32, 32)}, "RGB, 32/32/32 bits"),
        ({339: (3, 3, 3), 258: (32, 32, 32)}, "floating point"),
        ({339: (1, 1, 2)}, "RGB"),
        ({258: (16, 16, 16), 284: 2}, "in planes"),
        ({266: 2, 284: 2}, "in planes"),
        ({277: 4, 258: (8, 8, 8, 8), 338: 1, 284: 2}, "in planes"),
        ({277: 9, 258: 8}, "9 samples"),
        ({262: 6}, "YCbCr"),
        ({262: 0, 277: 1, 258: 16}, "grey, inverted"),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_that_the_decoder_cannot_read_is_refused_from_its_tags(
    changes: dict[int, int | tuple[int, ...]], words: str, order: Literal["<", ">"]
) -> None:
    data = samples.tiff_of_tags({**samples.TIFF_TAGS, **changes}, bytes(16 * 16 * 16), order=order)

    with pytest.raises(UnsupportedFormat, match=words) as refused:
        identify(data)

    assert "damaged" not in refused.value.detail


def test_a_big_endian_big_tiff_is_refused_as_unsupported() -> None:
    with pytest.raises(UnsupportedFormat, match="Big-endian BigTIFF"):
        identify(b"MM\0+\0\x08\0\0" + bytes(100))


@pytest.mark.parametrize(
    "changes",
    [
        {322: 26_000, 323: 26_000},
        {322: 16, 323: 1 << 30},
        {322: 0, 323: 16},
        {278: 0},
    ],
    ids=str,
)
def test_tiles_and_strips_that_do_not_fit_their_picture_are_refused(
    changes: dict[int, int | tuple[int, ...]],
) -> None:
    with pytest.raises(DamagedImage, match=r"larger than its picture|no rows"):
        identify(samples.tiff_of_tags({**samples.TIFF_TAGS, **changes}, bytes(16 * 16 * 3)))


def test_a_tiff_in_more_pieces_than_any_needs_is_refused() -> None:
    offsets = (8,) * 262_145
    with pytest.raises(UnsupportedFormat, match="pieces"):
        identify(samples.tiff_of_tags({**samples.TIFF_TAGS, 273: offsets}, bytes(768)))


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF0F0, 0x0F00, 0x000F, 0)),
        (16, (0xF800, 0x0FE0, 0x001F, 0)),
        (16, (0xF80000, 0x07E0, 0x001F, 0)),
        (16, (0, 0, 0, 0xF000)),
        (24, (0xFF, 0xFF00, 0xFF0000, 0)),
        (8, (0xE0, 0x1C, 0x03, 0)),
    ],
)
def test_a_bmp_with_masks_that_make_no_sense_is_refused_as_unsupported(
    bits: int, masks: tuple[int, int, int, int]
) -> None:
    with pytest.raises(UnsupportedFormat, match="colours in these bits"):
        identify(samples.bmp_of_bits([0] * 16, (4, 4), bits, masks))


@pytest.mark.parametrize("bits", [0, 2])
def test_a_bmp_of_a_kind_that_the_decoder_lacks_is_refused_as_unsupported(bits: int) -> None:
    data = bytearray(samples.bmp())
    data[28] = bits
    with pytest.raises(UnsupportedFormat):
        identify(bytes(data))


def test_a_bmp_whose_runs_could_skip_gigabytes_is_refused() -> None:
    data = bytearray(samples.bmp(samples.photo().convert("L")))
    data[18:34] = struct.pack("<iiHHI", 40_000_000, 1, 1, 8, 1)

    with pytest.raises(UnsupportedFormat):
        identify(bytes(data))
