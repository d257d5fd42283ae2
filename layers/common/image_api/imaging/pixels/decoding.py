"""From a file to pixels: the one decoder that a format needs, and what it raises in our words."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from image_api.errors import DamagedImage, UnsupportedFormat
from image_api.imaging.headers import bmp, png
from image_api.imaging.model import (
    AVIF,
    GIF,
    HEIC,
    HEIF,
    JPEG,
    MAX_PROFILE_BYTES,
    PNG,
    TIFF,
    WEBP,
    Format,
    check_size,
)
from image_api.imaging.pixels import bit_fields, jpeg_scans

# `check_size` has refused more than we decode; Pillow's own bound is higher and only warns.
Image.MAX_IMAGE_PIXELS = None
# In what we hand to Pillow, the colour profile is the only compressed chunk left.
PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES

_PLUGINS: dict[Format, type[ImageFile.ImageFile]] = {
    JPEG: JpegImagePlugin.JpegImageFile,
    GIF: GifImagePlugin.GifImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    AVIF: AvifImagePlugin.AvifImageFile,
}


@contextmanager
def refuse_damage() -> Iterator[None]:
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


def open_image(image_format: Format, clean: bytes) -> Image.Image:
    """The file without its metadata, opened by the one decoder that it needs.

    Pixels are decoded when they are loaded; those of HEIC at once.
    """
    with refuse_damage():
        image = _open(image_format, clean)
        # A decoder may see more in the file than its header said.
        check_size(*image.size, getattr(image, "n_frames", 1))
    return image


def load(image: Image.Image, clean: bytes) -> None:
    """Decodes the pixels of an image that `open_image` made of this file."""
    with refuse_damage():
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            jpeg_scans.load(image, clean)
        else:
            image.load()


def _open(image_format: Format, clean: bytes) -> Image.Image:
    if plugin := _PLUGINS.get(image_format):
        return plugin(BytesIO(clean))
    if image_format is PNG:
        return _open_png(clean)
    if image_format in (HEIC, HEIF):
        return _open_heif(clean)
    return _open_tiff(clean) if image_format is TIFF else _open_bmp(clean)


def _open_png(clean: bytes) -> Image.Image:
    image = PngImagePlugin.PngImageFile(BytesIO(clean))
    transparent, bits = image.info.get("transparency"), png.bit_depth(clean)
    # Pillow brings pixels to eight bits, and leaves the transparent colour as the file has it.
    if isinstance(transparent, int) and bits < 8:
        most = (1 << bits) - 1
        image.info["transparency"] = (transparent & most) * 255 // most
    elif isinstance(transparent, tuple) and bits == 16:
        image.info["transparency"] = tuple(number >> 8 for number in transparent)
    return image


def _open_heif(clean: bytes) -> Image.Image:
    import pillow_heif

    # Its threads share what they decode a grid into, and race.
    pillow_heif.options.DECODE_THREADS = 1
    source = pillow_heif.open_heif(clean, convert_hdr_to_8bit=True)
    if len(source) == 0:
        raise DamagedImage("The image is damaged: it holds no picture that can be decoded")
    check_size(*source.size)
    # A copy: `source.data` is memory that is freed together with `source`.
    image = Image.frombytes(
        source.mode, source.size, source.data, "raw", source.mode, source.stride
    )
    image.info["icc_profile"] = source.info.get("icc_profile")
    return image


def _open_tiff(clean: bytes) -> Image.Image:
    from PIL import TiffImagePlugin

    try:
        return TiffImagePlugin.TiffImageFile(BytesIO(clean))
    except SyntaxError as error:
        # The structure has been checked: what is left are kinds of pixel that Pillow lacks.
        raise UnsupportedFormat(
            "This kind of TIFF is not accepted; save the picture as PNG or JPEG"
        ) from error


def _open_bmp(clean: bytes) -> Image.Image:
    fields = bmp.bit_fields(clean)
    if fields is not None and not bit_fields.are_read_by_pillow(fields):
        image = bit_fields.decode(clean, fields)
    else:
        image = BmpImagePlugin.BmpImageFile(BytesIO(clean))
        image.load()
    if image.mode == "RGBA" and image.getextrema()[-1] == (0, 0):
        # Many writers leave it empty, and browsers then show the colours.
        return image.convert("RGB")
    return image
