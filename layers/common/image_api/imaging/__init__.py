"""Pictures: bytes in, bytes out. No file, no network, no environment.

Here is what all who speak of pictures share. `headers` reads what a file says of itself, without an
imaging library, so that an upload does not pay for one; `pixels` decodes and encodes, and only who
renders loads it.
"""

from __future__ import annotations

from image_api.imaging.model import (
    MAX_PIXELS,
    RENDERER_VERSION,
    Fit,
    Header,
    Rendition,
    check_rendered_size,
)

__all__ = [
    "MAX_PIXELS",
    "RENDERER_VERSION",
    "Fit",
    "Header",
    "Rendition",
    "check_rendered_size",
]
