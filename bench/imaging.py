"""How long rendering takes, and how much memory: `python -m bench.imaging` from the root.

Each case runs in a fresh process, which imports nothing but what the consumer does. Peak memory is
that of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    name: str
    make: Callable[[], bytes]
    rounds: int = 9
    size: tuple[int, int] | None = None
    threads: int = 1


def cases() -> list[Case]:
    from PIL import Image

    from tests import samples

    def photo(width: int, height: int) -> Image.Image:
        """With the grain of a real camera: a picture enlarged from a small one is too smooth."""
        grain = Image.effect_noise((width // 2, height // 2), 24).resize((width, height))
        enlarged = samples.photo(width, height, "hubble_deep_field.jpg")
        return Image.blend(enlarged, Image.merge("RGB", (grain,) * 3), 0.25)

    def moving(count: int, width: int, height: int) -> list[Image.Image]:
        picture = samples.photo(width, height, "coffee.png")
        return [picture.rotate(360 * index / count).quantize(128) for index in range(count)]

    def gif() -> bytes:
        return samples.animation("image/gif", moving(100, 480, 360), duration=40)

    large = (4000, 3000)
    return [
        Case("JPEG 12 MP", lambda: samples.jpeg(photo(*large))),
        Case(
            "JPEG 12 MP with EXIF, to be turned",
            lambda: samples.jpeg(photo(*large), exif=samples.exif(6)),
        ),
        Case(
            "JPEG 12 MP in Display P3",
            lambda: samples.jpeg(photo(*large), icc_profile=samples.display_p3_profile()),
        ),
        Case("JPEG 12 MP, to 1920x1080", lambda: samples.jpeg(photo(*large)), size=(1920, 1080)),
        Case("JPEG 12 MP, two threads", lambda: samples.jpeg(photo(*large)), 10, threads=2),
        Case("PNG 1 MP", lambda: samples.png(photo(1200, 900))),
        Case("PNG 1 MP, to 800x600", lambda: samples.png(photo(1200, 900)), size=(800, 600)),
        Case("PNG 12 MP", lambda: samples.png(photo(*large), compress_level=1), 3),
        Case("WebP 12 MP", lambda: samples.webp(photo(*large)), 3),
        Case("AVIF 12 MP", lambda: samples.avif(photo(*large)), 3),
        Case("HEIC 12 MP", lambda: samples.heic(photo(*large)), 3),
        Case("TIFF 12 MP", lambda: samples.tiff(photo(*large)), 3),
        Case("JPEG 50 MP", lambda: samples.jpeg(photo(8000, 6250)), 3),
        Case(
            "JPEG 50 MP, to be turned",
            lambda: samples.jpeg(photo(8000, 6250), exif=samples.exif(6)),
            1,
        ),
        Case("PNG 50 MP", lambda: samples.png(photo(8000, 6250), compress_level=1), 1),
        Case(
            "PNG 50 MP, with alpha",
            lambda: samples.png(samples.translucent(8000, 6250), compress_level=1),
            1,
        ),
        Case("WebP 50 MP", lambda: samples.webp(photo(8000, 6250), method=0), 1),
        Case("GIF of 100 frames 480x360", gif, 3),
        Case("GIF of 100 frames, to 640x480", gif, 1, size=(640, 480)),
    ]


def measured(path: Path, rounds: int, size: tuple[int, int] | None, threads: int) -> None:
    """The child: prints the medians and the peak as JSON."""
    from image_api.imaging.pixels.rendering import render

    original = path.read_bytes()
    durations, cpu_times = [], []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            start, cpu_start = time.perf_counter(), time.process_time()
            for renditions in pool.map(lambda _: render(original, size=size), range(threads)):
                assert len(renditions) == 3
            durations.append((time.perf_counter() - start) / threads * 1e3)
            cpu_times.append((time.process_time() - cpu_start) / threads * 1e3)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    result = {
        "p50_ms": statistics.median(durations),
        "cpu_ms": statistics.median(cpu_times),
        "peak_mb": peak_kib / 1024,
    }
    print(json.dumps(result))


def import_ms(module: str) -> float:
    """The median over fresh processes, with bytecode compiled beforehand where allowed."""
    code = (
        f"import time; start = time.perf_counter(); import {module}; "
        "print((time.perf_counter() - start) * 1e3)"
    )
    return statistics.median(float(output_of("-c", code)) for _ in range(7))


def output_of(*arguments: str) -> str:
    """What a fresh interpreter prints, which finds the same modules as this one."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.check_output([sys.executable, *arguments], env=environment, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, rounds, size, threads = arguments.measure
        measured(Path(path), rounds, size and (size[0], size[1]), threads)
        return
    print(f"{'per image':<38}{'file':>9}{'p50':>10}{'CPU':>10}{'peak of process':>18}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original"
        for case in cases():
            if arguments.only not in case.name:
                continue
            path.write_bytes(case.make())
            job = json.dumps([str(path), case.rounds, case.size, case.threads])
            result = json.loads(output_of("-m", "bench.imaging", "--measure", job))
            megabytes = path.stat().st_size / 1e6
            print(
                f"{case.name:<38}{megabytes:>6.1f} MB{result['p50_ms']:>7.0f} ms"
                f"{result['cpu_ms']:>7.0f} ms"
                f"{result['peak_mb']:>15.0f} MB",
                flush=True,
            )
    for module in ("image_api.imaging", "image_api.imaging.pixels.rendering"):
        print(f"import {module}: {import_ms(module):.0f} ms")


if __name__ == "__main__":
    main()
