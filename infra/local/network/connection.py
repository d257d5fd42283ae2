"""What is answered to a client that speaks no HTTP, or another version of it."""

import asyncio
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

_VERSIONS = ((1, 0), (1, 1))


class Server(web.Server):
    """aiohttp's, unnamed, whose errors are JSON like everybody's here."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._of_connections = options

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return _Request(message, payload, protocol, writer, task, self._loop)

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._of_connections)


class _Request(web.BaseRequest):
    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        # Which aiohttp adds just before; AWS names no server.
        response.headers.pop("Server", None)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)
        if status < web.HTTPInternalServerError.status_code:
            return _refusal(status, "The request is not HTTP that can be read", "bad_request")
        return _refusal(status, "Something went wrong here; try again later", "internal_error")


def unknown_version(request: web.BaseRequest) -> web.Response | None:
    """505 where the version is not one of HTTP/1's, of which gateways know two."""
    if tuple(request.version) in _VERSIONS:
        return None
    return _refusal(505, "HTTP/1.0 and HTTP/1.1 are spoken here", "bad_request")


def _refusal(status: int, detail: str, code: str) -> web.Response:
    answer = web.json_response({"detail": detail, "code": code}, status=status)
    answer.force_close()
    return answer
