"""Ports of this machine that the local cloud listens on."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

from aiohttp import web

from infra.entry_point import Explained

LOOPBACK = "127.0.0.1"
LISTEN_BACKLOG = 512
_PATIENCE_SECONDS = 30.0


class CannotListen(Explained):
    """A port is another program's; the text says which."""


def bind(host: str, port: int) -> socket.socket:
    """Raises CannotListen."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(f"Cannot listen on {host}:{port}: {error.strerror}") from error
    return bound


async def serve(
    stack: AsyncExitStack, make_server: Callable[[], web.Server], bound: socket.socket
) -> None:
    """Until the stack is closed, which lets answers that are under way be sent. What is bound to
    one loopback address is served at both.

    Raises CannotListen.
    """
    await _serve_at(stack, make_server(), bound)
    for twin in _loopback_twin(bound):
        await _serve_at(stack, make_server(), stack.enter_context(twin))


def _loopback_twin(bound: socket.socket) -> Iterator[socket.socket]:
    """The same port of the other loopback address, which `localhost` stands for as well: none where
    the machine has no IPv6, or another program is there."""
    host, port = bound.getsockname()
    if host != LOOPBACK:
        return
    twin = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    twin.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        twin.bind(("::1", port))
    except OSError:
        twin.close()
        return
    yield twin


async def _serve_at(stack: AsyncExitStack, server: web.Server, bound: socket.socket) -> None:
    runner = web.ServerRunner(server, shutdown_timeout=_PATIENCE_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.SockSite(runner, bound, backlog=LISTEN_BACKLOG).start()
    except OSError as error:
        # Somebody else has begun to listen there since it was taken.
        host, port = bound.getsockname()[:2]
        raise CannotListen(f"Cannot listen on {host}:{port}: {error.strerror}") from error
