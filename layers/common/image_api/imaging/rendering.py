"""From an original to what clients download: the image, its preview and its thumbnail."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from image_api.errors import TooManyPixels
from image_api.imaging import pixels
from image_api.imaging.container import GIF, JPEG, WEBP, Container, Format
from image_api.imaging.encoding import (
    LONGEST_SIDE,
    JpegTables,
    Movie,
    encoded,
    encoded_movie,
    encoded_small,
    palettised,
    tables_of,
    web_format,
)
from image_api.imaging.formats import inspect
from image_api.imaging.model import (
    MAX_FRAME_PIXELS,
    MAX_PIXELS,
    MAX_RENDERED_ANIMATION_PIXELS,
    Fit,
    Rendition,
)

PREVIEW_PIXELS = 1600
THUMBNAIL_PIXELS = 320


class _Rendered(NamedTuple):
    """The image, and the picture to make the smaller ones from, with the profile of its colours
    where they are not in sRGB yet: that is cheaper after shrinking."""

    image: Rendition
    picture: Image.Image
    profile: bytes | None


def render(
    original: bytes, *, size: tuple[int, int] | None = None, fit: Fit = "cover"
) -> list[Rendition]:
    """See `image_api.imaging.render`."""
    container = inspect(original)
    if size is not None:
        _check_requested(size, container)
    if container.frames > 1:
        rendered = _render_movie(container, size, fit)
    else:
        rendered = _render_still(container, size, fit)
    preview = pixels.in_srgb(pixels.shrunk(rendered.picture, PREVIEW_PIXELS), rendered.profile)
    thumbnail = pixels.shrunk(preview, THUMBNAIL_PIXELS)
    return [
        rendered.image,
        Rendition("preview", encoded_small(preview), *WEBP[1:], *preview.size, animated=False),
        Rendition(
            "thumbnail", encoded_small(thumbnail), *WEBP[1:], *thumbnail.size, animated=False
        ),
    ]


def _check_requested(size: tuple[int, int], container: Container) -> None:
    width, height = size
    if min(size) < 1:
        raise ValueError(f"no picture can be {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise TooManyPixels(
            f"{width}x{height} is too large; at most {MAX_PIXELS // 1_000_000} megapixels are made"
        )
    if container.frames > 1:
        _check_requested_movie(width, height, container)


def _check_requested_movie(width: int, height: int, container: Container) -> None:
    longest = LONGEST_SIDE.get(container.format, max(width, height))
    if max(width, height) > longest:
        raise TooManyPixels(
            f"{width}x{height} is too large; a {container.format.name} that moves can be at most "
            f"{longest} pixels wide and high"
        )
    total = width * height * container.frames
    if width * height > MAX_FRAME_PIXELS or total > MAX_RENDERED_ANIMATION_PIXELS:
        raise TooManyPixels(
            f"{container.frames} frames of {width}x{height} pixels are too many; choose a smaller "
            f"size: at most {MAX_RENDERED_ANIMATION_PIXELS // 1_000_000} megapixels over all frames"
        )


def _render_still(container: Container, size: tuple[int, int] | None, fit: Fit) -> _Rendered:
    source = pixels.opened(container)
    profile = pixels.profile_of(source)
    untouched = size is None and container.web_safe
    tables = tables_of(source)
    if container.format is JPEG and (untouched or size is not None):
        # Decodes at a half, a quarter or an eighth of the size, and still reads every byte.
        source.draft(None, _needed_size(container, size, fit))
    with pixels.damage_refused():
        source.load()
    picture = pixels.in_eight_bits(source, container)
    if untouched:
        return _Rendered(_as_it_is(container), picture, profile)
    picture = _finished(picture, profile, container, size, fit)
    halved_chroma = tables.halved_chroma if tables else container.format.name.startswith("HEI")
    if size is not None or source.mode == "CMYK":
        tables = None
    elif tables is not None and container.orientation >= 5:
        tables = tables.turned()
    return _encode(picture, container.format, tables, halved_chroma=halved_chroma)


def _encode(
    picture: Image.Image, original: Format, tables: JpegTables | None, *, halved_chroma: bool
) -> _Rendered:
    target = web_format(original, picture)
    data = encoded(picture, target, tables=tables, halved_chroma=halved_chroma)
    image = Rendition("image", data, *target[1:], *picture.size, animated=False)
    return _Rendered(image, picture, None)


def _as_it_is(container: Container) -> Rendition:
    return Rendition(
        "image",
        container.clean(),
        *container.format[1:],
        *container.upright_size,
        animated=container.frames > 1,
    )


def _needed_size(container: Container, size: tuple[int, int] | None, fit: Fit) -> tuple[int, int]:
    stored = (container.width, container.height)
    if size is None:
        return pixels.fitted(stored, PREVIEW_PIXELS)
    return pixels.scaled_for(stored, _as_stored(size, container), fit)


def _as_stored(size: tuple[int, int], container: Container) -> tuple[int, int]:
    return (size[1], size[0]) if container.orientation >= 5 else size


def _finished(
    picture: Image.Image,
    profile: bytes | None,
    container: Container,
    size: tuple[int, int] | None,
    fit: Fit,
) -> Image.Image:
    """Resized first, while there is least to do, then turned upright and brought to sRGB."""
    if size is not None:
        picture = pixels.resized(picture, _as_stored(size, container), fit)
    picture = pixels.in_srgb(pixels.upright(picture, container.orientation), profile)
    if size is not None and fit == "contain":
        transparent = web_format(container.format, picture) is not JPEG
        picture = pixels.letterboxed(picture, size, transparent=transparent)
    return picture


def _render_movie(container: Container, size: tuple[int, int] | None, fit: Fit) -> _Rendered:
    source = pixels.opened(container)
    profile = pixels.profile_of(source)
    loop = source.info.get("loop")
    # An APNG may begin with a picture for those who cannot play it.
    first = 1 if getattr(source, "default_image", False) else 0
    count = getattr(source, "n_frames", 1) - first
    canvas = (0, 0, container.width, container.height)

    def original_frame(index: int) -> Image.Image:
        with pixels.damage_refused():
            source.seek(first + index)
            source.load()
            # A copy, because the decoder draws the next frame over this one.
            frame = source.copy()
        if frame.size != canvas[2:]:
            frame = frame.crop(canvas)
        return pixels.in_eight_bits(frame, container)

    durations_ms: list[float] = []
    translucent = False
    for index in range(count):
        frame = original_frame(index)
        durations_ms.append(source.info.get("duration", 0))
        translucent = translucent or frame.mode in ("LA", "RGBA")
    picture = original_frame(0)
    if size is None and container.web_safe:
        return _Rendered(_as_it_is(container), picture, profile)

    translucent = translucent or (size is not None and fit == "contain")
    mode = "RGBA" if translucent or container.format is GIF else "RGB"

    def frame_to_write(index: int) -> Image.Image:
        frame = original_frame(index)
        frame = _finished(frame, profile, container, size, fit).convert(mode)
        if container.format is GIF:
            return palettised(frame, dither=Image.Dither.NONE)
        return frame

    data = encoded_movie(
        Movie(count, frame_to_write),
        container.format,
        durations_ms=durations_ms,
        loop=loop,
        translucent=translucent,
    )
    picture = _finished(picture, profile, container, size, fit)
    animated = inspect(data).frames > 1
    image = Rendition("image", data, *container.format[1:], *picture.size, animated=animated)
    return _Rendered(image, picture, None)
