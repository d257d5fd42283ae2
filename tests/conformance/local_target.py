"""The project's APIs on the local gateway, their function in real execution environments."""

import asyncio
import io
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from infra.local.gateway.serving import gateway_for, serve_requests
from infra.local.lambda_.artifacts import Artifacts
from infra.local.lambda_.functions import FunctionService, RuntimeSettings
from infra.local.lambda_.interpreter import inspect_interpreter
from infra.local.logs.stream import LogStream
from infra.local.settings import ROOT, read_settings
from infra.local.template.model import UNTIMED_SECONDS, Api, HttpApi
from infra.local.template.reader import read_template
from infra.services.ports import hold_free_port, port_of
from tests.conformance.exchange import Endpoint

_STOP_PATIENCE_SECONDS = 5


@contextmanager
def local_gateways(templates: dict[str, Path]) -> Iterator[dict[str, Endpoint]]:
    """Serves each template's API on an event loop of its own; the API by the template's name."""
    ready: Future[dict[str, Endpoint]] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            try:
                ready.set_result(
                    {name: await _serve(stack, path) for name, path in templates.items()}
                )
            except BaseException as error:
                ready.set_exception(error)
                raise
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield ready.result()
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def _patient(api: Api | HttpApi) -> Api | HttpApi:
    """Its authorizers have all the time that a busy machine may need to start them."""
    routes = tuple(
        replace(route, authorizer=replace(route.authorizer, timeout_seconds=UNTIMED_SECONDS))
        if route.authorizer
        else route
        for route in api.routes
    )
    return replace(api, routes=routes)


async def _serve(stack: AsyncExitStack, path: Path) -> Endpoint:
    template = read_template(path, {}, "us-east-1")
    (api,) = map(_patient, template.apis)
    settings = read_settings(template=path)
    logs = LogStream(io.StringIO())
    functions = FunctionService(
        RuntimeSettings(
            variables={"AWS_REGION": "us-east-1"},
            overrides={},
            limits={"": 2},
        ),
        Artifacts(ROOT / ".cache", inspect_interpreter(settings.python), lambda _: None),
        logs,
        lambda _: None,
    )
    await functions.apply(template)
    stack.push_async_callback(functions.stop, _STOP_PATIENCE_SECONDS)
    held = hold_free_port()
    port = port_of(held)
    gateway = gateway_for(api, functions.invoke, logs)
    runner = web.ServerRunner(serve_requests(gateway.handle))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, held).start()
    # The local gateway serves its one stage at the root.
    return Endpoint(("127.0.0.1", port), f"localhost:{port}", "")
