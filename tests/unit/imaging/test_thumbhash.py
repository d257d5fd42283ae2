"""ThumbHash, to the bit as the reference encoder (JavaScript, 0.1.1) makes it."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from PIL import Image

from image_api.imaging.pixels.rendering import render
from image_api.imaging.pixels.thumbhash import MAX_BYTES, hash_of_pixels, thumbhash
from tests import samples

Colour = tuple[int, int, int, int]

# What the reference says of pictures that a formula draws.
KNOWN: dict[str, tuple[int, int, Callable[[int, int], Colour], str]] = {
    "landscape": (
        *(100, 67, lambda x, y: (x * 5 % 256, y * 7 % 256, x * y % 256, 255)),
        "HhgKDYpjgGl0d3d0dxd3eZCkBNbH",
    ),
    "portrait": (
        *(40, 90, lambda x, y: (x * x % 256, y * 3 % 256, (x + y * 2) % 256, 255)),
        "G8gNIxZlcGiHiIZ4Ro9F9Zc=",
    ),
    "square": (
        *(32, 32, lambda x, y: (x * 8, y * 8, 255 - x * 4, 255)),
        "5AUKbxp0d4dweIh3iHiIeId3CEiIcI8I",
    ),
    "translucent": (
        *(64, 48, lambda x, y: (x * 4 % 256, y * 5 % 256, 200, (x * x + y) % 256)),
        "5RWGHIoXkZiQiIh4GAmJkH8XEGFneId3CA==",
    ),
    "hidden": (
        *(20, 30, lambda x, y: (x * 10, y * 8, 7, 0)),
        "AAiCAwAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ),
    "one row": (
        *(100, 1, lambda x, y: (x, 255 - x * 2 + y, x * x % 251, 255)),
        "mic1KbR4d3eIiAiHv4g8ePg=",
    ),
    "one pixel": (
        *(1, 1, lambda x, y: (200 + x, 100 + y, 50, 255)),
        "Hcs6zzII9wiIh4hwj3CI+AiIgIAICIgA",
    ),
    "narrow": (
        *(3, 100, lambda x, y: (x * 80, y * 2, y % 7 * 30, 255 - y)),
        "1eeJKRIccHFoeHdwcQfnh3h4j4eIiHg=",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_hash_is_the_references(name: str) -> None:
    width, height, colour, expected = KNOWN[name]
    pixels = bytes(
        value & 255 for y in range(height) for x in range(width) for value in colour(x, y)
    )

    assert base64.b64encode(hash_of_pixels(width, height, pixels)).decode() == expected


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 320), (320, 1), (320, 213)])
def test_any_thumbnail_has_a_hash(mode: str, size: tuple[int, int]) -> None:
    made = thumbhash(samples.translucent(*size).convert(mode))

    assert 5 < len(made) <= MAX_BYTES


def test_the_picture_itself_is_left_as_it_was() -> None:
    picture = Image.new("RGB", (320, 200), "red")

    thumbhash(picture)

    assert picture.size == (320, 200)


def test_of_all_renditions_the_thumbnail_has_the_placeholder() -> None:
    image, preview, thumbnail = render(samples.jpeg())

    assert image.placeholder is None and preview.placeholder is None
    assert thumbnail.placeholder is not None and 5 < len(thumbnail.placeholder) <= MAX_BYTES
