"""Pictures: bytes in, bytes out. No file, no network, no environment.

`identify` imports no imaging library, so that an upload does not pay for one.
"""

from __future__ import annotations

from image_api.imaging.formats import identify
from image_api.imaging.model import MAX_PIXELS, Fit, Header, Rendition

__all__ = ["MAX_PIXELS", "Fit", "Header", "Rendition", "identify", "render"]


def render(
    original: bytes, *, size: tuple[int, int] | None = None, fit: Fit = "cover"
) -> list[Rendition]:
    """The image, its preview (fits 1600x1600) and its thumbnail (fits 320x320), in this order.

    Without `size` the image has the original's pixels, upright; with it, exactly that size.
    Raises as `identify` does, and DamagedImage for what only decoding finds.
    """
    from image_api.imaging import rendering  # Pillow: only who renders pays for it

    return rendering.render(original, size=size, fit=fit)
