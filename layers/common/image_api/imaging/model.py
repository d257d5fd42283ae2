"""What goes in and comes out of `imaging`, and the bounds that every picture must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from image_api.errors import DamagedImage, TooManyPixels

MAX_PIXELS = 50_000_000
"""The largest picture, by its header: at four bytes a pixel, decoding it takes 200 MB."""

MAX_FRAMES = 5_000
MAX_FRAME_PIXELS = 4096 * 4096
"""The largest animation: decoders hold four or five whole frames at once."""
MAX_ANIMATION_PIXELS = 500_000_000
"""The longest animation that is read, width x height x frames: about 10 s of decoding."""

MAX_RENDERED_ANIMATION_PIXELS = 100_000_000
"""The longest animation that is encoded anew: Pillow's writers hold every frame until the end."""

MAX_AVIF_SIDE_PIXELS = 32_768
"""libavif opens no AVIF that is wider or higher."""
MAX_RENDERED_AVIF_PIXELS = 36_000_000
"""The largest still that is encoded as AVIF: its encoder holds 20 bytes for each pixel."""
MAX_RENDERED_AVIF_FRAME_PIXELS = 2048 * 2048
"""The largest frame of an AVIF that is encoded anew: its encoder holds 80 bytes for each pixel."""
MAX_AVIF_FRAMES_BYTES = 700_000_000
"""What the decoder of an AVIF that moves may hold: it refers to as many as eight frames."""

PREVIEW_PIXELS = 1600
THUMBNAIL_PIXELS = 320
"""The longest side of a preview and of a thumbnail."""

RENDERER_VERSION = 3
"""Goes up with every change that makes other pixels or leaves less in a file: what an older version
made is then rendered anew."""

MAX_PROFILE_BYTES = 4 << 20
"""The largest colour profile that is read."""

Fit = Literal["cover", "contain", "stretch"]
Area = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels from the top left corner."""


class Format(NamedTuple):
    name: str
    content_type: str
    extension: str


JPEG = Format("JPEG", "image/jpeg", "jpg")
PNG = Format("PNG", "image/png", "png")
GIF = Format("GIF", "image/gif", "gif")
WEBP = Format("WebP", "image/webp", "webp")
AVIF = Format("AVIF", "image/avif", "avif")
TIFF = Format("TIFF", "image/tiff", "tiff")
BMP = Format("BMP", "image/bmp", "bmp")
HEIC = Format("HEIC", "image/heic", "heic")
HEIF = Format("HEIF", "image/heif", "heif")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rendition on demand: at most `width` pixels wide, cut to `ratio` from the middle if there
    is one, in the first of `formats`, or in the last where the picture is transparent.
    """

    width: int
    ratio: tuple[int, int] | None
    formats: tuple[Format, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What the bytes say before any pixel is decoded; the size in pixels is upright."""

    content_type: str
    extension: str
    width: int
    height: int
    frames: int = 1
    taken_at: str | None = None
    """When, by the camera's clock: such as 2024-11-02T18:10:16."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """All that a decoder has to know of a file, whose size is that of the pixels as stored,
    less what is cropped away."""

    format: Format
    width: int
    height: int
    orientation: int = 1
    """How the stored pixels are turned upright, as in EXIF (1 to 8)."""
    crop: Area | None = None
    """The part of the decoded pixels that is to be shown, where that is not all of them."""
    frames: int = 1
    web_safe: bool = False
    """Browsers show the stored pixels as they should be seen."""
    taken_at: str | None = None
    """When, by the camera's clock."""

    @property
    def upright_size(self) -> tuple[int, int]:
        if self.orientation >= 5:
            return self.height, self.width
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class Rendition:
    """One picture to store. A still of a moving original has `animated` false.

    `placeholder`: of the thumbnail, a ThumbHash of it.
    """

    name: Literal["image", "preview", "thumbnail", "rendition"]
    data: bytes
    content_type: str
    extension: str
    width: int
    height: int
    animated: bool
    placeholder: bytes | None = None


def check_size(width: int, height: int, frames: int = 1) -> None:
    """Refuse what has no area, and what would take too much memory or time to decode."""
    if width < 1 or height < 1:
        raise DamagedImage(f"The image is damaged: its header says {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise TooManyPixels(
            f"The image has {width}x{height} pixels; "
            f"at most {MAX_PIXELS // 1_000_000} megapixels are accepted"
        )
    if frames > MAX_FRAMES:
        raise TooManyPixels(f"The animation has {frames} frames; at most {MAX_FRAMES} are accepted")
    if frames > 1 and width * height > MAX_FRAME_PIXELS:
        raise TooManyPixels(
            f"The animation has {width}x{height} pixels; at most "
            f"{MAX_FRAME_PIXELS // 1_000_000} megapixels are accepted for one that moves"
        )
    if frames > 1 and width * height * frames > MAX_ANIMATION_PIXELS:
        raise TooManyPixels(
            f"The animation has {frames} frames of {width}x{height} pixels; at most "
            f"{MAX_ANIMATION_PIXELS // 1_000_000} megapixels over all frames are accepted"
        )


def check_rendered_size(width: int, height: int, frames: int, content_type: str) -> None:
    """Refuse an animation that would take too much memory to encode anew: TooManyPixels."""
    if frames == 1:
        return
    if content_type == AVIF.content_type and width * height > MAX_RENDERED_AVIF_FRAME_PIXELS:
        raise TooManyPixels(
            f"An AVIF that moves can be made with at most "
            f"{MAX_RENDERED_AVIF_FRAME_PIXELS // 1_000_000} megapixels, not {width}x{height}"
        )
    if width * height > MAX_FRAME_PIXELS or width * height * frames > MAX_RENDERED_ANIMATION_PIXELS:
        raise TooManyPixels(
            f"{frames} frames of {width}x{height} pixels are too many; choose a smaller "
            f"size: at most {MAX_RENDERED_ANIMATION_PIXELS // 1_000_000} megapixels over all frames"
        )
