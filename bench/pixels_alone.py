"""The pixels' work of one picture, again and again, in a process that does nothing else.

`python pixels_alone.py ours|libvips PICTURE ROUNDS` prints the milliseconds of CPU of each
round. For libvips it runs on any Python that has pyvips.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# As image_api.imaging has them, which another Python does not know.
PREVIEW_PIXELS, THUMBNAIL_PIXELS = 1600, 320
PREVIEW_QUALITY, QUALITY = 80, 90


def ours() -> Callable[[bytes], object]:
    from image_api.imaging.pixels.rendering import render

    return render


def libvips() -> Callable[[bytes], object]:
    # Renderers run side by side, each on one processor.
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips  # type: ignore[import-not-found]

    pyvips.cache_set_max(0)

    def render(data: bytes) -> object:
        def within(pixels: int) -> dict[str, object]:
            return {"height": pixels, "size": "down"}

        # Decodes at a part of the size, turns upright, brings to sRGB.
        preview = pyvips.Image.thumbnail_buffer(data, PREVIEW_PIXELS, **within(PREVIEW_PIXELS))
        # Made once, and not once for each of the two.
        preview = preview.copy_memory()
        thumbnail = preview.thumbnail_image(THUMBNAIL_PIXELS, **within(THUMBNAIL_PIXELS))
        made = [
            small.webpsave_buffer(Q=PREVIEW_QUALITY, effort=0) for small in (preview, thumbnail)
        ]
        if pyvips.Image.new_from_buffer(data, "").get_typeof("orientation"):
            # Served upright, like ours.
            turned = pyvips.Image.new_from_buffer(data, "").autorot()
            made.append(turned.jpegsave_buffer(Q=QUALITY))
        return made

    return render


def main() -> None:
    what, path, rounds = sys.argv[1:]
    render = {"ours": ours, "libvips": libvips}[what]()
    data = Path(path).read_bytes()
    render(data)
    cpu_ms = []
    for _ in range(int(rounds)):
        started_at = time.process_time()
        render(data)
        cpu_ms.append((time.process_time() - started_at) * 1000)
    print(json.dumps(cpu_ms))


if __name__ == "__main__":
    main()
