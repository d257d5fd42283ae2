"""A small HTTP/1.1 load generator: keep-alive connections, latencies in milliseconds."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    def encoded(self, host: str) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Figures:
    p50_ms: float
    p99_ms: float
    per_second: float
    requests: int


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Connection:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 80
        self._netloc = parts.netloc
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: Request) -> Answer:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, limit=2**20
            )
        assert self._reader is not None
        self._writer.write(request.encoded(self._netloc))
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = 0
        for line in head.split(b"\r\n")[1:]:
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        return Answer(status, await self._reader.readexactly(length) if length else b"")

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()


class UnexpectedStatus(Exception):
    pass


async def measure(
    url: str,
    make_request: Callable[[int], Request],
    *,
    connections: int,
    requests: int,
    warm_up: int = 20,
    on_answer: Callable[[int, Answer], None] | None = None,
) -> Figures:
    """Sends `requests` over `connections`, each its next as soon as it has its answer.

    Raises UnexpectedStatus for anything but 200: a fast error is no result.
    """
    latencies_ms: list[float] = []
    numbers = iter(range(warm_up + requests))
    started_at = 0.0

    async def worker() -> None:
        nonlocal started_at
        connection = Connection(url)
        for number in numbers:
            request = make_request(number)
            sent_at = time.perf_counter()
            if number == warm_up:
                started_at = sent_at
            answer = await connection.send(request)
            if answer.status != 200:
                raise UnexpectedStatus(f"{request.method} {request.path}: {answer.status}")
            if number >= warm_up:
                latencies_ms.append((time.perf_counter() - sent_at) * 1000)
            if on_answer is not None:
                on_answer(number, answer)
        await connection.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    elapsed = time.perf_counter() - started_at
    ordered = sorted(latencies_ms)
    return Figures(
        p50_ms=statistics.median(ordered),
        p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        per_second=len(ordered) / elapsed,
        requests=len(ordered),
    )
