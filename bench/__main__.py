"""Runs every measurement and prints one table; the floor stands beside each figure."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import renderer, renditions, samples
from bench.cloud import LocalCloud
from bench.load import Answer, Figures, Request, measure
from bench.side import BATCH_SIZE, rate
from tests.e2e.api_client import PASSWORD, ApiClient
from tests.e2e.running_cloud import local_python
from tests.variables import ROOT
from tests.waiting import eventually

_SETTLE_PATIENCE_SECONDS = 600.0
_FLOOR_OF = "floor of the same bytes: "
_ALONE = ", nothing else under way"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many requests of each kind; `--quick` takes fewer and says less."""

    fast: int
    slow: int
    large: int
    images: int
    rows: int
    backlog: int


FULL = Scale(fast=3000, slow=120, large=60, images=80, rows=1_000_000, backlog=10_000)
QUICK = Scale(fast=400, slow=30, large=15, images=40, rows=100_000, backlog=2_000)


class Bench:
    def __init__(self, cloud: LocalCloud, scale: Scale) -> None:
        self.cloud = cloud
        self.scale = scale
        self.rows: list[tuple[str, Figures, Figures | None]] = []
        self.client = ApiClient(cloud.api_url).sign_up()
        self.username = self.client.username

    async def both(
        self, name: str, make_request: Any, *, count: int, on_answer: Any = None
    ) -> Figures:
        """One connection for the latency, eight for the throughput."""
        alone = await measure(
            self.cloud.api_url, make_request, connections=1, requests=count, on_answer=on_answer
        )
        offset = count + 1000
        together = await measure(
            self.cloud.api_url,
            lambda number: make_request(number + offset),
            connections=8,
            requests=count,
            # The pool grows to eight first: its cold starts are measured elsewhere.
            warm_up=min(count, 400),
            on_answer=on_answer,
        )
        self.rows.append((name, alone, together))
        _progress(
            f"{name}: p50 {alone.p50_ms:.2f} ms, p99 {alone.p99_ms:.2f} ms, "
            f"{together.per_second:.0f}/s at 8 connections"
        )
        return alone

    def headers(self, content_type: str | None = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.client.token}"}
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    def upload_request(self, photo: bytes) -> Request:
        body, content_type = samples.form(photo)
        return Request("POST", "/image/upload_image", self.headers(content_type), body)

    async def upload(self, photo: bytes, count: int) -> tuple[list[int], float]:
        """Ids of `count` uploads, sent side by side, and when the first was sent."""
        ids: list[int] = []
        request = self.upload_request(photo)
        started_at = time.perf_counter()

        def remember(_number: int, answer: Answer) -> None:
            ids.append(json.loads(answer.body)["id"])

        await measure(
            self.cloud.api_url,
            lambda _number: request,
            connections=4,
            requests=count,
            warm_up=0,
            on_answer=remember,
        )
        return ids, started_at

    def wait_until_settled(self) -> None:
        eventually(
            lambda: not samples.has_waiting_changes(self.cloud.database_url),
            "every change is settled",
            patience_seconds=_SETTLE_PATIENCE_SECONDS,
        )

    def consumer_rate(self, photo: bytes, extension: str, count: int) -> float:
        """Images a second that the consumer makes of batches, with nothing else going on."""
        # The first batch starts what has not been used yet.
        rate(self, self.cloud, photo, BATCH_SIZE, extension)
        return rate(self, self.cloud, photo, count, extension)

    def backlog_rates(self, count: int) -> dict[str, float]:
        """Of so many changes of title that wait: how fast they are published, and are done while
        that still goes on.
        """
        self.wait_until_settled()
        samples.accept_titles(self.cloud.database_url, self.username, count)
        started_at = time.perf_counter()
        while self.cloud.invoke("RelayFunction", {})["published"]:
            pass
        relayed_at = time.perf_counter()
        self.wait_until_settled()
        return {
            "relay, events published": count / (relayed_at - started_at),
            "changes of title that had waited": count / (time.perf_counter() - started_at),
        }

    async def time_to_ready(self, photo: bytes, count: int) -> list[float]:
        """Milliseconds from the answer of an upload until its thumbnail is there."""
        times = []
        for _ in range(count):
            ids, _ = await self.upload(photo, 1)
            answered_at = time.perf_counter()
            while self.client.image(ids[0]).json()["thumbnail_url"] is None:
                time.sleep(0.005)
            times.append((time.perf_counter() - answered_at) * 1000)
        return times


async def run(scale: Scale, folder: Path) -> None:
    photo_100kb, photo_3mb = samples.jpeg_of_size(100_000), samples.jpeg_of_size(3_000_000)
    photo_12mp, photo_1mp = samples.jpeg_12_megapixels(), samples.png_1_megapixel()
    cloud = LocalCloud(folder)
    try:
        first_start_seconds = cloud.started_in_seconds()
        cloud.stop()
        second_start_seconds = cloud.started_in_seconds()
        _progress(f"started in {first_start_seconds:.1f} s, again in {second_start_seconds:.1f} s")
        time.sleep(5)
        memory = cloud.memory_bytes()
        bench = Bench(cloud, scale)
        await _requests(bench, photo_100kb, photo_3mb)
        await _stored_rendition(bench, photo_100kb)
        rates = {
            "12-megapixel JPEG": bench.consumer_rate(photo_12mp, "jpg", scale.images),
            "1-megapixel PNG": bench.consumer_rate(photo_1mp, "png", scale.images),
        }
        backlog = bench.backlog_rates(scale.backlog)
        ready_ms = await bench.time_to_ready(photo_12mp, 5)
        consumer_peak = _peak_memory_mb(cloud, "Consumer")
        made = dict(renditions.rows(photo_12mp, cloud.environment))
    finally:
        if cloud.is_running:
            cloud.stop()
    _print_report(
        bench,
        first_start_seconds,
        second_start_seconds,
        memory,
        rates,
        backlog,
        ready_ms,
        made,
        consumer_peak,
    )


async def _refreshes(bench: Bench) -> None:
    """Each with the token that another answer gave, as many sessions side by side as there are
    connections.
    """
    tokens = deque(str(bench.client.sign_in().json()["refresh_token"]) for _ in range(8))

    def request(_number: int) -> Request:
        body = json.dumps({"refresh_token": tokens.popleft()}).encode()
        return Request("POST", "/auth/refresh", {"Content-Type": "application/json"}, body)

    def keep(_number: int, answer: Answer) -> None:
        tokens.append(json.loads(answer.body)["refresh_token"])

    await bench.both("refresh", request, count=bench.scale.fast // 3, on_answer=keep)


async def _requests(bench: Bench, photo_100kb: bytes, photo_3mb: bytes) -> None:
    scale = bench.scale
    hello = Request("GET", "/hello", {})
    await bench.both("hello (floor)", lambda _: hello, count=scale.fast)
    await bench.both(
        "login",
        lambda _: Request(
            "POST",
            "/auth/login",
            {"Content-Type": "application/json"},
            json.dumps({"username": bench.username, "password": PASSWORD}).encode(),
        ),
        count=scale.slow,
    )
    await _refreshes(bench)
    for photo, size in ((photo_100kb, "100 KB"), (photo_3mb, "3 MB")):
        request = bench.upload_request(photo)
        # Through the same gateway and runtime, to a function that does not look at it.
        body = Request("POST", "/hello/body", request.headers, request.body)
        await bench.both(
            f"hello with a body of {size} (floor)", lambda _, body=body: body, count=scale.large
        )
        with bench.cloud.held_back("consumer"):
            await bench.both(
                f"upload {size}{_ALONE}",
                lambda _, request=request: request,
                count=scale.large,
            )
        bench.wait_until_settled()
        await bench.both(f"upload {size}", lambda _, request=request: request, count=scale.large)
        bench.wait_until_settled()
    for rows in (1_000, scale.rows):
        samples.fill(bench.cloud.database_url, bench.username, rows)
        ids = [image["id"] for image in bench.client.images(limit=100).json()]
        await _list(bench, f"list of 100, of {rows:,} images", "limit=100")
        await bench.both(
            f"get, of {rows:,} images",
            lambda number, ids=ids: Request(
                "GET", f"/image/{ids[number % len(ids)]}", bench.headers()
            ),
            count=scale.fast,
        )
    for name, filters in (
        ("status", "status=failed"),
        ("rare title", f"title=PHOTO%20{scale.rows // 2}."),
        ("common title", "title=photo"),
        ("rare word", f"q={scale.rows // 2}"),
        ("common word", "q=photo"),
        ("type and title", "content_type=image/jpeg&sort=title"),
        ("owner and size", "owner=me&sort=size"),
    ):
        await _list(bench, f"list by {name}, of {scale.rows:,} images", f"limit=10&{filters}")
    own = samples.own_images(bench.cloud.database_url, bench.username, 4 * scale.slow + 4000)
    title = json.dumps({"title": "bench"}).encode()

    def update(number: int) -> Request:
        path = f"/image/update/{own[number % len(own)]}"
        return Request("PUT", path, bench.headers("application/json"), title)

    for name, make_request in (
        ("update (title)", update),
        ("delete", lambda _: Request("DELETE", f"/image/delete/{own.pop()}", bench.headers())),
    ):
        with bench.cloud.held_back("consumer"):
            await bench.both(f"{name}{_ALONE}", make_request, count=scale.slow)
        bench.wait_until_settled()
        await bench.both(name, make_request, count=scale.slow)
        bench.wait_until_settled()
    for name, figures in samples.floors(bench.cloud.environment, photo_100kb, photo_3mb):
        bench.rows.append((name, figures, None))


async def _list(bench: Bench, name: str, query: str) -> None:
    """Beside a function that answers as many bytes and does nothing."""
    request = Request("GET", f"/image/get_all_images?{query}", bench.headers())
    size_bytes = len(bench.client.get(request.path).content)
    large = Request("GET", f"/hello/large?size_bytes={size_bytes}", {})
    count = bench.scale.fast // 3
    await bench.both(f"{_FLOOR_OF}{name}", lambda _: large, count=count)
    await bench.both(name, lambda _: request, count=count)


async def _stored_rendition(bench: Bench, photo: bytes) -> None:
    (image_id,), _ = await bench.upload(photo, 1)
    bench.client.settled(image_id)
    # As JSON, since whatever is not 200 is taken for an error.
    headers = {**bench.headers(), "Accept": "application/json"}
    request = Request("GET", f"/image/{image_id}/rendition?width=640&format=webp", headers)
    await bench.both("rendition that is stored", lambda _: request, count=bench.scale.fast)


def _compared(rows: list[tuple[str, Figures, Figures | None]]) -> Iterator[str]:
    """Each figure that has an aim, as a multiple of its own floor."""
    p50_ms = {name: alone.p50_ms for name, alone, _ in rows}
    for name in p50_ms:
        if name.startswith("upload"):
            size = "3 MB" if "3 MB" in name else "100 KB"
            floor = f"boto3, put of {size} (floor)"
            floors = {
                "the bare put": p50_ms[floor],
                "a function that takes the body": p50_ms[f"hello with a body of {size} (floor)"],
            }
            times = p50_ms[name] / p50_ms[floor]
            rest = p50_ms[name] - sum(floors.values())
            parts = ", ".join(f"{what} {part:.1f} ms" for what, part in floors.items())
            yield f"| {name} | {times:.1f} times a bare put | {parts}, the rest {rest:.1f} ms |"
        elif name == "login":
            yield f"| {name} | {p50_ms[name] / p50_ms[samples.HASH]:.2f} times its hash | |"
        elif name.startswith("list"):
            times = p50_ms[name] / p50_ms[f"{_FLOOR_OF}{name}"]
            yield f"| {name} | {times:.2f} times hello with as many bytes | |"


def _peak_memory_mb(cloud: LocalCloud, function: str) -> float | None:
    peaks = [
        line["memory_mb"]
        for line in cloud.log_lines()
        if str(line.get("function", "")).startswith(function) and line.get("memory_mb")
    ]
    return max(peaks) if peaks else None


def _print_report(
    bench: Bench,
    first_start_seconds: float,
    second_start_seconds: float,
    memory: dict[str, int],
    rates: dict[str, float],
    backlog: dict[str, float],
    ready_ms: list[float],
    made: dict[str, str],
    consumer_peak_mb: float | None,
) -> None:
    floor = bench.rows[0][1].p50_ms
    print("\n| what | p50 ms | p99 ms | times hello | requests/s at 8 |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, alone, together in bench.rows:
        rate = f"{together.per_second:.0f}" if together else ""
        print(
            f"| {name} | {alone.p50_ms:.2f} | {alone.p99_ms:.2f} | "
            f"{alone.p50_ms / floor:.1f} | {rate} |"
        )
    print("\n| what | against its floor | where the time goes |\n| --- | ---: | --- |")
    print(*_compared(bench.rows), sep="\n")
    print("\n| what | figure |\n| --- | ---: |")
    for name, images_per_second in rates.items():
        print(f"| consumer, {name} | {images_per_second:.1f} images/s |")
    for name, changes_per_second in backlog.items():
        print(f"| {name} | {changes_per_second:.0f} /s |")
    print(
        f"| upload answered until thumbnail ready, 12 MP | {statistics.median(ready_ms):.0f} ms |"
    )
    for name, figure in made.items():
        print(f"| {name} | {figure} |")
    if consumer_peak_mb is not None:
        print(f"| consumer, peak memory | {consumer_peak_mb:.0f} MB |")
    print(f"| first start until the first answer | {first_start_seconds:.1f} s |")
    print(f"| second start until the first answer | {second_start_seconds:.1f} s |")
    print(f"| memory at rest, all processes | {sum(memory.values()) / 1e6:.0f} MB |")
    for name, size in sorted(memory.items(), key=lambda item: -item[1]):
        print(f"| memory at rest: {name} | {size / 1e6:.0f} MB |")
    print("\n| function | init ms (median) |\n| --- | ---: |")
    for name, init_ms in _init_durations(bench.cloud).items():
        print(f"| {name} | {init_ms:.0f} |")


def _init_durations(cloud: LocalCloud) -> dict[str, float]:
    durations: dict[str, list[float]] = {}
    for line in cloud.log_lines():
        if line.get("init_ms") is not None and line.get("function"):
            durations.setdefault(str(line["function"]), []).append(float(line["init_ms"]))
    return {name: statistics.median(values) for name, values in sorted(durations.items())}


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "part", nargs="?", choices=["requests", "cold-starts", "renderer"], default="requests"
    )
    parser.add_argument("--quick", action="store_true", help="fewer requests, fewer rows")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="renderer: a folder with another version, after `make setup`, to take turns with",
    )
    parser.add_argument(
        "--libvips",
        type=Path,
        default=Path(sys.executable),
        metavar="PYTHON",
        help="renderer: a Python with pyvips, to compare the pixels' work with",
    )
    options = parser.parse_args()
    if options.part == "cold-starts":
        python, runs = local_python(), 3 if options.quick else 9
        sys.exit(
            subprocess.run([python, "-m", "bench.cold_starts", str(runs)], cwd=ROOT).returncode
        )
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="bench-", dir=cache, ignore_cleanup_errors=True
    ) as folder:
        if options.part == "renderer":
            renderer.run(
                renderer.QUICK if options.quick else renderer.FULL,
                Path(folder),
                against=options.against,
                libvips=options.libvips,
            )
        else:
            asyncio.run(run(QUICK if options.quick else FULL, Path(folder)))


if __name__ == "__main__":
    main()
