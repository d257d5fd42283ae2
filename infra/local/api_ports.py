"""Where the APIs of a template are served: each at its own port, the first at the known one."""

import contextlib
import socket
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from infra.local.gateway.http_api.server import HttpGateway
from infra.local.gateway.rest_api.server import Gateway
from infra.local.gateway.serving import gateway_for, serve_requests
from infra.local.invocation import Invoke
from infra.local.logs.stream import LogStream
from infra.local.network.listening import CannotListen, bind, serve
from infra.local.template.model import Api, HttpApi
from infra.services.ports import hold_free_port, is_free, port_of

_NO_API = Api("none", "none", {}, (), None, (), {})
# How many ports after the first are tried.
_PORTS_TRIED = 50


@dataclass(slots=True)
class _Door:
    """A port, and the gateway that answers there; which one that is may change."""

    port: int
    gateway: Gateway | HttpGateway
    stack: AsyncExitStack


class ApiPorts:
    """`first` is the socket of the first API, or of none. `is_private`: all other ports are free
    ones, else those that follow the first. `taken` are ports that are meant for others."""

    def __init__(
        self,
        first: socket.socket,
        invoke: Invoke,
        logs: LogStream,
        allowed_hosts: frozenset[str],
        *,
        is_private: bool,
        taken: Sequence[int],
    ) -> None:
        self._first = first
        self._invoke = invoke
        self._logs = logs
        self._allowed_hosts = allowed_hosts
        self._is_private = is_private
        self._taken = taken
        self._doors: list[_Door] = []
        self._names: list[str] = []

    @property
    def urls(self) -> Mapping[str, str]:
        """Of each API, by its logical id."""
        return {
            name: f"http://localhost:{door.port}"
            for name, door in zip(self._names, self._doors, strict=False)
        }

    async def apply(self, apis: Sequence[Api | HttpApi]) -> None:
        """Serves these from the next request on. Raises CannotListen."""
        for position, api in enumerate(apis or [_NO_API]):
            if position == len(self._doors):
                await self._open(api)
            else:
                self._serve_on(self._doors[position], api)
        for door in self._doors[max(len(apis), 1) :]:
            await door.stack.aclose()
        del self._doors[max(len(apis), 1) :]
        self._names = [api.logical_id for api in apis]

    async def stop(self) -> None:
        """Lets answers that are under way be sent."""
        for door in self._doors:
            await door.stack.aclose()

    def _serve_on(self, door: _Door, api: Api | HttpApi) -> None:
        match door.gateway, api:
            case (HttpGateway() as gateway, HttpApi()):
                gateway.use(api)
            case (Gateway() as gateway, Api()):
                gateway.use(api)
            case _:
                door.gateway = gateway_for(api, self._invoke, self._logs)

    async def _open(self, api: Api | HttpApi) -> None:
        held = self._first if not self._doors else self._next_socket()
        async with AsyncExitStack() as stack:
            stack.callback(held.close)
            gateway = gateway_for(api, self._invoke, self._logs)
            door = _Door(port_of(held), gateway, stack)

            def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
                return door.gateway.handle(request)

            await serve(stack, lambda: serve_requests(handle, self._allowed_hosts), held)
            door.stack = stack.pop_all()
            self._doors.append(door)

    def _next_socket(self) -> socket.socket:
        host = self._first.getsockname()[0]
        if not self._is_private:
            for port in self._following_ports():
                if is_free(port):
                    with contextlib.suppress(CannotListen):
                        return bind(host, port)
        return hold_free_port(host)

    def _following_ports(self) -> Iterator[int]:
        first = port_of(self._first)
        used = {*self._taken, *(door.port for door in self._doors)}
        for port in range(first + 1, min(first + _PORTS_TRIED, 65_535)):
            if port not in used:
                yield port
