"""What the costliest files may take: of whoever reads their header, and of whoever renders them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.application import ROOT
from tests.worst_files import SAME_AT_ANY_SIZE, WORST

SIZES = {"4.5 MB": 4_500_000, "50 MB": 50_000_000}
# A process of its own for each: the peak of memory is never forgotten.
MEASURE = """
import json, re, sys, time
from image_api.errors import InvalidImage
from image_api.imaging.headers.formats import identify
if sys.argv[1] == "render":
    from image_api.imaging.pixels.rendering import render
with open(sys.argv[2], "rb") as file:
    data = file.read()
call = {"identify": identify, "render": lambda data: render(data)}[sys.argv[1]]
def peak_mb():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s*(\\d+)", status.read())[1]) / 1024
before_mb, started = peak_mb(), time.process_time()
try:
    call(data)
    refused = None
except InvalidImage as error:
    refused = error.detail
print(json.dumps({
    "refused": refused,
    "cpu_seconds": time.process_time() - started,
    "beyond_mb": peak_mb() - before_mb,
    "peak_mb": peak_mb(),
}))
"""


def measured(what: str, path: Path) -> dict[str, float | str | None]:
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, what, str(path)],
        env={"PYTHONPATH": str(ROOT / "layers" / "common")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    figures: dict[str, float | str | None] = json.loads(answer.stdout)
    print(f"{what}: {figures}")
    return figures


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (name, size)
        for name in WORST
        for size in SIZES
        if name not in SAME_AT_ANY_SIZE or size == "50 MB"
    ],
)
def test_the_costliest_files_cost_what_is_promised(tmp_path: Path, name: str, size: str) -> None:
    path = tmp_path / "picture"
    data = WORST[name](SIZES[size])
    assert len(data) <= SIZES[size] + 1_000
    path.write_bytes(data)
    del data

    read = measured("identify", path)

    assert float(read["cpu_seconds"] or 0) <= 0.5
    assert float(read["beyond_mb"] or 0) <= 64
    if read["refused"] is None:
        rendered = measured("render", path)
        assert float(rendered["cpu_seconds"] or 0) <= 60
        assert float(rendered["peak_mb"] or 0) <= 1_500
