"""Renditions on demand: what is served in another size, cut to a ratio, in another format."""

from __future__ import annotations

import math

from PIL import Image

from image_api.errors import TooManyPixels
from image_api.imaging.headers import formats
from image_api.imaging.model import (
    AVIF,
    JPEG,
    MAX_RENDERED_AVIF_PIXELS,
    PNG,
    WEBP,
    Format,
    Rendition,
    StoredPicture,
    Wanted,
    check_rendered_size,
)
from image_api.imaging.pixels import geometry
from image_api.imaging.pixels.colours import profile_of, to_eight_bits, to_srgb
from image_api.imaging.pixels.decoding import load, open_image
from image_api.imaging.pixels.encoding import LONGEST_SIDE, Movie, encode_for_web, encode_movie
from image_api.imaging.pixels.movies import Frames

_MOVING = (WEBP, AVIF, PNG)


def render_wanted(served: bytes, wanted: Wanted) -> Rendition:
    """Of a picture that is upright. It moves where the served one does, the format can, and all of
    its frames together are not too many pixels to encode.

    Raises as `identify` does, and DamagedImage for what only decoding finds.
    """
    stored = formats.header(served)
    clean = formats.clean(served)
    target = wanted.formats[0]
    if stored.frames > 1 and target in _MOVING:
        size = _size(stored, wanted, target)
        try:
            check_rendered_size(*size, stored.frames, target.content_type)
        except TooManyPixels:
            pass
        else:
            return _movie(stored, clean, size, target)
    return _still(stored, clean, wanted)


def _still(stored: StoredPicture, clean: bytes, wanted: Wanted) -> Rendition:
    source = open_image(stored.format, clean)
    profile = profile_of(source)
    if stored.format is JPEG:
        size = _size(stored, wanted, wanted.formats[0])
        # Decodes at a half, a quarter or an eighth of the size, and still reads every byte.
        source.draft(None, geometry.size_to_fill((stored.width, stored.height), size, "cover"))
    if stored.frames > 1:
        picture = Frames(stored, clean).frame(0)
    else:
        load(source, clean)
        picture = to_eight_bits(source)
    is_translucent = picture.mode in ("LA", "RGBA")
    target = wanted.formats[-1] if is_translucent else wanted.formats[0]
    size = _size(stored, wanted, target)
    if size == stored.upright_size and target is stored.format and stored.frames == 1:
        return Rendition("rendition", clean, *target[1:], *size, animated=False)
    picture = to_srgb(geometry.resize(picture, size, "cover"), profile)
    if target is JPEG and is_translucent:
        picture = geometry.upon_white(picture)
    data = encode_for_web(picture, target)
    return Rendition("rendition", data, *target[1:], *size, animated=False)


def _movie(stored: StoredPicture, clean: bytes, size: tuple[int, int], target: Format) -> Rendition:
    if size == stored.upright_size and target is stored.format:
        return Rendition("rendition", clean, *target[1:], *size, animated=True)
    frames = Frames(stored, clean)
    durations_ms, translucent = frames.survey()

    def frame_to_write(index: int) -> Image.Image:
        resized = geometry.resize(frames.frame(index), size, "cover")
        return to_srgb(resized, frames.profile).convert("RGBA" if translucent else "RGB")

    data = encode_movie(
        Movie(frames.count, frame_to_write),
        target,
        durations_ms=durations_ms,
        loop=frames.loop,
        translucent=translucent,
    )
    # Writers note the time of day.
    data = formats.clean(data)
    animated = formats.header(data).frames > 1
    return Rendition("rendition", data, *target[1:], *size, animated=animated)


def _size(stored: StoredPicture, wanted: Wanted, target: Format) -> tuple[int, int]:
    """Never larger than the picture, nor than what the format can hold."""
    width, height = stored.upright_size
    across, down = wanted.ratio or (width, height)
    made = min(wanted.width, width, max(1, height * across // down))
    if longest := LONGEST_SIDE.get(target):
        made = min(made, longest, longest * across // down)
    if target is AVIF:
        made = min(made, math.isqrt(MAX_RENDERED_AVIF_PIXELS * across // down))
    made = max(1, made)
    return made, max(1, round(made * down / across))
