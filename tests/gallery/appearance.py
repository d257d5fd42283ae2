"""How the gallery looks, beside how it looked when somebody last said that it was right."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, ImageChops, ImageFilter

from tests.variables import ROOT

REFERENCES = Path(__file__).with_name("screenshots")
_SEEN = ROOT / ".cache" / "gallery"
IS_ACCEPTING = os.environ.get("SCREENSHOTS") == "accept"

# Edges of letters and pixels of photos differ a little from one Chromium, and one codec, to the
# next: what is left of that when it is blurred is far below this, of 255, in each colour.
_BLUR_PIXELS = 1.5
_TOLERANCE = 20
# Less is a speck that nobody sees.
_DIFFERENT_PIXELS = 30

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
  <match target="pattern">
    <edit name="family" mode="assign" binding="strong"><string>Inter</string></edit>
  </match>
</fontconfig>
"""


def font_settings(fonts: Path, folder: Path) -> Path:
    """For FONTCONFIG_FILE: the tests' own font, whatever the system has and a page asks for."""
    path = folder / "fonts.conf"
    text = _FONTS.format(fonts=escape(str(fonts)), cache=escape(str(folder / "cache")))
    path.write_text(text, encoding="utf-8")
    return path


def difference(name: str, screenshot: bytes) -> str | None:
    """What there is to say about it, if it differs from the reference of this name."""
    reference = REFERENCES / f"{name}.webp"
    # What is lost by keeping it small is lost on both sides.
    kept = _compressed(screenshot)
    if reference.exists():
        pixels = _different_pixels(reference.read_bytes(), kept)
        if pixels < _DIFFERENT_PIXELS:
            return None
        said = f"{name}: {pixels} pixels differ from {reference}"
    else:
        said = f"{name}: there is no {reference}"
    seen = (REFERENCES if IS_ACCEPTING else _SEEN) / reference.name
    seen.parent.mkdir(parents=True, exist_ok=True)
    seen.write_bytes(kept)
    return None if IS_ACCEPTING else f"{said}; it looks like {seen}"


def _different_pixels(one: bytes, other: bytes) -> int:
    pictures = [Image.open(BytesIO(each)).convert("RGB") for each in (one, other)]
    if pictures[0].size != pictures[1].size:
        return pictures[1].width * pictures[1].height
    blur = ImageFilter.GaussianBlur(_BLUR_PIXELS)
    apart = ImageChops.difference(*(each.filter(blur) for each in pictures))
    worst = apart.getchannel(0)
    for band in (1, 2):
        worst = ImageChops.lighter(worst, apart.getchannel(band))
    return sum(worst.histogram()[_TOLERANCE + 1 :])


def _compressed(screenshot: bytes) -> bytes:
    output = BytesIO()
    with Image.open(BytesIO(screenshot)) as image:
        image.convert("RGB").save(output, "WEBP", quality=80, method=4)
    return output.getvalue()
