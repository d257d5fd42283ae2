"""ThumbHash: a picture in some 25 bytes, for a page to show until the picture is there.

As its reference encoder has it (https://evanw.github.io/thumbhash/), to the bit: whatever decodes
one decodes ours. Sums are taken in the same order, since what rounds otherwise is another hash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from operator import add, mul
from typing import NamedTuple

from PIL import Image

# The reference takes up to 100; what is read of a picture is seven waves across it at most.
_LONGEST_SIDE_PIXELS = 32
MAX_BYTES = 25


class _Channel(NamedTuple):
    """Of a picture's cosine transform the constant, and the waves in relation to their scale."""

    constant: float
    waves: list[float]
    scale: float


def thumbhash(picture: Image.Image) -> bytes:
    """Of a picture in sRGB, of any size."""
    small = picture.copy()
    small.thumbnail((_LONGEST_SIDE_PIXELS, _LONGEST_SIDE_PIXELS), Image.Resampling.BOX)
    return hash_of_pixels(*small.size, small.convert("RGBA").tobytes())


def hash_of_pixels(width: int, height: int, rgba: bytes) -> bytes:
    """Four bytes a pixel, row by row; at most 100 pixels wide and high."""
    alpha = [value / 255 for value in rgba[3::4]]
    total_alpha = _sum(alpha)
    has_alpha = total_alpha < width * height
    light, yellow_blue, red_green = _colours(rgba, alpha, total_alpha)

    longest = max(width, height)
    most = 5 if has_alpha else 7
    across = max(1, _rounded(most * width / longest))
    down = max(1, _rounded(most * height / longest))
    size = (width, height)
    l = _transformed(light, size, max(3, across), max(3, down))  # noqa: E741
    p = _transformed(yellow_blue, size, 3, 3)
    q = _transformed(red_green, size, 3, 3)
    channels = [l, p, q]

    is_landscape = width > height
    colours = (
        _rounded(63 * l.constant)
        | _rounded(31.5 + 31.5 * p.constant) << 6
        | _rounded(31.5 + 31.5 * q.constant) << 12
        | _rounded(31 * l.scale) << 18
        | has_alpha << 23
    )
    shape = (
        (down if is_landscape else across)
        | _rounded(63 * p.scale) << 3
        | _rounded(63 * q.scale) << 9
        | is_landscape << 15
    )
    made = bytearray(colours.to_bytes(3, "little") + shape.to_bytes(2, "little"))
    if has_alpha:
        a = _transformed(alpha, size, 5, 5)
        channels.append(a)
        made.append(_rounded(15 * a.constant) | _rounded(15 * a.scale) << 4)
    halves = [_rounded(15 * wave) for channel in channels for wave in channel.waves]
    halves += [0] * (len(halves) % 2)
    made += bytes(low | high << 4 for low, high in zip(halves[::2], halves[1::2], strict=True))
    return bytes(made)


def _colours(
    rgba: bytes, alpha: list[float], total_alpha: float
) -> tuple[list[float], list[float], list[float]]:
    """Lightness, yellow against blue, red against green, upon the average colour."""
    composed = []
    for values in (rgba[0::4], rgba[1::4], rgba[2::4]):
        shown = [opaque / 255 * value for opaque, value in zip(alpha, values, strict=True)]
        average = _sum(shown)
        if total_alpha:
            average /= total_alpha
        composed.append(
            [average * (1 - opaque) + value for opaque, value in zip(alpha, shown, strict=True)]
        )
    pixels = list(zip(*composed, strict=True))
    return (
        [(red + green + blue) / 3 for red, green, blue in pixels],
        [(red + green) / 2 - blue for red, green, blue in pixels],
        [red - green for red, green, _ in pixels],
    )


def _transformed(channel: list[float], size: tuple[int, int], across: int, down: int) -> _Channel:
    width, height = size
    constant, scale = 0.0, 0.0
    waves = []
    for y_wave in range(down):
        columns = _repeated(_wave(y_wave, height), width)
        for x_wave in range(across):
            if x_wave * down >= across * (down - y_wave):
                break
            rows = _wave(x_wave, width) * height
            found = _sum(map(mul, map(mul, channel, rows), columns)) / (width * height)
            if x_wave or y_wave:
                waves.append(found)
                scale = max(scale, abs(found))
            else:
                constant = found
    if scale:
        waves = [0.5 + 0.5 / scale * wave for wave in waves]
    return _Channel(constant, waves, scale)


def _wave(number: int, length: int) -> list[float]:
    return [math.cos(math.pi / length * number * (place + 0.5)) for place in range(length)]


def _repeated(values: list[float], times: int) -> list[float]:
    return [value for value in values for _ in range(times)]


def _sum(values: Iterable[float]) -> float:
    """One after the other: Python's own sums are more exact than the reference's."""
    return reduce(add, values, 0.0)


def _rounded(value: float) -> int:
    """Halves go up, as in JavaScript."""
    return math.floor(value + 0.5)
