"""A small album, cut from the photos of the tests: the same pixels every time."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image, ImageOps

from tests import samples


class Shot(NamedTuple):
    title: str
    photo: str
    # Left, top, right and bottom, as shares of the photo.
    cut: tuple[float, float, float, float] = (0, 0, 1, 1)
    is_grey: bool = False
    tags: str = ""


# The last one comes first in the gallery.
ALBUM = (
    Shot("Evening sky", "rocket.jpg", (0.1, 0.0, 0.6, 0.55), tags="space"),
    Shot("Whiskers", "chelsea.png", (0.0, 0.4, 0.6, 1.0), tags="cat"),
    Shot("Spoon", "coffee.png", (0.4, 0.3, 0.95, 1.0), tags="morning"),
    Shot("Half asleep", "chelsea.png", (0.3, 0.05, 0.75, 0.6), tags="cat"),
    Shot("Floodlights", "rocket.jpg", (0.1, 0.6, 1.0, 1.0), tags="space"),
    Shot("Crema", "coffee.png", (0.3, 0.12, 0.78, 0.8), True, tags="morning"),
    Shot("Climbing", "rocket.jpg", (0.35, 0.0, 0.65, 1.0), tags="space"),
    Shot("Chelsea in grey", "chelsea.png", (0.1, 0.0, 0.95, 1.0), True, tags="cat"),
    Shot("Deep field", "hubble_deep_field.jpg", (0.0, 0.0, 0.5, 0.5), tags="space"),
    Shot("Chelsea", "chelsea.png", tags="cat"),
    Shot("Coffee", "coffee.png", tags="morning"),
    Shot("Lift-off", "rocket.jpg", tags="space"),
)


def picture(shot: Shot) -> bytes:
    with Image.open(samples.PHOTOS / shot.photo) as opened:
        image = opened.convert("RGB")
    (left, top, right, bottom), (width, height) = shot.cut, image.size
    part = image.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )
    if shot.is_grey:
        part = ImageOps.grayscale(part).convert("RGB")
    return samples.png(part)
