"""API Gateway's REST API (v1) with Lambda proxy integration, as AWS documents and shows it.

Where AWS's documents are silent, this follows responses recorded against AWS: a throttled function
is a 500, headers that are too large a 431. tests/conformance says which is which.
"""

from functools import lru_cache

from aiohttp import web

from infra.local.gateway.answer import MalformedAnswer, UndecodableBody, read_answer
from infra.local.gateway.authorizers import Authorizers
from infra.local.gateway.invoking import Invoker, event_of
from infra.local.gateway.request import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    Request,
    deployment_of,
    header_bytes,
    read_body,
    received,
    resource_id,
)
from infra.local.gateway.rest_api import gateway_responses as failures
from infra.local.gateway.rest_api.authorization import refusal
from infra.local.gateway.rest_api.compression import UnsupportedCoding, compressed, inflated
from infra.local.gateway.rest_api.gateway_responses import Failure, body_too_large, gateway_response
from infra.local.gateway.rest_api.mock_integrations import mock_response
from infra.local.gateway.rest_api.validation import invalid_request
from infra.local.gateway.routes import RouteTable
from infra.local.invocation import MAX_PAYLOAD_BYTES, Invoke, Throttled
from infra.local.logs.stream import LogStream
from infra.local.template.model import Api, FunctionIntegration, MockIntegration, Route


class Gateway:
    """Serves one API. `invoke` runs a function, given by its logical id."""

    def __init__(self, api: Api, invoke: Invoke, logs: LogStream) -> None:
        self._invoker = Invoker(invoke)
        self._logs = logs
        self.use(api)

    def use(self, api: Api) -> None:
        """Serves another version of the API from the next request on."""
        self._api = api
        self._routes = RouteTable(api.routes)
        self._deployment = deployment_of(api)
        self._authorizers = Authorizers(self._invoker)
        self._takes_bytes = lru_cache(256)(self._matches_binary)

    async def handle(self, http_request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        response = await self._handle(http_request)
        minimum_bytes = self._api.minimum_compression_bytes
        if minimum_bytes is None:
            return response
        return compressed(response, http_request.headers.get("Accept-Encoding", ""), minimum_bytes)

    async def _handle(self, http_request: web.BaseRequest) -> web.Response:
        request = received(http_request, self._deployment)
        if header_bytes(http_request) > MAX_HEADER_BYTES:
            return self._fail(request, failures.HEADERS_TOO_LARGE)
        if (http_request.content_length or 0) > MAX_BODY_BYTES:
            return body_too_large()
        found = self._routes.match(request.method, request.path)
        if found is None:
            authorization = http_request.headers.get("Authorization")
            return self._fail(request, failures.unknown_path(authorization))
        route, request.path_parameters = found
        request.resource, request.resource_id = route.path, resource_id(route.path)
        body = await read_body(http_request)
        if body is not None and self._api.minimum_compression_bytes is not None:
            coding = http_request.headers.get("Content-Encoding", "")
            try:
                body = inflated(body, coding, MAX_BODY_BYTES)
            except UnsupportedCoding:
                return self._fail(request, failures.UNSUPPORTED_MEDIA_TYPE)
        if body is None:
            return body_too_large()
        return await self._pass_on(request, route, body)

    async def _pass_on(self, request: Request, route: Route, body: bytes) -> web.Response:
        if route.authorizer is not None and (
            refused := await refusal(request, route.authorizer, self._authorizers)
        ):
            failure, problem = refused
            if problem:
                self._log_problem(request, f"{route.authorizer.name}: {problem}")
            return self._fail(request, failure)
        if route.validation is not None and (
            invalid := invalid_request(request, route.validation, body)
        ):
            return self._fail(request, invalid)
        if isinstance(route.integration, MockIntegration):
            answer = mock_response(request, route.integration)
        else:
            answer = await self._proxy(request, route.integration, body)
        return self._fail(request, answer) if isinstance(answer, Failure) else answer

    async def _proxy(
        self, request: Request, integration: FunctionIntegration, body: bytes
    ) -> web.Response | Failure:
        payload = request.event_json(body, is_binary=self._takes_bytes(request.content_type))
        if sum(map(len, payload)) > MAX_PAYLOAD_BYTES:
            return failures.EVENT_TOO_LARGE
        event = event_of(payload, request.trace_id, integration.qualifier)
        try:
            result = await self._invoker.result(
                integration.function_id, event, integration.timeout_seconds
            )
        except Throttled:
            self._log_problem(request, "the function is throttled")
            return failures.throttled(self._api.gateway_responses)
        if result is None:
            self._log_problem(request, f"no answer within {integration.timeout_seconds:g} s")
            return failures.TIMED_OUT
        if result.is_error:
            return failures.FUNCTION_FAILED
        try:
            return self._answered(request, result.payload)
        except MalformedAnswer as error:
            self._log_problem(request, f"malformed answer of the function: {error}")
            is_body = isinstance(error, UndecodableBody)
            return failures.NOT_BASE64 if is_body else failures.MALFORMED_ANSWER

    def _answered(self, request: Request, payload: bytes) -> web.Response:
        answer = read_answer(payload)
        content = answer.content(as_bytes=self._takes_bytes(request.accepted_type))
        answer.headers["x-amzn-RequestId"] = request.request_id
        answer.headers["x-amz-apigw-id"] = request.extended_request_id
        answer.headers["X-Amzn-Trace-Id"] = request.trace_id
        return web.Response(status=answer.status, headers=answer.headers, body=content)

    def _fail(self, request: Request, failure: Failure) -> web.Response:
        return gateway_response(request, failure, self._api.gateway_responses)

    def _log_problem(self, request: Request, problem: str) -> None:
        self._logs.event("gateway", f"{request.method} {request.path}: {problem}", is_problem=True)

    def _matches_binary(self, content_type: str) -> bool:
        media_type = content_type.split(";")[0].strip().lower()
        main_type = media_type.split("/")[0]
        # Of the patterns `*/*` alone stands for any main type.
        exact = {media_type, f"{main_type}/*"} if main_type != "*" else set()
        return any(
            pattern in {"*/*", *exact} for pattern in map(str.lower, self._api.binary_media_types)
        )
