"""API Gateway's HTTP API (v2) with Lambda proxy integration, as AWS documents and shows it.

It answers with a message of its own where no function does; nothing in a template changes that.
"""

import json
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from infra.local.gateway.answer import MalformedAnswer
from infra.local.gateway.authorizers import Authorizers
from infra.local.gateway.http_api.answer import read_http_answer
from infra.local.gateway.http_api.authorization import refusal
from infra.local.gateway.http_api.cors import add_cors, is_preflight
from infra.local.gateway.http_api.events import integration_event
from infra.local.gateway.http_api.request import HttpRequest, received
from infra.local.gateway.invoking import Invoker, event_of
from infra.local.gateway.request import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    deployment_of,
    header_bytes,
    read_body,
)
from infra.local.gateway.routes import RouteTable
from infra.local.invocation import MAX_PAYLOAD_BYTES, Invoke, Throttled
from infra.local.logs.stream import LogStream
from infra.local.template.model import FunctionIntegration, HttpApi

_MESSAGES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Request Entity Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(slots=True)
class _Reply:
    status: int
    headers: CIMultiDict[str]
    content: bytes = b""


class HttpGateway:
    """Serves one HTTP API. `invoke` runs a function, given by its logical id."""

    def __init__(self, api: HttpApi, invoke: Invoke, logs: LogStream) -> None:
        self._invoker = Invoker(invoke)
        self._logs = logs
        self.use(api)

    def use(self, api: HttpApi) -> None:
        """Serves another version of the API from the next request on."""
        self._api = api
        self._routes = RouteTable(api.routes, ignores_last_slash=False)
        self._deployment = deployment_of(api)
        self._authorizers = Authorizers(self._invoker)

    async def handle(self, http_request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        request = received(http_request, self._deployment)
        cors = self._api.cors
        asks_first = cors is not None and is_preflight(request.method, request.headers)
        reply = await self._reply(http_request, request, asks_first=asks_first)
        if cors is not None:
            origin = request.header("origin")
            add_cors(reply.headers, cors, origin, is_preflight=asks_first)
        reply.headers["Apigw-Requestid"] = request.request_id
        return web.Response(status=reply.status, headers=reply.headers, body=reply.content)

    async def _reply(
        self, http_request: web.BaseRequest, request: HttpRequest, *, asks_first: bool
    ) -> _Reply:
        if header_bytes(http_request) > MAX_HEADER_BYTES:
            return _own_reply(431)
        if (http_request.content_length or 0) > MAX_BODY_BYTES:
            return _own_reply(413)
        found = self._routes.match(request.method, request.path)
        if found is not None:
            request.route, encoded = found
            request.path_parameters = {name: unquote(text) for name, text in encoded.items()}
        else:
            request.route = self._api.default_route
        body = await read_body(http_request)
        if body is None:
            return _own_reply(413)
        request.headers["Content-Length"] = [str(len(body))]
        if request.route is None:
            return _Reply(204, CIMultiDict()) if asks_first else _own_reply(404)
        integration = request.route.integration
        assert isinstance(integration, FunctionIntegration)
        if request.route.authorizer is not None:
            refused = await refusal(
                request, request.route.authorizer, integration, self._authorizers
            )
            if refused is not None:
                status, problem = refused
                if problem:
                    self._log_problem(request, f"{request.route.authorizer.name}: {problem}")
                return _own_reply(status)
        if asks_first:
            return _Reply(204, CIMultiDict())
        return await self._proxy(request, integration, body)

    async def _proxy(
        self, request: HttpRequest, integration: FunctionIntegration, body: bytes
    ) -> _Reply:
        payload = integration_event(request, body, integration.payload_format)
        if sum(map(len, payload)) > MAX_PAYLOAD_BYTES:
            return _own_reply(413)
        event = event_of(payload, request.trace_id, integration.qualifier)
        try:
            result = await self._invoker.result(
                integration.function_id, event, integration.timeout_seconds
            )
        except Throttled:
            self._log_problem(request, "the function is throttled")
            return _own_reply(503)
        if result is None:
            self._log_problem(request, f"no answer within {integration.timeout_seconds:g} s")
            return _own_reply(503)
        if result.is_error:
            return _own_reply(500)
        try:
            answer = read_http_answer(result.payload, integration.payload_format)
            return _Reply(answer.status, answer.headers, answer.content(as_bytes=True))
        except MalformedAnswer as error:
            self._log_problem(request, f"malformed answer of the function: {error}")
            return _own_reply(500)

    def _log_problem(self, request: HttpRequest, problem: str) -> None:
        self._logs.event("gateway", f"{request.method} {request.path}: {problem}", is_problem=True)


def _own_reply(status: int) -> _Reply:
    message = json.dumps({"message": _MESSAGES[status]}, separators=(",", ":"))
    return _Reply(status, CIMultiDict({"Content-Type": "application/json"}), message.encode())
