"""Which API of a template answers where, and what becomes of it when the template changes."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from infra.local.api_ports import ApiPorts
from infra.local.invocation import Event, Result
from infra.local.logs.stream import LogStream
from infra.local.template.model import Api, FunctionIntegration, HttpApi, Route
from infra.services.ports import hold_free_port, port_of
from tests.conformance.exchange import Endpoint, Request


def rest_api(name: str) -> Api:
    route = Route("/name", "GET", FunctionIntegration(name, 29.0))
    return Api(name, "v1", {}, (), None, (route,), {})


def http_api(name: str) -> HttpApi:
    route = Route("/name", "GET", FunctionIntegration(name, 30.0, payload_format="2.0"))
    return HttpApi(name, "$default", {}, (route,))


async def invoke(function_id: str, event: Event) -> Result:
    shown = {"name": function_id, "version": json.loads(b"".join(event.payload)).get("version")}
    return Result(json.dumps({"statusCode": 200, "body": json.dumps(shown)}).encode())


@asynccontextmanager
async def serving(
    first: socket.socket, *, is_private: bool = True, taken: tuple[int, ...] = ()
) -> AsyncIterator[ApiPorts]:
    logs = LogStream(io.StringIO())
    ports = ApiPorts(first, invoke, logs, frozenset(), is_private=is_private, taken=taken)
    try:
        yield ports
    finally:
        await ports.stop()


async def ask(url: str) -> tuple[str, str | None]:
    """Who answers, and the version of the event."""
    response = await asyncio.to_thread(Endpoint.of_url(url).send, Request("/name"))
    assert response.status == 200
    shown = response.json()
    return shown["name"], shown["version"]


def port_in(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def test_each_api_answers_at_a_port_of_its_own_the_first_at_the_known_one() -> None:
    first = hold_free_port()
    async with serving(first) as ports:
        await ports.apply([rest_api("A"), http_api("B"), http_api("C")])
        assert port_in(ports.urls["A"]) == port_of(first)
        assert len(set(ports.urls.values())) == 3
        assert await ask(ports.urls["A"]) == ("A", None)
        assert await ask(ports.urls["B"]) == ("B", "2.0")
        assert await ask(ports.urls["C"]) == ("C", "2.0")


async def test_where_there_is_no_api_the_known_port_answers_all_the_same() -> None:
    first = hold_free_port()
    async with serving(first) as ports:
        await ports.apply([])
        assert ports.urls == {}
        endpoint = Endpoint.of_url(f"http://localhost:{port_of(first)}")
        response = await asyncio.to_thread(endpoint.send, Request("/"))
        assert response.json() == {"message": "Missing Authentication Token"}


@pytest.mark.parametrize(("before", "after"), [(rest_api, http_api), (http_api, rest_api)])
async def test_an_api_may_become_one_of_the_other_kind(
    before: Callable[[str], Api | HttpApi], after: Callable[[str], Api | HttpApi]
) -> None:
    async with serving(hold_free_port()) as ports:
        await ports.apply([before("A")])
        url = ports.urls["A"]
        await ask(url)
        await ports.apply([after("B")])
        assert ports.urls == {"B": url}
        assert await ask(url) == ("B", "2.0" if after is http_api else None)


async def test_an_api_that_is_gone_leaves_its_port() -> None:
    async with serving(hold_free_port()) as ports:
        await ports.apply([rest_api("A"), http_api("B")])
        url = ports.urls["B"]
        await ports.apply([rest_api("A")])
        with pytest.raises(ConnectionRefusedError):
            # `localhost` may be an address too that this machine does not have.
            await ask(url.replace("localhost", "127.0.0.1"))
        await ports.apply([rest_api("A"), http_api("C")])
        assert await ask(ports.urls["C"]) == ("C", "2.0")


async def test_further_apis_take_the_ports_that_follow_but_nobody_elses() -> None:
    first = hold_free_port()
    following = port_of(first) + 1
    async with serving(first, is_private=False, taken=(following,)) as ports:
        await ports.apply([rest_api("A"), http_api("B"), http_api("C")])
        chosen = [port_in(ports.urls[name]) for name in "BC"]
        assert following not in chosen
        assert sorted(chosen) == chosen
        assert all(following < port <= following + 50 for port in chosen)
