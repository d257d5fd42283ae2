"""API Gateway's REST API (v1) with Lambda proxy integration, as AWS documents and shows it.

Where AWS's documents are silent, this follows responses recorded against AWS: a throttled function
is a 500, headers that are too large a 431. tests/conformance says which is which.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import CIMultiDict

from infra.local.gateway.routes import RouteTable
from infra.local.lambda_.environment import MAX_PAYLOAD_BYTES, Event, Result
from infra.local.lambda_.pool import Throttled
from infra.local.logs import LogStream
from infra.local.template.reader import (
    ACCOUNT_ID,
    Api,
    FunctionIntegration,
    GatewayResponse,
    MockIntegration,
    Route,
)

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_HEADER_BYTES = 10_240

_ANSWER_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
_NOT_PASSED_ON = frozenset({"content-length", "connection", "expect", "transfer-encoding"})
# Response headers that API Gateway keeps for itself, and what it does with a function's own.
_REMAPPED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "host",
        "server",
        "user-agent",
        "www-authenticate",
    }
)
_DROPPED = frozenset({"expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_DEFAULT_TEMPLATE = '{"message":$context.error.messageString}'
# Names that arrive in this spelling, whatever the client's.
_RESPELLED = {"authorization": "Authorization", "user-agent": "User-Agent"}
_VARIABLE = re.compile(r"\$(\{)?((?:context|stageVariables)(?:\.[A-Za-z]\w*)+)(?(1)\})")


@dataclass(frozen=True)
class _Failure:
    """A gateway response's type, and what it is when the template does not change it."""

    kind: str
    status: int
    message: str
    error_type: str = ""


_UNKNOWN_PATH = _Failure(
    "MISSING_AUTHENTICATION_TOKEN",
    403,
    "Missing Authentication Token",
    "MissingAuthenticationTokenException",
)
_EVENT_TOO_LARGE = _Failure("REQUEST_TOO_LARGE", 413, "Request Too Long", "BadRequestException")
_HEADERS_TOO_LARGE = _Failure(
    "DEFAULT_4XX",
    431,
    f"Request line and headers exceeded {MAX_HEADER_BYTES} bytes",
    "BadRequestException",
)
_UNSUPPORTED_MEDIA_TYPE = _Failure(
    "UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported Media Type", "BadRequestException"
)
_FUNCTION_FAILED = _Failure(
    "INTEGRATION_FAILURE", 502, "Internal server error", "InternalServerErrorException"
)
_MALFORMED_ANSWER = _Failure(
    "DEFAULT_5XX", 502, "Internal server error", "InternalServerErrorException"
)
_NOT_BASE64 = _Failure(
    "API_CONFIGURATION_ERROR", 500, "Internal server error", "InternalServerErrorException"
)
_FUNCTION_THROTTLED = _Failure(
    "DEFAULT_5XX", 500, "Internal server error", "InternalServerErrorException"
)
_TIMED_OUT = _Failure(
    "INTEGRATION_TIMEOUT", 504, "Endpoint request timed out", "InternalServerErrorException"
)


class MalformedAnswer(Exception):
    """A function's answer is none that API Gateway accepts."""


class _UndecodableBody(MalformedAnswer):
    """An answer's body is said to be base64, and is not."""


Invoke = Callable[[str, Event], Awaitable[Result]]


class Gateway:
    """Serves one API. `invoke` runs a function, given by its logical id."""

    def __init__(self, api: Api, invoke: Invoke, logs: LogStream) -> None:
        self._invoke = invoke
        self._logs = logs
        self._running: set[asyncio.Task[Result]] = set()
        self.use(api)

    def use(self, api: Api) -> None:
        """Serves another version of the API from the next request on."""
        self._api = api
        self._routes = RouteTable(api.routes)
        self._api_id = _identifier(api.logical_id, 10)
        self._takes_bytes = lru_cache(256)(self._matches_binary)
        self._stage_variables = dict(api.stage_variables) or None

    def server(self) -> web.Server:
        """The aiohttp server that answers for this gateway."""
        return web.Server(
            self.handle,
            access_log=None,
            keepalive_timeout=350.0,
            # For the rest of a body that was refused, so that its sender gets to read the answer.
            lingering_time=3.0,
            max_line_size=65_536,
            max_field_size=65_536,
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        call = _Call(request, self._api, self._api_id, self._stage_variables)
        header_bytes = len(request.raw_path) + sum(
            len(name) + len(value) for name, value in request.raw_headers
        )
        if header_bytes > MAX_HEADER_BYTES:
            return self._fail(call, _HEADERS_TOO_LARGE)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _body_too_large()
        found = self._routes.match(request.method, call.path)
        if found is None:
            return self._fail(call, _unknown_path(request.headers.get("Authorization")))
        call.route, call.path_parameters = found
        body = await _read_body(request)
        if body is None:
            return _body_too_large()
        integration = call.route.integration
        if isinstance(integration, MockIntegration):
            return self._mock(call, integration)
        return await self._proxy(call, integration, body)

    async def _proxy(
        self, call: "_Call", integration: FunctionIntegration, body: bytes
    ) -> web.StreamResponse:
        payload = call.event_json(body, self._takes_bytes(call.content_type))
        if sum(map(len, payload)) > MAX_PAYLOAD_BYTES:
            return self._fail(call, _EVENT_TOO_LARGE)
        event = Event(payload, str(uuid.uuid4()), call.trace_id)
        # The function runs on when the gateway stops waiting for it, as on AWS.
        task = asyncio.ensure_future(self._invoke(integration.function_id, event))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=integration.timeout_seconds)
        if not done:
            self._logs.event(
                "gateway",
                f"{call.method} {call.path}: no answer within {integration.timeout_seconds:g} s",
                is_problem=True,
            )
            return self._fail(call, _TIMED_OUT)
        try:
            result = task.result()
        except Throttled:
            self._logs.event(
                "gateway", f"{call.method} {call.path}: the function is throttled", is_problem=True
            )
            return self._fail(call, self._integration_failure(_FUNCTION_THROTTLED))
        if result.is_error:
            return self._fail(call, _FUNCTION_FAILED)
        try:
            return self._answer(call, result.payload)
        except MalformedAnswer as error:
            self._logs.event(
                "gateway",
                f"{call.method} {call.path}: malformed answer of the function: {error}",
                is_problem=True,
            )
            is_body = isinstance(error, _UndecodableBody)
            return self._fail(call, _NOT_BASE64 if is_body else _MALFORMED_ANSWER)

    def _answer(self, call: "_Call", payload: bytes) -> web.Response:
        status, headers, body, is_base64 = read_answer(payload)
        if is_base64 and self._takes_bytes(call.first_accepted_type):
            try:
                content = base64.b64decode(body, validate=True)
            except binascii.Error as error:
                raise _UndecodableBody("the body is not base64") from error
        else:
            content = body.encode("utf-8", "surrogatepass")
        headers["x-amzn-RequestId"] = call.request_id
        headers["x-amz-apigw-id"] = call.extended_request_id
        headers["X-Amzn-Trace-Id"] = call.trace_id
        return web.Response(status=status, headers=headers, body=content)

    def _mock(self, call: "_Call", integration: MockIntegration) -> web.Response:
        media_type = call.content_type.split(";")[0].strip().lower()
        if integration.content_types is not None and media_type not in integration.content_types:
            return self._fail(call, _UNSUPPORTED_MEDIA_TYPE)
        for response in integration.responses:
            if response.pattern == "default" or re.fullmatch(
                response.pattern, str(integration.status)
            ):
                break
        else:
            return self._fail(call, _FUNCTION_THROTTLED)
        content_type, template = call.choose(response.templates, "")
        headers = CIMultiDict({"Content-Type": content_type})
        for name, value in response.headers.items():
            headers[name] = call.header_value(value)
        headers["x-amzn-RequestId"] = call.request_id
        headers["x-amz-apigw-id"] = call.extended_request_id
        return web.Response(
            status=response.status, headers=headers, body=call.render(template).encode()
        )

    def _fail(self, call: "_Call", failure: _Failure) -> web.Response:
        chosen = self._gateway_response(failure)
        call.error = failure
        content_type, template = call.choose(chosen.templates, _DEFAULT_TEMPLATE)
        headers = CIMultiDict({"Content-Type": content_type})
        for name, value in chosen.headers.items():
            headers[name] = call.header_value(value)
        headers["x-amzn-RequestId"] = call.request_id
        headers["x-amz-apigw-id"] = call.extended_request_id
        if failure.error_type:
            headers["x-amzn-ErrorType"] = failure.error_type
        return web.Response(
            status=chosen.status or failure.status,
            headers=headers,
            body=call.render(template).encode(),
        )

    def _gateway_response(self, failure: _Failure) -> GatewayResponse:
        declared = self._api.gateway_responses
        family = "DEFAULT_4XX" if failure.status < 500 else "DEFAULT_5XX"
        return declared.get(failure.kind) or declared.get(family) or GatewayResponse(None, {}, {})

    def _integration_failure(self, failure: _Failure) -> _Failure:
        """A throttled function shows as INTEGRATION_FAILURE, 504, once that is customised."""
        if "INTEGRATION_FAILURE" in self._api.gateway_responses:
            return _Failure("INTEGRATION_FAILURE", 504, failure.message, failure.error_type)
        return failure

    def _matches_binary(self, content_type: str) -> bool:
        media_type = content_type.split(";")[0].strip().lower()
        main_type = media_type.split("/")[0]
        return any(
            pattern in {media_type, "*/*", f"{main_type}/*"}
            for pattern in map(str.lower, self._api.binary_media_types)
        )


class _Call:
    """What the gateway knows about one request."""

    def __init__(
        self,
        request: web.BaseRequest,
        api: Api,
        api_id: str,
        stage_variables: Mapping[str, str] | None,
    ) -> None:
        self._api = api
        self._api_id = api_id
        self._stage_variables = stage_variables
        self.method = request.method
        self._raw_path, _, self._query = request.raw_path.partition("?")
        # Slashes before the path count for nothing, and are still seen in the context's path.
        self.path = f"/{self._raw_path.lstrip('/')}"
        self.route: Route | None = None
        self.path_parameters: Mapping[str, str] = {}
        self.error: _Failure | None = None
        self.request_id = str(uuid.uuid4())
        self.extended_request_id = base64.b64encode(uuid.uuid4().bytes[:11]).decode()
        self._time = time.time()
        self._headers, self._multi_value_headers = _headers(request)
        lookup = request.headers
        self.content_type = lookup.get("Content-Type") or "application/json"
        self.first_accepted_type = (lookup.get("Accept") or "").split(",")[0]
        host = lookup.get("Host") or "localhost"
        self._source_ip = request.remote or "127.0.0.1"
        self._user_agent = lookup.get("User-Agent")
        self._domain_name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        trace_id = lookup.get("X-Amzn-Trace-Id")
        self.trace_id = trace_id or f"Root=1-{int(self._time):08x}-{uuid.uuid4().hex[:24]}"
        forwarded = lookup.get("X-Forwarded-For")
        port = host.rsplit(":", 1)[1] if ":" in host and not host.endswith("]") else "80"
        for name, value in (
            ("X-Amzn-Trace-Id", self.trace_id),
            (
                "X-Forwarded-For",
                f"{forwarded}, {self._source_ip}" if forwarded else self._source_ip,
            ),
            ("X-Forwarded-Port", port),
            ("X-Forwarded-Proto", request.scheme),
        ):
            _set_header(self._headers, self._multi_value_headers, name, value)

    def event_json(self, body: bytes, is_binary: bool) -> list[bytes]:
        """The proxy event, in pieces; the body is never scanned or copied again."""
        assert self.route is not None
        single, multiple = _query_parameters(self._query)
        event = {
            "resource": self.route.path,
            "path": self.path,
            "httpMethod": self.method,
            "headers": self._headers or None,
            "multiValueHeaders": self._multi_value_headers or None,
            "queryStringParameters": single or None,
            "multiValueQueryStringParameters": multiple or None,
            "pathParameters": self.path_parameters or None,
            "stageVariables": self._stage_variables,
            "requestContext": self._context(self.route.path),
        }
        head = json.dumps(event, separators=(",", ":")).encode()[:-1]
        if not body:
            return [head, b',"body":null,"isBase64Encoded":false}']
        if is_binary:
            encoded = binascii.b2a_base64(body, newline=False)
            return [head, b',"body":"', encoded, b'","isBase64Encoded":true}']
        text = json.dumps(body.decode("utf-8", "replace")).encode()
        return [head, b',"body":', text, b',"isBase64Encoded":false}']

    def choose(self, templates: Mapping[str, str], default: str) -> tuple[str, str]:
        """Content type and template: the one that the client asks for, else JSON, else any."""
        for content_type in (self.first_accepted_type.split(";")[0].strip(), "application/json"):
            if content_type in templates:
                return content_type, templates[content_type]
        return next(iter(templates.items()), ("application/json", default))

    def render(self, template: str) -> str:
        """A template with its `$context` variables filled in."""
        return _VARIABLE.sub(lambda match: self._variable(match.group(2)), template)

    def header_value(self, mapping: str) -> str:
        """A mapped header: a literal in quotes, a context variable, or a request's own value."""
        if mapping.startswith("'") and mapping.endswith("'"):
            return mapping[1:-1]
        if mapping.startswith("method.request.header."):
            wanted = mapping.removeprefix("method.request.header.").lower()
            return next(
                (value for name, value in self._headers.items() if name.lower() == wanted), ""
            )
        if mapping.startswith("method.request.querystring."):
            single, _ = _query_parameters(self._query)
            return single.get(mapping.removeprefix("method.request.querystring."), "")
        if mapping.startswith("method.request.path."):
            return self.path_parameters.get(mapping.removeprefix("method.request.path."), "")
        return self._variable(mapping)

    def _variable(self, name: str) -> str:
        scope, _, rest = name.partition(".")
        if scope == "stageVariables":
            return (self._stage_variables or {}).get(rest, "")
        if rest.startswith("error."):
            failure = self.error
            values = {
                "error.message": failure.message if failure else "",
                "error.messageString": json.dumps(failure.message) if failure else "",
                "error.responseType": failure.kind if failure else "",
            }
            return values.get(rest, "")
        value: Any = self._context(self.route.path if self.route else self.path)
        for part in rest.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    def _context(self, resource_path: str) -> dict[str, Any]:
        return {
            "accountId": ACCOUNT_ID,
            "apiId": self._api_id,
            "deploymentId": _identifier(self._api_id + "deployment", 6),
            "domainName": self._domain_name,
            "domainPrefix": self._domain_name.split(".")[0],
            "extendedRequestId": self.extended_request_id,
            "httpMethod": self.method,
            "identity": {
                "accessKey": None,
                "accountId": None,
                "caller": None,
                "cognitoAuthenticationProvider": None,
                "cognitoAuthenticationType": None,
                "cognitoIdentityId": None,
                "cognitoIdentityPoolId": None,
                "principalOrgId": None,
                "sourceIp": self._source_ip,
                "user": None,
                "userAgent": self._user_agent,
                "userArn": None,
            },
            "path": f"/{self._api.stage}{self._raw_path}",
            "protocol": "HTTP/1.1",
            "requestId": self.request_id,
            "requestTime": _request_time(int(self._time)),
            "requestTimeEpoch": int(self._time * 1000),
            "resourceId": _identifier(resource_path, 6),
            "resourcePath": resource_path,
            "stage": self._api.stage,
        }


def read_answer(payload: bytes) -> tuple[int, CIMultiDict[str], str, bool]:
    """Status, headers, body and whether it is base64, out of a function's answer.

    No field is required, no other is allowed. Raises MalformedAnswer.
    """
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise MalformedAnswer("it is not JSON") from error
    if not isinstance(answer, dict):
        raise MalformedAnswer("it is not an object")
    if unknown := sorted(answer.keys() - _ANSWER_KEYS):
        raise MalformedAnswer(f"unknown keys: {', '.join(unknown)}")
    body = answer.get("body")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise MalformedAnswer("the body is not text")
    is_base64 = answer.get("isBase64Encoded") or False
    if not isinstance(is_base64, bool):
        raise MalformedAnswer("isBase64Encoded is not true or false")
    return _status(answer.get("statusCode")), _answer_headers(answer), body, is_base64


def _status(value: Any) -> int:
    if value is None:
        return 200
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and value.isdecimal()):
        raise MalformedAnswer(f"statusCode is {value!r}")
    status = int(value)
    if not 100 <= status <= 599:
        raise MalformedAnswer(f"statusCode is {status}")
    return status


def _answer_headers(answer: Mapping[str, Any]) -> CIMultiDict[str]:
    single = answer.get("headers") or {}
    multiple = answer.get("multiValueHeaders") or {}
    if not isinstance(single, dict) or not isinstance(multiple, dict):
        raise MalformedAnswer("headers are not an object")
    headers: CIMultiDict[str] = CIMultiDict()
    pairs = [(name, value) for name, value in single.items()]
    for name, values in multiple.items():
        if not isinstance(values, list):
            raise MalformedAnswer(f"multiValueHeaders: {name} is not a list")
        pairs += [(name, value) for value in values]
    for name, value in pairs:
        if isinstance(value, dict | list):
            raise MalformedAnswer(f"the header {name} is not text")
        lower = name.lower()
        if lower in _DROPPED or value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if re.search(r"[\r\n\0]", name + text):
            raise MalformedAnswer(f"the header {name!r} has a line break")
        target = f"x-amzn-Remapped-{name}" if lower in _REMAPPED else name
        # The same pair in both maps is one header.
        if text not in headers.getall(target, ()):
            headers.add(target, text)
    headers.setdefault("Content-Type", "application/json")
    return headers


def _unknown_path(authorization: str | None) -> _Failure:
    """What has no route is taken for a call of AWS's own, so the header for a signature."""
    if not authorization:
        return _UNKNOWN_PATH
    digest = base64.b64encode(hashlib.sha256(authorization.encode()).digest()).decode()
    return _Failure(
        "INVALID_SIGNATURE",
        403,
        "Invalid key=value pair (missing equal-sign) in Authorization header "
        f"(hashed with SHA-256 and encoded with Base64): '{digest}'.",
        "IncompleteSignatureException",
    )


def _body_too_large() -> web.Response:
    """Refused before it is known whose request it is: no gateway response changes this."""
    return web.Response(
        status=413,
        headers={"Content-Type": "text; charset=utf-8"},
        body=f"HTTP content length exceeded {MAX_BODY_BYTES} bytes.".encode(),
    )


async def _read_body(request: web.BaseRequest) -> bytes | None:
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


def _headers(request: web.BaseRequest) -> tuple[dict[str, str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    multiple: dict[str, list[str]] = {}
    for raw_name, raw_value in request.raw_headers:
        name = raw_name.decode("latin-1")
        if name.lower() in _NOT_PASSED_ON:
            continue
        name = _RESPELLED.get(name.lower(), name)
        value = raw_value.decode("utf-8", "replace")
        single[name] = value
        multiple.setdefault(name, []).append(value)
    return single, multiple


def _set_header(
    single: dict[str, str], multiple: dict[str, list[str]], name: str, value: str
) -> None:
    lower = name.lower()
    for present in [present for present in single if present.lower() == lower]:
        del single[present], multiple[present]
    single[name] = value
    multiple[name] = [value]


def _query_parameters(query: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    multiple: dict[str, list[str]] = {}
    # A semicolon ends a parameter as an ampersand does.
    text = query.replace(";", "&")
    for name, value in parse_qsl(text, keep_blank_values=True, errors="replace") if text else ():
        single[name] = value
        multiple.setdefault(name, []).append(value)
    return single, multiple


@lru_cache(2)
def _request_time(epoch_seconds: int) -> str:
    moment = time.gmtime(epoch_seconds)
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[moment.tm_mon * 3 - 3 : moment.tm_mon * 3]
    return time.strftime(f"%d/{month}/%Y:%H:%M:%S +0000", moment)


@lru_cache(512)
def _identifier(text: str, length: int) -> str:
    """A stable id that looks like API Gateway's."""
    number = zlib.crc32(text.encode()) * 2_654_435_761 + zlib.adler32(text.encode())
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    result = ""
    for _ in range(length):
        number, position = divmod(number, len(letters))
        result += letters[position]
    return result
