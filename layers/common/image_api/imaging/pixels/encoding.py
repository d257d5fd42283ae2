"""Files for the web, made from pixels. None of them carries metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import (
    AvifImagePlugin,  # noqa: F401 (registers its writer)
    Image,
    JpegImagePlugin,
    WebPImagePlugin,  # noqa: F401 (registers its writer)
)

from image_api.imaging.model import (
    AVIF,
    GIF,
    JPEG,
    MAX_AVIF_SIDE_PIXELS,
    MAX_RENDERED_AVIF_PIXELS,
    PNG,
    WEBP,
    Format,
)

_QUALITY = 90
_AVIF_QUALITY = 75
# At the slower speeds AVIF takes seconds, and its files hardly shrink.
_AVIF_SPEED = 9
# Level 6 takes twice as long for 4 % less.
_PNG_COMPRESS_LEVEL = 4
_WEBP_METHOD = 2
LONGEST_SIDE = {JPEG: 65_500, WEBP: 16_383, GIF: 65_535, AVIF: MAX_AVIF_SIDE_PIXELS}
"""In pixels, as encoders bound it, of AVIF its decoders; PNG goes further than we do."""

_TINY_PIXELS = 64

_WEB_OPTIONS: dict[Format, dict[str, Any]] = {
    JPEG: {"quality": 82, "subsampling": 2, "progressive": True},
    PNG: {"compress_level": _PNG_COMPRESS_LEVEL},
    WEBP: {"quality": 80, "method": _WEBP_METHOD},
    AVIF: {"quality": 62, "speed": _AVIF_SPEED},
}

_GIF_COLOURS = 255
_GIF_TRANSPARENT = 255
_GIF_SAMPLE = 128


@dataclass(frozen=True, slots=True)
class JpegTables:
    """How a JPEG was quantised, so that the same picture, turned, loses next to nothing."""

    tables: list[list[int]]
    halved_chroma: bool

    def transpose(self) -> JpegTables:
        """For a picture whose rows became columns."""
        return JpegTables(
            [[table[8 * (i % 8) + i // 8] for i in range(64)] for table in self.tables],
            self.halved_chroma,
        )


def tables_of(image: Image.Image) -> JpegTables | None:
    """None for other formats than JPEG, and for tables that a baseline JPEG cannot hold."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    tables = [list(table) for _, table in sorted(image.quantization.items())]
    if not 1 <= len(tables) <= 4 or max(max(table) for table in tables) > 255:
        return None
    return JpegTables(tables, JpegImagePlugin.get_sampling(image) == 2)


def web_format(original: Format, image: Image.Image) -> Format:
    """The original's own format where browsers show it, else JPEG, or PNG for transparency."""
    chosen = original
    is_too_large = original is AVIF and image.width * image.height > MAX_RENDERED_AVIF_PIXELS
    if is_too_large or original not in (JPEG, PNG, GIF, WEBP, AVIF):
        chosen = PNG if image.mode in ("LA", "RGBA") else JPEG
    return chosen if max(image.size) <= LONGEST_SIDE.get(chosen, max(image.size)) else PNG


def encode(
    image: Image.Image,
    target: Format,
    *,
    tables: JpegTables | None = None,
    halved_chroma: bool = True,
) -> bytes:
    """The image (L, LA, RGB or RGBA, in sRGB) as one still file."""
    options: dict[str, Any] = {}
    if target is JPEG and tables is not None:
        options = {"qtables": tables.tables, "subsampling": 2 if tables.halved_chroma else 0}
    elif target is JPEG:
        options = {"quality": _QUALITY, "subsampling": 2 if halved_chroma else 0}
    elif target is PNG:
        options = {"compress_level": _PNG_COMPRESS_LEVEL}
    elif target is WEBP:
        options = {"quality": _QUALITY, "method": _WEBP_METHOD}
    elif target is AVIF:
        options = {"quality": _AVIF_QUALITY, "speed": _AVIF_SPEED}
    elif target is GIF:
        image = to_palette(image.convert("RGBA"), dither=Image.Dither.FLOYDSTEINBERG)
    return _save(image, target, options)


def encode_small(image: Image.Image) -> bytes:
    """A preview or thumbnail: WebP by its fastest method, 20 % larger in a fifth of the time."""
    if max(image.size) <= _TINY_PIXELS:
        # Of an icon or of pixel art, halved chroma leaves mud.
        return _save(image, WEBP, {"lossless": True, "method": 0})
    return _save(image, WEBP, {"quality": 80, "method": 0})


def encode_for_web(image: Image.Image, target: Format) -> bytes:
    """As small as one cannot see: what is kept and shown at one size needs no reserve."""
    if max(image.size) <= _TINY_PIXELS and target is WEBP:
        return encode_small(image)
    return _save(image, target, _WEB_OPTIONS[target])


def _save(image: Image.Image, target: Format, options: dict[str, Any]) -> bytes:
    output = BytesIO()
    image.save(output, target.name, **options)
    return output.getvalue()


def to_palette(image: Image.Image, *, dither: Image.Dither) -> Image.Image:
    """RGBA in at most 255 colours, and one more for what is less than half opaque."""
    opaque = image.convert("RGB")
    # Choosing colours from every pixel takes 0.3 s a frame; a sample shows the same ones.
    sample = opaque.resize(
        (min(image.width, _GIF_SAMPLE), min(image.height, _GIF_SAMPLE)), Image.Resampling.NEAREST
    )
    palette = sample.quantize(_GIF_COLOURS)
    reduced = opaque.quantize(palette=palette, dither=dither)
    hidden = image.getchannel("A").point(lambda alpha: 255 if alpha < 128 else 0)
    if hidden.getbbox() is not None:
        reduced.putpalette((reduced.getpalette() or []) + [0] * (768 - 3 * _GIF_COLOURS))
        reduced.paste(_GIF_TRANSPARENT, mask=hidden)
        reduced.info["transparency"] = _GIF_TRANSPARENT
    return reduced


class Movie(Image.Image):
    """What Pillow's writers take for an animation: each frame is made when it is sought.

    A list of frames would hold all of them in memory at four bytes a pixel.
    """

    def __init__(self, n_frames: int, frame: Callable[[int], Image.Image]) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.is_animated = True
        self._frame = frame
        self._position = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        if not 0 <= frame < self.n_frames:
            raise EOFError("no such frame")
        if frame == self._position:
            return
        current = self._frame(frame)
        self.im = current.im
        self._mode, self._size = current.mode, current.size
        self.palette, self.info = current.palette, current.info
        self._position = frame

    def tell(self) -> int:
        return self._position


def encode_movie(
    movie: Movie,
    target: Format,
    *,
    durations_ms: list[float],
    loop: int | None,
    translucent: bool,
) -> bytes:
    """All frames. `loop` as the formats count it (0: for ever; None: not said, once)."""
    options: dict[str, Any] = {"save_all": True, "duration": durations_ms}
    if loop is not None:
        options["loop"] = loop
    if target is GIF:
        # Where a frame lets the background through, the one before has to be cleared away.
        options["disposal"] = 2 if translucent else 1
    elif target is PNG:
        options["compress_level"] = _PNG_COMPRESS_LEVEL
    elif target is WEBP:
        options |= {"quality": _QUALITY, "method": 0, "duration": [round(d) for d in durations_ms]}
    else:
        options |= {"quality": _AVIF_QUALITY, "speed": _AVIF_SPEED}
        options["duration"] = [round(d) for d in durations_ms]
    return _save(movie, target, options)
