"""A gateway of either kind in front of functions that the test plays."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from infra.local.gateway.serving import gateway_for, serve_requests
from infra.local.invocation import Event, Result
from infra.local.logs.stream import LogStream
from infra.local.template.model import Api, HttpApi
from infra.services.ports import hold_free_port, port_of
from tests.conformance.exchange import Endpoint, Request, Response

Header = tuple[str, str]


@dataclass
class Site:
    """`answer` is what functions answer, and `answers` what one of them does, by its logical id.
    The function Slow waits for `release`."""

    port: int
    log: io.StringIO
    events: list[Any] = field(default_factory=list)
    invoked: list[str] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: {"statusCode": 200, "body": "fine"})
    answers: dict[str, Any] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    raises: Exception | None = None
    release: asyncio.Event = field(default_factory=asyncio.Event)
    # Invocations that ended after it.
    outlived: int = 0
    use: Callable[[Any], None] = print

    async def invoke(self, function_id: str, event: Event) -> Result:
        self.invoked.append(function_id)
        self.events.append(json.loads(b"".join(event.payload)))
        if function_id == "Slow":
            await self.release.wait()
            self.outlived += 1
        if self.raises is not None:
            raise self.raises
        answer = self.answers.get(function_id, self.answer)
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return Result(payload, is_error=function_id in self.failing)

    async def request(
        self, method: str, path: str, *headers: Header, body: bytes = b""
    ) -> Response:
        endpoint = Endpoint(("127.0.0.1", self.port), "localhost:81", "")
        return await asyncio.to_thread(endpoint.send, Request(path, method, headers, body))


@asynccontextmanager
async def serving(api: Api | HttpApi) -> AsyncIterator[Site]:
    """On a port of its own."""
    log = io.StringIO()
    held = hold_free_port()
    site = Site(port_of(held), log)
    gateway = gateway_for(api, site.invoke, LogStream(log))
    site.use = gateway.use
    runner = web.ServerRunner(serve_requests(gateway.handle))
    await runner.setup()
    await web.SockSite(runner, held).start()
    try:
        yield site
    finally:
        site.release.set()
        await runner.cleanup()
