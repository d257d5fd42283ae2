"""The worst HEIF and AVIF files: what reading their headers costs, and rendering them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image

from tests import heif_files, samples
from tests.heif_files import Item, av1, full_box, grid_file, hevc
from tests.samples import box

# As many bytes as an upload may have, and a direct upload.
SIZES_BYTES = (4_500_000, 50_000_000)
HEADER_CPU_SECONDS, HEADER_MB = 0.5, 64
RENDER_CPU_SECONDS, RENDER_MB = 60, 1500

MEASURE = """
import json, re, sys, time
from pathlib import Path
from image_api.errors import InvalidImage
from image_api.imaging.headers.formats import identify
if sys.argv[2] != "identify":
    from image_api.imaging.pixels.rendering import render

data = Path(sys.argv[1]).read_bytes()

def memory_mb(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def measured(work):
    Path("/proc/self/clear_refs").write_text("5")
    before_mb, start = memory_mb("VmRSS"), time.process_time()
    try:
        outcome = work()
    except InvalidImage as refused:
        outcome = f"{type(refused).__name__}: {refused}"
    cpu_seconds = time.process_time() - start
    return outcome, cpu_seconds, memory_mb("VmHWM") - before_mb, memory_mb("VmHWM")

if sys.argv[2] == "identify":
    outcome, *figures = measured(lambda: str(identify(data)))
else:
    size = json.loads(sys.argv[3])
    outcome, *figures = measured(lambda: [r.name for r in render(data, size=size)])
print(json.dumps([outcome, *figures]))
"""


def measured(path: Path, what: str, *arguments: str) -> tuple[Any, float, float, float]:
    """The outcome, CPU seconds, MB beyond what was there before, and MB in all."""
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), what, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    outcome, cpu_seconds, added_mb, peak_mb = json.loads(answer.stdout)
    print(f"{cpu_seconds:.2f} s, {added_mb:.0f} MB more, {peak_mb:.0f} MB in all: {outcome}")
    return outcome, cpu_seconds, added_mb, peak_mb


# --- headers ------------------------------------------------------------------------------------

FREE = box(b"free", b"")


def meta_of(*tables: bytes) -> bytes:
    entry = full_box(b"infe", struct.pack(">HH", 1, 0) + b"hvc1\0", version=2)
    body = full_box(b"pitm", b"\0\1") + full_box(b"iinf", b"\0\1" + entry) + b"".join(tables)
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + full_box(b"meta", body)


def properties_of(*tables: bytes) -> bytes:
    return meta_of(box(b"iprp", box(b"ipco", heif_files.size(64, 64)) + b"".join(tables)))


@functools.cache
def sequence() -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("teal", "red")]
    return samples.avif(frames[0], save_all=True, append_images=frames[1:], duration=100)


def in_movie(boxes: bytes) -> bytes:
    return heif_files.with_box_behind(sequence(), b"moov", boxes)


def many(entry: Callable[[int], bytes], size_bytes: int) -> bytes:
    """As many entries as fit."""
    count = size_bytes // len(entry(0))
    return b"".join(map(entry, range(count)))


def nested(kind: bytes, size_bytes: int) -> bytes:
    """Boxes in boxes, as deep as fits."""
    return many(lambda index: (size_bytes - 8 * index).to_bytes(4, "big") + kind, size_bytes)


def many_properties_of_tiles(size_bytes: int) -> bytes:
    filler = [box(b"free", bytes([value])) for value in range(100)]
    tiles = [Item.of(hevc(), *filler * 2) for _ in range(900)]
    top = heif_files.grid_item(30, 30, 1920, 1920)
    behind = box(b"free", bytes(size_bytes))
    return heif_files.file_of([top, *tiles], [(b"dimg", 1, range(2, 902))], behind=behind)


UNIT = b"\0\0\0\3\x4e\1\0"
HEADERS: dict[str, Callable[[int], bytes]] = {
    "boxes": lambda n: meta_of() + FREE * (n // 8),
    "boxes before meta": lambda n: box(b"ftyp", b"heic" + bytes(4)) + FREE * (n // 8) + meta_of(),
    "boxes in meta": lambda n: meta_of(FREE * (n // 8)),
    "nested meta": lambda n: meta_of(nested(b"meta", n // 8 * 8)),
    "items": lambda n: meta_of(
        full_box(
            b"iinf",
            b"\0\0" + many(
                lambda i: full_box(b"infe", struct.pack(">IH4s", i, 0, b"hvc1"), version=3), n
            ),
        )
    ),
    "places": lambda n: meta_of(
        full_box(
            b"iloc",
            b"\0\0" + (n // 10).to_bytes(4, "big")
            + many(lambda i: struct.pack(">I3H", i, 0, 0, 0), n),
            version=2,
        )
    ),
    "pieces of places": lambda n: meta_of(
        full_box(
            b"iloc",
            b"\x44\0" + (n // 32_010).to_bytes(4, "big")
            + many(lambda i: struct.pack(">I3H", i, 0, 0, 4_000) + bytes(32_000), n),
            version=2,
        )
    ),
    "properties": lambda n: meta_of(box(b"iprp", box(b"ipco", FREE * (n // 8)))),
    "associations": lambda n: properties_of(
        full_box(
            b"ipma",
            (n // 5).to_bytes(4, "big") + many(lambda i: struct.pack(">IB", i, 0), n),
            version=1,
        )
    ),
    "associations of many": lambda n: properties_of(
        full_box(
            b"ipma",
            (n // 260).to_bytes(4, "big")
            + many(lambda i: struct.pack(">IB", i, 255) + b"\1" * 255, n),
            version=1,
        )
    ),
    "tables of associations": lambda n: properties_of(
        many(lambda i: full_box(b"ipma", bytes(4), version=i % 256, flags=i), n)
    ),
    "references": lambda n: meta_of(
        full_box(b"iref", many(lambda i: box(b"dimg", struct.pack(">2H", i % 65_536, 0)), n))
    ),
    "kinds of references": lambda n: meta_of(
        full_box(b"iref", many(lambda i: box(struct.pack(">I", i), struct.pack(">2H", 1, 0)), n))
    ),
    "long references": lambda n: meta_of(
        full_box(
            b"iref",
            many(
                lambda i: box(struct.pack(">I", i), struct.pack(">2H", 1, 65_535) + bytes(131_070)),
                n,
            ),
        )
    ),
    "units of HEVC": lambda n: heif_files.file_of(
        [Item.of(dataclasses.replace(hevc(), data=hevc().data + UNIT * (n // len(UNIT))))]
    ),
    "units of AV1": lambda n: heif_files.file_of(
        [Item.of(dataclasses.replace(av1(), data=b"\x12\0" * (n // 2) + av1().data))]
    ),
    "headers of AV1": lambda n: heif_files.file_of(
        [Item.of(dataclasses.replace(av1(), data=alternating_headers(n)))]
    ),
    "units that tiles share": lambda n: grid_file(
        [dataclasses.replace(hevc(), data=hevc().data + UNIT * (min(n, 4_000_000) // 7_000))] * 900,
        30,
        30,
    ),
    "properties of tiles": many_properties_of_tiles,
    "boxes of a movie": lambda n: in_movie(FREE * (n // 8)),
    "tracks": lambda n: in_movie(box(b"trak", b"") * (n // 8)),
    "tables of tracks": lambda n: in_movie(
        box(b"trak", many(lambda i: box(struct.pack(">I", i), b""), 8_000)) * (n // 8_008)
    ),
    "nested boxes of a track": lambda n: in_movie(box(b"trak", nested(b"mdia", n // 8 * 8))),
    "nested containers of a track": lambda n: in_movie(box(b"trak", nested(b"stbl", n // 8 * 8))),
    "properties of a track": lambda n: in_movie(
        box(
            b"trak",
            full_box(
                b"stsd", struct.pack(">I", 1) + box(b"av01", bytes(78) + FREE * (n // 8))
            ),
        )
    ),
    "references of a track": lambda n: in_movie(box(b"trak", box(b"tref", FREE * (n // 8)))),
    "nothing wrong": lambda n: heif_files.file_of(
        [Item.of(hevc())], behind=box(b"free", bytes(n))
    ),
}  # fmt: skip


def alternating_headers(size_bytes: int) -> bytes:
    """Sequence headers of which none is the one before."""
    data = av1().data
    start = data.index(b"\x0a")
    header = data[start : start + 2 + data[start + 1]]
    other = header[:-1] + bytes([header[-1] ^ 0x10])
    return (header + other) * (size_bytes // (2 * len(header))) + data


@pytest.mark.parametrize("size_bytes", SIZES_BYTES)
@pytest.mark.parametrize("name", HEADERS)
def test_reading_the_worst_header_costs_little(tmp_path: Path, name: str, size_bytes: int) -> None:
    path = tmp_path / "worst"
    path.write_bytes(HEADERS[name](size_bytes))

    outcome, cpu_seconds, added_mb, _ = measured(path, "identify")

    assert outcome.startswith(("DamagedImage", "UnsupportedFormat", "Header"))
    assert cpu_seconds <= HEADER_CPU_SECONDS
    assert added_mb <= HEADER_MB


# --- pixels -------------------------------------------------------------------------------------


def translucent_heic_of_ten_bits() -> bytes:
    """49 megapixels in four planes of ten bits."""
    side = 7_000
    heif = pillow_heif.from_bytes("RGBA;16", (side, side), b"\0\x40\0\x80\0\xc0\0\x80" * side**2)
    output = BytesIO()
    heif.save(output, quality=50, chroma=444)
    return output.getvalue()


def grid_over_its_edges() -> bytes:
    """Seven megapixels of tiles for each five of the picture, and as many of transparency."""
    tile, alpha = hevc(2_448, 2_448), hevc(2_448, 2_448, (128,))
    items = [
        heif_files.grid_item(3, 4, 7_345, 4_897),
        *[Item.of(tile)] * 12,
        *[Item.of(alpha, heif_files.ALPHA)] * 12,
    ]
    references = [
        (b"dimg", 1, range(2, 14)),
        *((b"auxl", 14 + index, [2 + index]) for index in range(12)),
    ]
    return heif_files.file_of(items, references)


def turned_avif() -> bytes:
    """49 megapixels that are to be encoded anew."""
    return heif_files.file_of([Item.of(av1(7_000, 7_000), heif_files.turned(1))])


def longest_avif() -> bytes:
    """470 frames of a megapixel."""
    frames = [Image.new("RGB", (1024, 1024), colour) for colour in ("teal", "orange")]
    return samples.avif(frames[0], save_all=True, append_images=frames[::-1] * 235, duration=40)


COSTLIEST: dict[str, tuple[Callable[[], bytes], tuple[int, int] | None]] = {
    "a translucent HEIC of ten bits": (translucent_heic_of_ten_bits, None),
    "a grid that reaches over its edges": (grid_over_its_edges, None),
    "an AVIF that is turned": (turned_avif, None),
    "a long AVIF, made smaller": (longest_avif, (460, 460)),
}


@pytest.mark.parametrize("name", COSTLIEST)
def test_rendering_the_costliest_picture_is_bounded(tmp_path: Path, name: str) -> None:
    make, size = COSTLIEST[name]
    path = tmp_path / "costliest"
    path.write_bytes(make())

    outcome, cpu_seconds, _, peak_mb = measured(path, "render", json.dumps(size))

    assert outcome == ["image", "preview", "thumbnail"]
    assert cpu_seconds <= RENDER_CPU_SECONDS
    assert peak_mb <= RENDER_MB
