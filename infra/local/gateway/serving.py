"""How an API of either kind is served: the gateway for it, and who may ask."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from infra.local.gateway.http_api.server import HttpGateway
from infra.local.gateway.rest_api.server import Gateway
from infra.local.invocation import Invoke
from infra.local.logs.stream import LogStream
from infra.local.network.access import is_own_host, unknown_host
from infra.local.network.connection import Server, unknown_version
from infra.local.template.model import Api, HttpApi


def gateway_for(api: Api | HttpApi, invoke: Invoke, logs: LogStream) -> Gateway | HttpGateway:
    """`invoke` runs a function, given by its logical id."""
    if isinstance(api, HttpApi):
        return HttpGateway(api, invoke, logs)
    return Gateway(api, invoke, logs)


def serve_requests(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    allowed_hosts: frozenset[str] = frozenset(),
) -> Server:
    """The aiohttp server that answers by `handle`. `allowed_hosts`: names to answer for besides
    those of this machine.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if wrong_version := unknown_version(request):
            return wrong_version
        if not is_own_host(request.headers.get("Host", "localhost"), allowed_hosts):
            return unknown_host()
        return await handle(request)

    return Server(
        answer,
        access_log=None,
        keepalive_timeout=350.0,
        # A compressed body goes to the function as it is, and one that only says so does not
        # end the connection: API Gateway inflates none unless it is told to.
        auto_decompress=False,
        # For the rest of a body that was refused, so that its sender gets to read the answer.
        lingering_time=3.0,
        max_line_size=65_536,
        max_field_size=65_536,
    )
