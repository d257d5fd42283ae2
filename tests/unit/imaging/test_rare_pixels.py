"""Pixels that few writers make: how they look, and what only decoding refuses."""

from __future__ import annotations

import math
import struct
import zlib

import pytest
from PIL import Image

from image_api.errors import DamagedImage
from image_api.imaging.headers.formats import identify
from image_api.imaging.pixels.rendering import render
from tests import samples


def shown(data: bytes) -> Image.Image:
    """The picture that is served."""
    image, *_ = render(data)
    return samples.opened(image.data)


def arithmetic_jpeg() -> bytes:
    """Grey, of 16x16, whose scan says nothing: what it lacks counts as zeros (T.81, D.2.6)."""
    data = samples.jpeg(Image.new("L", (16, 16)))
    while (start := data.find(b"\xff\xc4")) >= 0:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        data = data[:start] + data[end:]
    scan = data.index(b"\xff\xda")
    header_end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    return data[:header_end].replace(b"\xff\xc0", b"\xff\xc9", 1) + b"\xff\xd9"


def with_height(data: bytes, height: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + data[at + 2 :]


def noise(height: int) -> bytes:
    """A JPEG of blocks of eight rows, each of some thousand bytes."""
    return samples.jpeg(Image.effect_noise((1_024, height), 200))


def float_tiff(numbers: list[float]) -> bytes:
    image = Image.new("F", (len(numbers), 1))
    image.putdata(numbers)
    return samples.tiff(image)


def test_an_arithmetic_jpeg_is_served_as_one_that_browsers_show() -> None:
    image, *_ = render(arithmetic_jpeg())

    assert b"\xff\xc9" in arithmetic_jpeg() and b"\xff\xc9" not in image.data
    assert image.content_type == "image/jpeg"
    assert samples.opened(image.data).size == (16, 16)
    assert samples.opened(image.data).convert("L").getpixel((0, 0)) == 128


@pytest.mark.parametrize(("there_are", "accepted"), [(16, True), (24, False), (40, False)])
def test_rows_below_a_picture_are_those_that_encoders_fill_up(
    there_are: int, accepted: bool
) -> None:
    """Eight are said; to 16, 32 or 64 an encoder of video may fill them up."""
    data = with_height(noise(there_are), 8)
    if accepted:
        assert shown(data).size == (1_024, 8)
    else:
        with pytest.raises(DamagedImage, match=r"^The JPEG is damaged: its pixels do not fit"):
            render(data)


def test_grey_that_is_premultiplied_is_shown_as_it_was_before() -> None:
    tags = {**samples.TIFF_TAGS, 256: 2, 257: 1, 258: (8, 8), 262: 1, 277: 2, 278: 1, 338: 1}

    picture = shown(samples.tiff_of_tags(tags, bytes((100, 200, 50, 255)))).convert("LA")

    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(127, 200), (50, 255)]


def png_of_two(bits: int, colour_type: int, transparent: bytes, row: bytes) -> bytes:
    """Two pixels, of which the first is transparent."""
    return samples.png_of_chunks(
        (b"IHDR", struct.pack(">2I5B", 2, 1, bits, colour_type, 0, 0, 0)),
        (b"tRNS", transparent),
        (b"IDAT", zlib.compress(b"\0" + row)),
        (b"IEND", b""),
    )


@pytest.mark.parametrize(
    "data",
    [
        *(
            png_of_two(bits, 0, bytes((0, value)), bytes([value << 8 - bits]))
            for bits in (1, 2, 4)
            for value in (1, (1 << bits) - 1)
        ),
        *(png_of_two(8, 0, bytes((0, value)), bytes((value, value ^ 1))) for value in (0, 200)),
        png_of_two(16, 0, b"\x12\x34", b"\x12\x34\x13\x34"),
        png_of_two(8, 2, b"\0\1\0\2\0\3", bytes((1, 2, 3, 3, 2, 1))),
        png_of_two(16, 2, b"\x12\x34" * 3, b"\x12\x34" * 3 + b"\x13\x34" * 3),
    ],
)
@pytest.mark.parametrize("size", [None, (2, 1)])
def test_one_colour_of_a_png_is_transparent_whatever_its_bits(
    data: bytes, size: tuple[int, int] | None
) -> None:
    image, _, thumbnail = render(data, size=size)

    for made in (thumbnail.data, *([image.data] if size else [])):
        assert samples.opened(made).convert("RGBA").getchannel("A").tobytes() == b"\0\xff"


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_pixels_that_are_not_numbers_are_refused(odd: float, place: int) -> None:
    values = [0.0, 1.0]
    values.insert(place, odd)
    with pytest.raises(DamagedImage, match=r"some of its pixels are not numbers$"):
        render(float_tiff(values))


def test_a_tiff_that_does_not_say_where_its_pixels_are_is_refused() -> None:
    with pytest.raises(DamagedImage, match=r"does not say where its pixels are$"):
        identify(samples.tiff_of_tags(samples.TIFF_TAGS, bytes(16 * 16 * 3), pieces=False))
