"""How a gateway of either kind is served."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from infra.local.connection import Server


def serve_requests(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> Server:
    """The aiohttp server that answers by `handle`."""
    return Server(
        handle,
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
