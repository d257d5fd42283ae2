"""From an original to what clients download: the image, its preview and its thumbnail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from image_api.errors import TooManyPixels
from image_api.imaging.headers import formats
from image_api.imaging.model import (
    AVIF,
    GIF,
    JPEG,
    MAX_PIXELS,
    PREVIEW_PIXELS,
    THUMBNAIL_PIXELS,
    WEBP,
    Fit,
    Format,
    Rendition,
    StoredPicture,
    check_rendered_size,
)
from image_api.imaging.pixels import geometry
from image_api.imaging.pixels.colours import profile_of, to_eight_bits, to_srgb
from image_api.imaging.pixels.decoding import load, open_image
from image_api.imaging.pixels.encoding import (
    LONGEST_SIDE,
    JpegTables,
    Movie,
    encode,
    encode_movie,
    encode_small,
    tables_of,
    to_palette,
    web_format,
)
from image_api.imaging.pixels.movies import Frames
from image_api.imaging.pixels.thumbhash import thumbhash


class _Rendered(NamedTuple):
    """The image, and the picture to make the smaller ones from, with the profile of its colours
    where they are not in sRGB yet: that is cheaper after shrinking."""

    image: Rendition
    picture: Image.Image
    profile: bytes | None


def render(
    original: bytes, *, size: tuple[int, int] | None = None, fit: Fit = "cover"
) -> list[Rendition]:
    """The image, its preview (fits 1600x1600) and its thumbnail (fits 320x320), in this order.

    Without `size` the image has the original's pixels, upright; with it, exactly that size.
    Raises as `identify` does, and DamagedImage for what only decoding finds.
    """
    return list(one_by_one(original, size=size, fit=fit))


def one_by_one(
    original: bytes, *, size: tuple[int, int] | None = None, fit: Fit = "cover"
) -> Iterator[Rendition]:
    """As `render`, each as soon as it is made: it can be stored while the next is."""
    stored = formats.header(original)
    if size is not None:
        _check_requested(size, stored)
    render_kind = _render_movie if stored.frames > 1 else _render_still
    # Handed over, not held: it is as large as the original, and is let go as soon as possible.
    image, picture, profile = render_kind(stored, formats.clean(original), size, fit)
    yield image
    del image
    preview = to_srgb(geometry.shrink(picture, PREVIEW_PIXELS), profile)
    del picture
    yield Rendition("preview", encode_small(preview), *WEBP[1:], *preview.size, animated=False)
    thumbnail = geometry.shrink(preview, THUMBNAIL_PIXELS)
    yield Rendition(
        "thumbnail",
        encode_small(thumbnail),
        *WEBP[1:],
        *thumbnail.size,
        animated=False,
        placeholder=thumbhash(thumbnail),
    )


def _check_requested(size: tuple[int, int], stored: StoredPicture) -> None:
    width, height = size
    if min(size) < 1:
        raise ValueError(f"no picture can be {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise TooManyPixels(
            f"{width}x{height} is too large; at most {MAX_PIXELS // 1_000_000} megapixels are made"
        )
    if stored.frames > 1:
        _check_requested_movie(width, height, stored)


def _check_requested_movie(width: int, height: int, stored: StoredPicture) -> None:
    longest = LONGEST_SIDE.get(stored.format, max(width, height))
    if max(width, height) > longest:
        raise TooManyPixels(
            f"{width}x{height} is too large; a {stored.format.name} that moves can be at most "
            f"{longest} pixels wide and high"
        )
    check_rendered_size(width, height, stored.frames, stored.format.content_type)


def _render_still(
    stored: StoredPicture, clean: bytes, size: tuple[int, int] | None, fit: Fit
) -> _Rendered:
    source = open_image(stored.format, clean)
    profile = profile_of(source)
    untouched = size is None and stored.web_safe
    tables = tables_of(source)
    if stored.format is JPEG and (untouched or size is not None):
        # Decodes at a half, a quarter or an eighth of the size, and still reads every byte.
        source.draft(None, _needed_size(stored, size, fit))
    load(source, clean)
    if stored.crop:
        source = source.crop(stored.crop)
    picture = to_eight_bits(source)
    if untouched:
        return _Rendered(_keep_as_it_is(stored, clean), picture, profile)
    keeps_tables = size is None and source.mode != "CMYK"
    # Its decoder may hold the pixels once more.
    del clean, source
    picture = _fit_and_orient(picture, profile, stored, size, fit)
    halved_chroma = tables.halved_chroma if tables else stored.format.name.startswith("HEI")
    if not keeps_tables:
        tables = None
    elif tables is not None and stored.orientation >= 5:
        tables = tables.transpose()
    return _encode(picture, stored.format, tables, halved_chroma=halved_chroma)


def _encode(
    picture: Image.Image, original: Format, tables: JpegTables | None, *, halved_chroma: bool
) -> _Rendered:
    target = web_format(original, picture)
    data = encode(picture, target, tables=tables, halved_chroma=halved_chroma)
    image = Rendition("image", data, *target[1:], *picture.size, animated=False)
    return _Rendered(image, picture, None)


def _keep_as_it_is(stored: StoredPicture, clean: bytes) -> Rendition:
    return Rendition(
        "image", clean, *stored.format[1:], *stored.upright_size, animated=stored.frames > 1
    )


def _needed_size(stored: StoredPicture, size: tuple[int, int] | None, fit: Fit) -> tuple[int, int]:
    whole = (stored.width, stored.height)
    if size is None:
        return geometry.size_within(whole, PREVIEW_PIXELS)
    return geometry.size_to_fill(whole, _as_stored(size, stored), fit)


def _as_stored(size: tuple[int, int], stored: StoredPicture) -> tuple[int, int]:
    return (size[1], size[0]) if stored.orientation >= 5 else size


def _fit_and_orient(
    picture: Image.Image,
    profile: bytes | None,
    stored: StoredPicture,
    size: tuple[int, int] | None,
    fit: Fit,
) -> Image.Image:
    """Resized first, while there is least to do, then turned upright and brought to sRGB."""
    if size is not None:
        picture = geometry.resize(picture, _as_stored(size, stored), fit)
    picture = to_srgb(geometry.turn_upright(picture, stored.orientation), profile)
    if size is not None and fit == "contain":
        transparent = web_format(stored.format, picture) is not JPEG
        picture = geometry.letterbox(picture, size, transparent=transparent)
    return picture


def _render_movie(
    stored: StoredPicture, clean: bytes, size: tuple[int, int] | None, fit: Fit
) -> _Rendered:
    frames = Frames(stored, clean)
    profile = frames.profile
    durations_ms, translucent = frames.survey()
    picture = frames.frame(0)
    if size is None and stored.web_safe:
        return _Rendered(_keep_as_it_is(stored, clean), picture, profile)

    translucent = translucent or (size is not None and fit == "contain")
    mode = "RGBA" if translucent or stored.format is GIF else "RGB"

    def frame_to_write(index: int) -> Image.Image:
        frame = _fit_and_orient(frames.frame(index), profile, stored, size, fit).convert(mode)
        if stored.format is GIF:
            return to_palette(frame, dither=Image.Dither.NONE)
        return frame

    data = encode_movie(
        Movie(frames.count, frame_to_write),
        stored.format,
        durations_ms=durations_ms,
        loop=frames.loop,
        translucent=translucent,
    )
    if stored.format is AVIF:
        # The writer notes the time of day.
        data = formats.clean(data)
    picture = _fit_and_orient(picture, profile, stored, size, fit)
    animated = formats.header(data).frames > 1
    image = Rendition("image", data, *stored.format[1:], *picture.size, animated=animated)
    return _Rendered(image, picture, None)
