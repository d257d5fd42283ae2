"""One request to an API and what came of it, byte for byte: no client library tidies it up."""

import base64
import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ABSENT = "(absent)"
NOT_JSON = "(not JSON)"
_NOTHING = object()


@dataclass(frozen=True)
class Matches:
    """A value that is text of this form, whatever it says."""

    form: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.form, other) is not None

    def __hash__(self) -> int:
        return hash(self.form)


@dataclass(frozen=True)
class Request:
    """`path` is what follows the stage. `answer` is what the function is asked to give back."""

    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    answer: Any = _NOTHING

    def head(self, endpoint: "Endpoint") -> bytes:
        """The request line and the headers."""
        headers = [("Host", endpoint.host), ("Connection", "close"), *self.headers]
        if self.body and "Transfer-Encoding" not in dict(headers):
            headers.append(("Content-Length", str(len(self.body))))
        if self.answer is not _NOTHING:
            encoded = base64.b64encode(json.dumps(self.answer).encode()).decode()
            headers.append(("X-Answer", encoded))
        lines = [f"{self.method} {endpoint.prefix}{self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True)
class Response:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | list[str]:
        """Its value; all of them, where there are several; ABSENT where there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ABSENT if not values else values[0] if len(values) == 1 else values

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Endpoint:
    """Where an API is: `host` is the name it is asked by, `prefix` the path up to its stage."""

    address: tuple[str, int]
    host: str
    prefix: str
    is_tls: bool = False

    @classmethod
    def of_url(cls, url: str) -> "Endpoint":
        parts = urlsplit(url)
        assert parts.hostname is not None, f"{url} is not a URL"
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        return cls((parts.hostname, port), parts.netloc, parts.path.rstrip("/"), is_tls)

    def send(self, request: Request) -> Response:
        with socket.create_connection(self.address) as plain:
            if not self.is_tls:
                return self._exchange(plain, request)
            # HTTP/1.1 alone: the second version would write every header's name in lower case.
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            with context.wrap_socket(plain, server_hostname=self.address[0]) as encrypted:
                return self._exchange(encrypted, request)

    def _exchange(self, connection: socket.socket, request: Request) -> Response:
        connection.sendall(request.head(self))
        # A body that is refused need not be read to its end.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request.body)
        with http.client.HTTPResponse(connection, method=request.method) as response:
            response.begin()
            body = response.read()
            return Response(response.status, tuple(response.getheaders()), body)


def observe(response: Response, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a response says of each thing that is wanted.

    `status`; `header:NAME`; `body`, as text; `json`, the body's; `event:KEY/KEY`, of the event
    that the function shows, a header's name in any case; `exact:KEY/KEY`, in this case;
    `keys` and `keys:KEY`, the sorted names in the event or below KEY; `asked:KEY/KEY`, of the
    event of its authorizer, which has told the function.
    """
    return {selector: _observed(response, selector) for selector in wanted}


def _observed(response: Response, selector: str) -> Any:
    kind, _, rest = selector.partition(":")
    match kind:
        case "status":
            return response.status
        case "header":
            return response.header(rest)
        case "body":
            return response.body.decode("latin-1")
    try:
        value = response.json()
    except ValueError:
        return NOT_JSON
    if kind == "json":
        return value
    if kind == "asked":
        context = value["requestContext"]["authorizer"]
        value = json.loads(context.get("lambda", context)["asked"])
        kind = "event" if rest else "keys"
    parent = ""
    for key in rest.split("/") if rest else ():
        if not isinstance(value, dict):
            return ABSENT
        if kind == "event" and parent in ("headers", "multiValueHeaders"):
            value, key = {name.lower(): item for name, item in value.items()}, key.lower()
        value, parent = value.get(key, ABSENT), key
    return sorted(value) if kind == "keys" and isinstance(value, dict) else value
