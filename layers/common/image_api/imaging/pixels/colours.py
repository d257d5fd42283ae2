"""Colours: in eight bits and in sRGB, whatever a file has them in."""

from __future__ import annotations

import math
from io import BytesIO
from typing import cast

from PIL import Image

from image_api.errors import DamagedImage
from image_api.imaging.headers.icc import clean_profile, is_srgb


def profile_of(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    return clean_profile(profile) or None if isinstance(profile, bytes) else None


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The same colours as L, LA, RGB, RGBA or CMYK, with no transparency left outside them."""
    transparency = image.info.get("transparency")
    match image.mode:
        case "L" | "RGB" | "1" if transparency is not None:
            image = image.convert("LA" if image.mode == "L" else "RGBA")
        case "1":
            image = image.convert("L")
        case "P" if transparency is not None or (image.palette and image.palette.mode == "RGBA"):
            image = image.convert("RGBA")
        case "P" | "YCbCr" | "RGBX":
            image = image.convert("RGB")
        case "PA" | "RGBa":
            image = image.convert("RGBA")
        case "La":
            image = image.convert("LA")
        case "LAB":
            image = _from_lab(image)
        case "I" | "F":
            image = _from_numbers(image)
        case mode if mode.startswith("I;16"):
            image = _from_sixteen_bits(image, transparency)
        case _:
            image.load()
    image.info = {}
    if image.mode in ("LA", "RGBA") and image.getextrema()[-1] == (255, 255):
        image = image.convert(image.mode[:-1])
    return image


def _from_sixteen_bits(image: Image.Image, transparency: object) -> Image.Image:
    numbers = image.convert("I")
    grey = numbers.point([value >> 8 for value in range(65_536)], "L")
    if isinstance(transparency, int):
        opaque = [0 if value == transparency else 255 for value in range(65_536)]
        return Image.merge("LA", (grey, numbers.point(opaque, "L")))
    return grey


def _from_numbers(image: Image.Image) -> Image.Image:
    """Grey values of unstated scale: 0 to 1, 0 to 255, 0 to 65535, or else their own range."""
    lowest, highest = cast("tuple[float, float]", image.getextrema())
    # What is not a number is neither lower nor higher than others, but neither has it a mean.
    mean = cast("float", image.reduce(image.size).getpixel((0, 0)))
    if not (math.isfinite(lowest) and math.isfinite(highest)) or math.isnan(mean):
        raise DamagedImage("The image is damaged: some of its pixels are not numbers")
    tops = (255.0, 65_535.0) if image.mode == "I" else (1.0, 255.0, 65_535.0)
    top = next((top for top in tops if highest <= top), None)
    if lowest < 0 or top is None:
        zero, scale = lowest, 255 / max(highest - lowest, 1e-9)
    else:
        zero, scale = 0.0, 255 / top
    grey = image.convert("F").point(lambda value: value * scale - zero * scale)
    return grey.convert("L")


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """L, LA, RGB or RGBA for the web. A profile that cannot be used counts as none."""
    if profile is not None:
        if image.mode in ("LA", "RGBA"):
            alpha = image.getchannel("A")
            image = to_srgb(image.convert(image.mode[:-1]), profile)
            image.putalpha(alpha)
            return image
        converted = _through_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB") if image.mode == "CMYK" else image


_PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    if image.mode == "RGB" and is_srgb(profile):
        # Most are, and then there is no need to spend 25 ns on each pixel.
        return image
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != _PROFILE_SPACES[image.mode]:
            return None
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    if converted is not None:
        # Writers would embed the profile that ImageCms leaves here.
        converted.info = {}
    return converted
