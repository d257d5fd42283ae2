"""Pixels: decoded, turned upright, in sRGB, at the size that is wanted."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, cast

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.container import (
    AVIF,
    GIF,
    HEIC,
    HEIF,
    JPEG,
    PNG,
    TIFF,
    WEBP,
    Container,
    Format,
)
from image_api.imaging.model import Fit, check_size
from image_api.imaging.png import MAX_PROFILE_BYTES

if TYPE_CHECKING:
    from PIL import ImageCms

# `check_size` has refused more than we decode; Pillow's own bound is higher and only warns.
Image.MAX_IMAGE_PIXELS = None
# In what we hand to Pillow, the colour profile is the only compressed chunk left.
PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES

_PLUGINS: dict[Format, type[ImageFile.ImageFile]] = {
    JPEG: JpegImagePlugin.JpegImageFile,
    PNG: PngImagePlugin.PngImageFile,
    GIF: GifImagePlugin.GifImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    AVIF: AvifImagePlugin.AvifImageFile,
}
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def damage_refused() -> Iterator[None]:
    """What Pillow and the codecs raise over bytes that they cannot decode becomes DamagedImage."""
    try:
        yield
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        RuntimeError,
        ZeroDivisionError,
        struct.error,
        zlib.error,
    ) as e:
        raise DamagedImage("The image is damaged or cut off: it cannot be decoded") from e


def opened(container: Container) -> Image.Image:
    """The file without its metadata, opened by the one decoder that it needs.

    Pixels are decoded when they are loaded; those of HEIC at once.
    """
    with damage_refused():
        image = _open(container)
        # A decoder may see more in the file than its header said.
        check_size(*image.size, getattr(image, "n_frames", 1))
    return image


def _open(container: Container) -> Image.Image:
    clean = container.clean()
    if plugin := _PLUGINS.get(container.format):
        return plugin(BytesIO(clean))
    if container.format in (HEIC, HEIF):
        return _open_heif(clean)
    return _open_tiff_or_bmp(container, clean)


def _open_heif(clean: bytes) -> Image.Image:
    import pillow_heif

    source = pillow_heif.open_heif(clean, convert_hdr_to_8bit=True)
    if len(source) == 0:
        raise DamagedImage("The image is damaged: it holds no picture that can be decoded")
    check_size(*source.size)
    image = Image.frombuffer(
        source.mode, source.size, source.data, "raw", source.mode, source.stride, 1
    )
    image.info["icc_profile"] = source.info.get("icc_profile")
    return image


def _open_tiff_or_bmp(container: Container, clean: bytes) -> Image.Image:
    try:
        if container.format is TIFF:
            from PIL import TiffImagePlugin

            return TiffImagePlugin.TiffImageFile(BytesIO(clean))
        return BmpImagePlugin.BmpImageFile(BytesIO(clean))
    except SyntaxError as error:
        # The structure has been checked: what is left are kinds of pixel that Pillow lacks.
        raise UnsupportedFormat(
            f"This kind of {container.format.name} is not accepted; save the picture as PNG or JPEG"
        ) from error


def profile_of(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile else None


def in_eight_bits(image: Image.Image, container: Container) -> Image.Image:
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
        case "CMYK" if not container.inks_are_inverted:
            # Pillow has inverted them all the same.
            image = ImageChops.invert(image)
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
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise DamagedImage("The image is damaged: some of its pixels are no numbers")
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


def upright(image: Image.Image, orientation: int) -> Image.Image:
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """L, LA, RGB or RGBA for the web. A profile that cannot be used counts as none."""
    if profile is not None:
        if image.mode in ("LA", "RGBA"):
            alpha = image.getchannel("A")
            image = in_srgb(image.convert(image.mode[:-1]), profile)
            image.putalpha(alpha)
            return image
        converted = _through_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB") if image.mode == "CMYK" else image


_PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
# XYZ, adapted to D50 as ICC profiles have them.
_SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != _PROFILE_SPACES[image.mode]:
            return None
        if _is_srgb(source):
            return image
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    if converted is not None:
        # Writers would embed the profile that ImageCms leaves here.
        converted.info = {}
    return converted


def _is_srgb(source: ImageCms.ImageCmsProfile) -> bool:
    """Most profiles are, and then there is no need to spend 25 ns on each pixel.

    Neither the name alone nor the primaries alone would tell.
    """
    profile = source.profile
    primaries = (profile.red_colorant, profile.green_colorant, profile.blue_colorant)
    return (profile.profile_description or "").startswith("sRGB") and all(
        primary is not None and math.dist(primary[0], srgb) < 0.005
        for primary, srgb in zip(primaries, _SRGB_PRIMARIES, strict=True)
    )


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The size within a square of `longest` pixels, in proportion and never larger."""
    width, height = size
    scale = min(1.0, longest / width, longest / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def scaled_for(size: tuple[int, int], target: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """How large the whole picture has to be for `target` to be cut from it, or filled by it."""
    across, down = target[0] / size[0], target[1] / size[1]
    if fit == "stretch":
        return target
    scale = max(across, down) if fit == "cover" else min(across, down)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resized(image: Image.Image, target: tuple[int, int], fit: Fit) -> Image.Image:
    """For cover and stretch exactly `target`; for contain within it."""
    box: tuple[float, float, float, float] | None = None
    if fit == "cover":
        width = max(1.0, min(image.width, image.height * target[0] / target[1]))
        height = max(1.0, min(image.height, image.width * target[1] / target[0]))
        left, top = (image.width - width) / 2, (image.height - height) / 2
        box = (left, top, left + width, top + height)
    elif fit == "contain":
        target = scaled_for(image.size, target, fit)
    return image.resize(target, Image.Resampling.LANCZOS, box, reducing_gap=2.0)


def shrunk(image: Image.Image, longest: int) -> Image.Image:
    target = fitted(image.size, longest)
    if target == image.size:
        return image
    # Going down, Hamming is as sharp as bicubic and takes two thirds of the time; the low gap lets
    # whole pixels be averaged first, which halves it again.
    return image.resize(target, Image.Resampling.HAMMING, reducing_gap=1.2)


def letterboxed(image: Image.Image, size: tuple[int, int], *, transparent: bool) -> Image.Image:
    if image.size == size:
        return image
    if transparent:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", size, (255, 255, 255, 0))
    else:
        canvas = Image.new(image.mode, size, "white")
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas
