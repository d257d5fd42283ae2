"""A rendition of 12 megapixels beside what libvips takes for one, in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ROUNDS = 15
_CHILD = """\
import sys, time
from pathlib import Path
from image_api.imaging.model import WEBP, Wanted
from image_api.imaging.pixels.requested_renditions import render_wanted
served, wanted = Path(sys.argv[1]).read_bytes(), Wanted(640, None, (WEBP,))
for _ in range(int(sys.argv[2])):
    wall, cpu = time.perf_counter(), time.process_time()
    render_wanted(served, wanted)
    print((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
"""


class _Took(NamedTuple):
    """The best of several rounds: what else the machine does only adds to it."""

    wall_ms: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"{self.wall_ms:.0f} ms, {self.cpu_ms:.0f} ms of CPU"


def rows(photo: bytes, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is measured, and its figure in words."""
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served.jpg"
        served.write_bytes(photo)
        ours = _ours(served, environment)
        yield "rendition, 12 megapixels to 640 px WebP", str(ours)
        if shutil.which("vipsthumbnail") is None:
            yield "the same by libvips", "not measured: vipsthumbnail is not installed"
            return
        made = str(Path(folder) / "made.webp") + "[Q=80,effort=2]"
        whole = _command("vipsthumbnail", str(served), "-s", "640", "-o", made)
        start = _command("vipsthumbnail", "--vips-version")
        vips = _Took(whole.wall_ms - start.wall_ms, whole.cpu_ms - start.cpu_ms)
        yield "the same by libvips, without its start", str(vips)
        yield (
            "times libvips",
            f"{ours.wall_ms / vips.wall_ms:.2f}, {ours.cpu_ms / vips.cpu_ms:.2f} in CPU",
        )


def _ours(served: Path, environment: dict[str, str]) -> _Took:
    layers = Path(__file__).parents[1] / "layers" / "common"
    printed = subprocess.check_output(
        [sys.executable, "-c", _CHILD, str(served), str(_ROUNDS)],
        env={**environment, "PYTHONPATH": str(layers)},
        text=True,
    )
    times = [[float(number) for number in line.split()] for line in printed.splitlines()]
    return _Took(min(wall for wall, _ in times), min(cpu for _, cpu in times))


def _command(*command: str) -> _Took:
    times = []
    for _ in range(_ROUNDS):
        started_at = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
        times.append(_Took((time.perf_counter() - started_at) * 1000, cpu_ms))
    return _Took(min(each.wall_ms for each in times), min(each.cpu_ms for each in times))
