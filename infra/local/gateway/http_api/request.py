"""An HTTP request as API Gateway's HTTP APIs read it."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from infra.local.gateway.event import Deployment
from infra.local.gateway.request import arrival_of, query_parameters
from infra.local.template.model import Route

DEFAULT_STAGE = DEFAULT_ROUTE = "$default"
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Names that arrive in this spelling in the older payload, whatever the client's.
_SPELT = {
    name.lower(): name
    for name in (
        "Content-Length",
        "Content-Type",
        "Host",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
    )
}
_TEXT_TYPES = frozenset({"", "application/javascript", "application/json", "application/xml"})


@dataclass(slots=True, kw_only=True)
class HttpRequest:
    """`path` is as the client sent it, without the stage. `headers` and `query` have every value
    of a name, in order; names are spelt as the older payload has them.
    """

    method: str
    path: str
    raw_query: str
    headers: dict[str, list[str]]
    query: Mapping[str, Sequence[str]]
    domain_name: str
    source_ip: str
    user_agent: str
    request_id: str
    trace_id: str
    epoch_seconds: float
    deployment: Deployment
    route: Route | None = None
    path_parameters: Mapping[str, str] | None = None
    # What an authorizer has said of it, as the function is to see it.
    authorizer: Mapping[str, Any] | None = None

    @property
    def route_path(self) -> str:
        return DEFAULT_ROUTE if self.route is None else self.route.path

    @property
    def route_key(self) -> str:
        """Method and path of the route, as the API names it."""
        if self.route is None or self.route.path == DEFAULT_ROUTE:
            return DEFAULT_ROUTE
        return f"{self.route.method} {self.route.path}"

    @property
    def whole_path(self) -> str:
        """With the stage, and decoded, which ends it at a question mark that was encoded."""
        stage = self.deployment.stage
        path = unquote(self.path).partition("?")[0]
        return path if stage == DEFAULT_STAGE else f"/{stage}{path}"

    def header(self, lower_name: str) -> str:
        """Its values, joined; empty for none."""
        return ",".join(
            value
            for name, values in self.headers.items()
            if name.lower() == lower_name
            for value in values
        )

    def is_binary(self) -> bool:
        """Whether the body goes to the function in base64."""
        media_type = self.header("content-type").split(";")[0].strip().lower()
        if self.header("content-encoding"):
            return True
        return not (
            media_type in _TEXT_TYPES
            or media_type.startswith("text/")
            or media_type.endswith(("+json", "+xml"))
        )


def received(request: web.BaseRequest, deployment: Deployment) -> HttpRequest:
    """What is known of a request before it has found a route, and its body was read."""
    arrival = arrival_of(request, _name_as_passed_on)
    return HttpRequest(
        method=request.method,
        path=arrival.path,
        raw_query=arrival.raw_query,
        headers=arrival.headers,
        query=query_parameters(arrival.raw_query),
        domain_name=arrival.domain_name,
        source_ip=arrival.source_ip,
        user_agent=request.headers.get("User-Agent") or "",
        request_id=base64.urlsafe_b64encode(os.urandom(11)).decode(),
        trace_id=arrival.trace_id,
        epoch_seconds=arrival.epoch_seconds,
        deployment=deployment,
    )


@lru_cache(512)
def _name_as_passed_on(raw_name: bytes) -> str | None:
    name = raw_name.decode("latin-1")
    lower = name.lower()
    return None if lower in _NOT_PASSED_ON else _SPELT.get(lower, name)
