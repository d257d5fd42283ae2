"""The Lambda API's Invoke, for the AWS CLI and SDKs, and the address that functions report to."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from aiohttp import web

from infra.local.invocation import MAX_PAYLOAD_BYTES, Event, Throttled
from infra.local.lambda_.functions import FunctionService
from infra.local.lambda_.qualifiers import Qualified, Refused, find
from infra.local.network.access import is_of_a_strange_page, is_own_host, strange_page, unknown_host
from infra.local.network.connection import Server

# Of ours: the port where a terminal waits for breakpoints.
TERMINAL_HEADER = "X-Local-Cloud-Terminal"
# Of an asynchronous invocation.
_MAX_EVENT_BYTES = 1024 * 1024
_PREFIX = "/2015-03-31/functions/"
_SUFFIX = "/invocations"


class InvokeApi:
    """Serves on a loopback port of its own, to programs; signatures are not checked.

    `on_report` gets path and body of what is sent by PUT, and tells whether it is a report.
    """

    def __init__(self, functions: FunctionService, on_report: Callable[[str, bytes], bool]) -> None:
        self._functions = functions
        self._on_report = on_report

    def server(self) -> Server:
        """The aiohttp server that answers for this API."""
        return Server(self.handle, access_log=None)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if not is_own_host(request.headers.get("Host", "localhost")):
            return unknown_host()
        if is_of_a_strange_page(request.headers):
            return strange_page()
        path = request.raw_path.partition("?")[0]
        if request.method == "PUT" and self._on_report(path, await request.content.read()):
            return web.Response()
        if request.method == "POST" and path.startswith(_PREFIX) and path.endswith(_SUFFIX):
            name = unquote(path.removeprefix(_PREFIX).removesuffix(_SUFFIX))
            try:
                asked = find(self._functions.template, name, request.query.get("Qualifier") or None)
            except Refused as refused:
                return _error(refused.status, refused.error_type, refused.message)
            return await self._invoke(request, asked)
        return _error(404, "ResourceNotFoundException", f"There is nothing at {path}")

    async def _invoke(self, request: web.BaseRequest, asked: Qualified) -> web.Response:
        function = asked.function
        payload = await request.content.read() or b"{}"
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        limit_bytes = _MAX_EVENT_BYTES if kind == "Event" else MAX_PAYLOAD_BYTES
        if len(payload) > limit_bytes:
            return _error(
                413,
                "RequestTooLargeException",
                f"Request must be smaller than {limit_bytes} bytes for the InvokeFunction "
                "operation",
            )
        try:
            json.loads(payload)
        except ValueError as error:
            return _error(
                400, "InvalidRequestContentException", f"Could not parse request body: {error}"
            )
        try:
            client_context = _client_context(request.headers.get("X-Amz-Client-Context"))
        except ValueError:
            return _error(
                400,
                "InvalidRequestContentException",
                "Client context must be a valid Base64-encoded JSON object.",
            )
        event = Event(
            [payload],
            str(uuid4()),
            trace_id=request.headers.get("X-Amzn-Trace-Id"),
            client_context=client_context,
            wants_log=request.headers.get("X-Amz-Log-Type") == "Tail",
            qualifier=asked.qualifier,
            version=asked.version,
        )
        headers = {"x-amzn-RequestId": event.request_id}
        match kind:
            case "DryRun":
                return web.Response(status=204, headers=headers)
            case "Event":
                self._functions.invoke_later(function.logical_id, event)
                return web.Response(status=202, headers=headers)
            case "RequestResponse":
                terminal = request.headers.get(TERMINAL_HEADER)
                return await self._answer(function.logical_id, event, headers, terminal)
            case other:
                return _error(400, "InvalidParameterValueException", f"No invocation type {other}")

    async def _answer(
        self, function_id: str, event: Event, headers: dict[str, str], terminal: str | None
    ) -> web.Response:
        try:
            if terminal is not None and terminal.isdecimal():
                result = await self._functions.invoke_apart(function_id, event, int(terminal))
            else:
                result = await self._functions.invoke(function_id, event)
        except Throttled:
            return _error(
                429,
                "TooManyRequestsException",
                "Rate Exceeded.",
                reason="ReservedFunctionConcurrentInvocationLimitExceeded",
            )
        headers |= {"X-Amz-Executed-Version": event.version, "Content-Type": "application/json"}
        if result.is_error:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if event.wants_log:
            # The last 4 KB, as Lambda returns them.
            headers["X-Amz-Log-Result"] = base64.b64encode(result.log[-4096:]).decode()
        return web.Response(body=result.payload, headers=headers)


def _client_context(header: str | None) -> str | None:
    """The JSON text in it. Raises ValueError."""
    if header is None:
        return None
    text = base64.b64decode(header, validate=True).decode()
    if not text.lstrip().startswith("{"):
        raise ValueError(text)
    json.loads(text)
    return text


def _error(status: int, error_type: str, message: str, reason: str | None = None) -> web.Response:
    body: dict[str, Any] = {"Type": "User", "Message": message}
    if reason is not None:
        body |= {"Reason": reason, "message": message}
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-Amzn-ErrorType": error_type},
    )
