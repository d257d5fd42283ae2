"""An HTTP request as API Gateway reads it, and what it adds before a function sees it."""

import base64
import os
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from aiohttp import web

from infra.local.gateway.event import Deployment, ProxyRequest
from infra.local.invocation import new_root, with_parent
from infra.local.template.model import ACCOUNT_ID, Api, HttpApi

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_HEADER_BYTES = 10_240

_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "content-length",
        "content-md5",
        "expect",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    }
)
# Names that arrive in this spelling, whatever the client's.
_RESPELLED = {"authorization": "Authorization", "user-agent": "User-Agent"}
# What the gateway says itself, whatever the client has said.
_OF_THE_GATEWAY = frozenset(
    {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(slots=True, kw_only=True)
class Request(ProxyRequest):
    """A proxy request, with what the gateway itself goes by.

    `accepted_type` is the first type that the client accepts, or empty.
    """

    content_type: str
    accepted_type: str
    trace_id: str


def deployment_of(api: Api | HttpApi) -> Deployment:
    """The API's identity: the same in each run."""
    api_id = _identifier(api.logical_id, 10)
    return Deployment(
        account_id=ACCOUNT_ID,
        api_id=api_id,
        deployment_id=_identifier(f"{api_id}deployment", 6),
        stage=api.stage,
        stage_variables=dict(api.stage_variables) or None,
    )


def resource_id(resource: str) -> str:
    """The same in each run."""
    return _identifier(resource, 6)


@dataclass(slots=True)
class Arrival:
    """What every API knows of a request that has come in. `path` is `raw_path` with one slash
    before it, however many the client sent.
    """

    path: str
    raw_path: str
    raw_query: str
    headers: dict[str, list[str]]
    domain_name: str
    source_ip: str
    trace_id: str
    epoch_seconds: float


def arrival_of(
    request: web.BaseRequest, name_as_passed_on: Callable[[bytes], str | None]
) -> Arrival:
    """`name_as_passed_on`: how a function sees a header's name, or None for one that it never does;
    what the gateway says of the request itself is added.
    """
    raw_path, _, raw_query = _target(request).partition("?")
    lookup = request.headers
    domain_name, port = _host_and_port(lookup.get("Host") or "localhost")
    source_ip = request.remote or "127.0.0.1"
    epoch_seconds = time.time()
    given_trace_id = lookup.get("X-Amzn-Trace-Id")
    trace_id = with_parent(given_trace_id) if given_trace_id else new_root(epoch_seconds)
    forwarded = lookup.get("X-Forwarded-For")
    headers: dict[str, list[str]] = {}
    for raw_name, raw_value in request.raw_headers:
        name = name_as_passed_on(raw_name)
        if name is not None:
            headers.setdefault(name, []).append(raw_value.decode("utf-8", "replace"))
    headers["X-Amzn-Trace-Id"] = [trace_id]
    headers["X-Forwarded-For"] = [f"{forwarded}, {source_ip}" if forwarded else source_ip]
    headers["X-Forwarded-Port"] = [port]
    headers["X-Forwarded-Proto"] = [request.scheme]
    path = f"/{raw_path.lstrip('/')}"
    return Arrival(
        path, raw_path, raw_query, headers, domain_name, source_ip, trace_id, epoch_seconds
    )


def received(request: web.BaseRequest, deployment: Deployment) -> Request:
    """What the gateway knows of a request before it has found a route and read the body."""
    arrival = arrival_of(request, _name_as_passed_on)
    lookup = request.headers
    return Request(
        method=request.method,
        path=arrival.path,
        # Slashes before the path count for nothing, and are still seen in the context's path.
        raw_path=arrival.raw_path,
        resource=arrival.path,
        resource_id=resource_id(arrival.path),
        headers=arrival.headers,
        # A semicolon ends a parameter as an ampersand does.
        query=query_parameters(arrival.raw_query.replace(";", "&")),
        path_parameters=None,
        domain_name=arrival.domain_name,
        source_ip=arrival.source_ip,
        user_agent=lookup.get("User-Agent"),
        request_id=str(uuid.uuid4()),
        extended_request_id=base64.b64encode(os.urandom(11)).decode(),
        epoch_seconds=arrival.epoch_seconds,
        deployment=deployment,
        content_type=lookup.get("Content-Type") or "application/json",
        accepted_type=(lookup.get("Accept") or "").split(",")[0],
        trace_id=arrival.trace_id,
    )


def _target(request: web.BaseRequest) -> str:
    """Path and query, of a target that is a whole URL too (RFC 9112, 3.2.2)."""
    target = request.raw_path
    if target.startswith("/") or "://" not in target:
        return target
    url = urlsplit(target)
    return urlunsplit(("", "", url.path or "/", url.query, ""))


def header_bytes(request: web.BaseRequest) -> int:
    """What counts towards MAX_HEADER_BYTES."""
    return len(request.raw_path) + sum(
        len(name) + len(value) for name, value in request.raw_headers
    )


async def read_body(request: web.BaseRequest) -> bytes | None:
    """The request's body; None when it is larger than API Gateway takes."""
    if not request.can_read_body:
        return b""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    pieces: list[bytes] = []
    size = 0
    while piece := await request.content.readany():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            return None
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _host_and_port(host: str) -> tuple[str, str]:
    """The port as it stands in the Host header; an IPv6 address without one ends in a bracket."""
    if ":" not in host or host.endswith("]"):
        return host, "80"
    name, _, port = host.rpartition(":")
    return name, port


@lru_cache(512)
def _name_as_passed_on(raw_name: bytes) -> str | None:
    name = raw_name.decode("latin-1")
    lower = name.lower()
    if lower in _NOT_PASSED_ON or lower in _OF_THE_GATEWAY:
        return None
    return _RESPELLED.get(lower, name)


def query_parameters(query: str) -> dict[str, list[str]]:
    """Decoded; every value of a name, in order."""
    parameters: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace") if query else ():
        parameters.setdefault(name, []).append(value)
    return parameters


@lru_cache(512)
def _identifier(text: str, length: int) -> str:
    """A stable id that looks like API Gateway's."""
    number = zlib.crc32(text.encode()) * 2_654_435_761 + zlib.adler32(text.encode())
    result = ""
    for _ in range(length):
        number, position = divmod(number, len(_LETTERS))
        result += _LETTERS[position]
    return result
