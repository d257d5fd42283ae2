"""The renderer: what it makes of pictures, how fast, and whom it keeps waiting.

`make bench ARGS=renderer`. With `--against CHECKOUT`, another version's folder after `make setup`,
the two run side by side and take turns, so that whatever else the machine does happens to both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import samples
from bench.cloud import LocalCloud
from image_api.aws.credentials import AwsCredentials
from image_api.aws.lambda_functions import LambdaRenderer
from image_api.aws.objects import StoredObjects
from image_api.aws.requests import SignedRequests
from image_api.aws.signing import UrlSigner
from image_api.aws.transfers import SignedTransfers
from image_api.core.renditions.render_requests import (
    RESULTS_OF_A_PICTURE,
    Picture,
    Renderings,
    Upload,
)
from image_api.imaging.pixels.rendering import render
from image_api.settings import StorageSettings
from tests import worst_files
from tests.e2e.api_client import ApiClient
from tests.processes import descendants, read
from tests.samples import exif
from tests.variables import ROOT
from tests.waiting import eventually

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PATIENCE_SECONDS = 600.0
# The first ones start what has not been used yet.
_WARM_UP = 5
# Of the files that a form may bring, the one that takes longest; so many of one account.
_COSTLIEST, _FORM_BYTES, _COSTLY = "TIFF of 50 megapixels", 4_400_000, 20


@dataclass(frozen=True, slots=True)
class Scale:
    rounds: int
    images: int
    pictures: int
    trips: int
    bystanders: int


FULL = Scale(rounds=5, images=60, pictures=12, trips=60, bystanders=10)
QUICK = Scale(rounds=2, images=40, pictures=5, trips=20, bystanders=4)


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    figure: str
    beside: str = ""


def run(scale: Scale, folder: Path, *, against: Path | None, libvips: Path) -> None:
    rows = [*_pixels_alone(scale, folder, libvips)]
    _progress(rows)
    cloud = LocalCloud(_made(folder / "alone"))
    cloud.start()
    try:
        rows += _round_trip(cloud, scale)
        _progress(rows)
        rows.append(_bystander(cloud, scale))
    finally:
        cloud.stop()
    _progress(rows)
    if against is not None:
        rows += _side_by_side(scale, folder, against)
    print("\n| what | figure | beside it |\n| --- | ---: | ---: |")
    for row in rows:
        print(f"| {row.what} | {row.figure} | {row.beside} |")


def _pixels_alone(scale: Scale, folder: Path, libvips: Path) -> Iterator[Row]:
    """Milliseconds of CPU a picture, ours and libvips taking turns, each on one processor."""
    pythons = {"ours": Path(sys.executable), "libvips": libvips}
    if subprocess.run([libvips, "-c", "import pyvips"], capture_output=True).returncode:
        del pythons["libvips"]
    for name, photo in (
        ("12 MP JPEG", samples.jpeg_12_megapixels()),
        ("12 MP JPEG that is turned", samples.jpeg_12_megapixels(exif=exif(6))),
    ):
        path = folder / "photo.jpg"
        path.write_bytes(photo)
        cpu_ms: dict[str, list[float]] = {which: [] for which in pythons}
        for _ in range(scale.rounds):
            for which, python in pythons.items():
                cpu_ms[which] += _cpu_ms_alone(python, which, path, scale.pictures)
        ours = statistics.median(cpu_ms["ours"])
        beside = "no libvips here (see --libvips)"
        if "libvips" in cpu_ms:
            theirs = statistics.median(cpu_ms["libvips"])
            beside = f"libvips {theirs:.0f} ms: {theirs / ours:.2f} times its rate"
        yield Row(f"pixels alone, {name}, CPU", f"{ours:.0f} ms", beside)


def _cpu_ms_alone(python: Path, which: str, path: Path, rounds: int) -> list[float]:
    program = (python, ROOT / "bench" / "pixels_alone.py", which, path, str(rounds))
    environment = {"PYTHONPATH": str(ROOT / "layers" / "common")} if which == "ours" else {}
    answer = subprocess.run(program, env=environment, stdout=subprocess.PIPE, check=True)
    found: list[float] = json.loads(answer.stdout)
    return found


def _round_trip(cloud: LocalCloud, scale: Scale) -> Iterator[Row]:
    """Of the smallest picture: what is not its pixels, and what of that is not transfers."""
    environment = cloud.environment
    target = StorageSettings(
        environment["IMAGES_BUCKET"],
        environment["AWS_REGION"],
        environment["AWS_ENDPOINT_URL"],
        environment["AWS_ENDPOINT_URL"],
    )
    credentials = AwsCredentials(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], None
    )
    to_lambda = SignedRequests("lambda", target.region, lambda: credentials, connections=1)
    to_s3 = SignedRequests(
        "s3", target.region, lambda: credentials, connections=RESULTS_OF_A_PICTURE
    )
    signer = UrlSigner(target.bucket, target.region, target.endpoint_url, lambda: credentials)
    storage, transfers = StoredObjects(to_s3, target), SignedTransfers()
    name = cloud.function_name("renderer")
    renderings = Renderings(LambdaRenderer(to_lambda, name, cloud.invoke_url), signer, storage)
    picture = Picture("bench/original.jpg", "bench/made", (64, 48), "cover")
    original = samples.jpeg_of_size(100_000)

    def store(key: str, data: bytes, content_type: str) -> None:
        url, shared, (own,) = signer.forms([Upload(key, content_type, len(data))])
        transfers.post(url, {**shared, **own}, data)

    store(picture.source_key, original, "image/jpeg")
    made = render(original, size=picture.size, fit=picture.fit)

    def transfer() -> None:
        """The same files, one after the other, and nothing else."""
        transfers.get(signer.signed(picture.source_key))
        for rendition in made:
            key = f"{picture.folder}/bare-{rendition.name}"
            store(key, rendition.data, rendition.content_type)
            storage.get(key)

    hello = LambdaRenderer(to_lambda, "HelloFunction", cloud.invoke_url)
    actions: dict[str, Callable[[], object]] = {
        "trip": lambda: renderings.render(picture),
        "pixels": lambda: render(original, size=picture.size, fit=picture.fit),
        "transfers": transfer,
        "hello": lambda: hello.invoke(b'{"path": "/hello"}', _PATIENCE_SECONDS),
    }
    rounds = []
    for number in range(scale.trips + _WARM_UP):
        taken = {name: _milliseconds(action) for name, action in actions.items()}
        taken["rest"] = taken["trip"] - taken["pixels"] - taken["transfers"]
        if number >= _WARM_UP:
            rounds.append(taken)
    to_lambda.close()
    to_s3.close()
    ms = {name: statistics.median(taken[name] for taken in rounds) for name in rounds[0]}
    yield Row(
        "a renderer's round trip, 100 KB",
        f"{ms['trip']:.1f} ms",
        f"pixels {ms['pixels']:.1f} ms, the same transfers alone {ms['transfers']:.1f} ms",
    )
    yield Row(
        "the same, pixels and transfers aside",
        f"{ms['rest']:.1f} ms",
        f"a function that does nothing {ms['hello']:.1f} ms",
    )


def _bystander(cloud: LocalCloud, scale: Scale) -> Row:
    """An upload until it is ready, while the costliest files of another account are in work."""
    costly = worst_files.WORST[_COSTLIEST](_FORM_BYTES)
    taker, bystander = ApiClient(cloud.api_url).sign_up(), ApiClient(cloud.api_url).sign_up()
    photo = samples.jpeg_of_size(100_000)
    waits = []
    for _ in range(_COSTLY):
        taker.upload(costly).raise_for_status()
    for _ in range(scale.bystanders):
        uploaded = bystander.upload(photo).json()["id"]
        waits.append(_milliseconds(partial(_wait_until_ready, bystander, uploaded)))
    left = len(taker.images(limit=100, owner="me", status="processing").json())
    return Row(
        f"another's upload until it is ready, beside {_COSTLY} of the costliest files",
        f"{max(waits):.0f} ms at most",
        f"median {statistics.median(waits):.0f} ms of {len(waits)}; then {left} were left to make",
    )


def _wait_until_ready(client: ApiClient, image_id: int) -> None:
    eventually(
        lambda: client.image(image_id).json()["status"] == "ready",
        "the bystander's image is ready",
        patience_seconds=_PATIENCE_SECONDS,
    )


class Side:
    """Another process that runs a checkout's system; see `bench.side`."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self._process = subprocess.Popen(
            [
                checkout / ".venvs" / "dev" / "bin" / "python",
                *(ROOT / "bench" / "side.py", checkout, folder),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        return self._read()

    def cpu_seconds(self) -> float:
        """Of all its processes until now, but for this side's own program."""
        taken = 0.0
        for pid in descendants(self._process.pid):
            if stat := read(pid, "stat"):
                # utime, stime, and both of the children that it waited for.
                fields = stat.rpartition(b")")[2].split()[11:15]
                taken += sum(map(int, fields)) / _TICKS_PER_SECOND
        return taken

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"One side ended with {self._process.wait()}"
        return json.loads(line)


@contextmanager
def _started(checkout: Path, folder: Path) -> Iterator[Side]:
    side = Side(checkout, _made(folder))
    try:
        yield side
    finally:
        side.stop()


def _side_by_side(scale: Scale, folder: Path, against: Path) -> Iterator[Row]:
    rates: dict[str, list[float]] = {"this": [], "that": []}
    cpu_ms: dict[str, list[float]] = {"this": [], "that": []}
    ready_ms: dict[str, list[float]] = {"this": [], "that": []}
    with ExitStack() as stack:
        sides = {
            "this": stack.enter_context(_started(ROOT, folder / "this")),
            "that": stack.enter_context(_started(against.resolve(), folder / "that")),
        }
        # The first round starts what has not been used yet.
        for number in range(scale.rounds + 1):
            # Whoever comes first in one round comes last in the next.
            for name in sorted(sides, reverse=bool(number % 2)):
                before = sides[name].cpu_seconds()
                rate = sides[name].ask(f"rate {scale.images}")
                cpu = (sides[name].cpu_seconds() - before) * 1000 / scale.images
                ready = sides[name].ask(f"ready {scale.pictures}")
                if number:
                    rates[name].append(rate)
                    cpu_ms[name].append(cpu)
                    ready_ms[name] += ready
            print(f"side by side: {rates} {cpu_ms}", file=sys.stderr, flush=True)
    for what, figures, unit in (
        ("consumer, batches of 12 MP JPEGs", rates, "images/s"),
        ("the same, CPU of the whole system an image", cpu_ms, "ms"),
        ("upload answered until thumbnail ready, 12 MP", ready_ms, "ms"),
    ):
        this, that = statistics.median(figures["this"]), statistics.median(figures["that"])
        yield Row(
            what,
            f"{this:.1f} {unit}",
            f"{against.name}: {that:.1f} {unit}; {this / that:.2f} times",
        )


def _milliseconds(action: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    action()
    return (time.perf_counter() - started_at) * 1000


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _progress(rows: list[Row]) -> None:
    print(rows[-1], file=sys.stderr, flush=True)
