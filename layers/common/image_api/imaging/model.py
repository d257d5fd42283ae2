"""What goes in and comes out of `imaging`, and the bounds that every picture must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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

Fit = Literal["cover", "contain", "stretch"]


@dataclass(frozen=True, slots=True)
class Header:
    """What the bytes say before any pixel is decoded; the size in pixels is upright."""

    content_type: str
    extension: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Rendition:
    """One picture to store. A still of a moving original has `animated` false."""

    name: Literal["image", "preview", "thumbnail"]
    data: bytes
    content_type: str
    extension: str
    width: int
    height: int
    animated: bool


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
