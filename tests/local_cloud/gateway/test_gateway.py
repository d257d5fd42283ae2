"""The gateway against what AWS documents of REST APIs with Lambda proxy integration."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from infra.local.gateway.request import MAX_BODY_BYTES
from infra.local.gateway.server import Gateway
from infra.local.invocation import Event, Result, Throttled
from infra.local.logs import LogStream
from infra.local.template.model import (
    Api,
    FunctionIntegration,
    GatewayResponse,
    MockIntegration,
    MockResponse,
    Route,
)
from infra.services.ports import hold_free_port, port_of
from tests.proxy_events import KEYS, keys_of
from tests.waiting import until

pytestmark = pytest.mark.asyncio

MOCK_405 = MockIntegration(
    405,
    frozenset({"application/json"}),
    (
        MockResponse(
            "default",
            405,
            {"Allow": "'GET, OPTIONS'", "X-Id": "context.requestId"},
            {"application/json": '{"detail": "not $context.httpMethod on $context.resourcePath"}'},
        ),
    ),
)
PREFLIGHT = MockIntegration(
    200,
    None,
    (
        MockResponse("4\\d\\d", 400, {}, {}),
        MockResponse("default", 200, {"Access-Control-Allow-Origin": "'*'"}, {}),
    ),
)
API = Api(
    logical_id="Api",
    stage="v1",
    stage_variables={},
    binary_media_types=("multipart/form-data", "image/*"),
    routes=(
        Route("/items/{item_id}", "GET", FunctionIntegration("Items", 29.0)),
        Route("/items/{item_id}", "POST", FunctionIntegration("Items", 29.0)),
        Route("/items/{item_id}", "OPTIONS", PREFLIGHT),
        Route("/items/{item_id}", "ANY", MOCK_405),
        Route("/slow", "GET", FunctionIntegration("Slow", 0.05)),
        Route("/files/{proxy+}", "ANY", FunctionIntegration("Items", 29.0)),
    ),
    gateway_responses={},
)


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A gateway in front of one function that the test plays."""

    port: int
    gateway: Gateway
    log: io.StringIO
    events: list[Any] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: {"statusCode": 200, "body": "fine"})
    raises: Exception | None = None
    is_error: bool = False
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One request, byte for byte as given: no client library tidies it up."""
        lines = [f"{method} {target} HTTP/1.1"]
        given = {"Host": f"localhost:{self.port}", "Connection": "close", **(headers or {})}
        if body and "Transfer-Encoding" not in given:
            given.setdefault("Content-Length", str(len(body)))
        lines += [f"{name}: {value}" for name, value in given.items()]
        return await self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    async def raw(self, request: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            first, *rest = head.decode().split("\r\n")
            headers = [(line.split(": ", 1)[0], line.split(": ", 1)[1]) for line in rest if line]
            length = {name.lower(): value for name, value in headers}["content-length"]
            body = await reader.readexactly(int(length))
        finally:
            writer.close()
            await writer.wait_closed()
        return Answer(int(first.split()[1]), headers, body)


Serve = Callable[..., Any]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def start(api: Api = API) -> AsyncIterator[Site]:
        log = io.StringIO()

        async def invoke(function_id: str, event: Event) -> Result:
            site.events.append(json.loads(b"".join(event.payload)))
            if function_id == "Slow":
                await site.release.wait()
            if site.raises is not None:
                raise site.raises
            answer = site.answer
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            return Result(payload, is_error=site.is_error)

        held = hold_free_port()
        gateway = Gateway(api, invoke, LogStream(log))
        site = Site(port_of(held), gateway, log)
        runner = web.ServerRunner(gateway.server())
        await runner.setup()
        await web.SockSite(runner, held).start()
        try:
            yield site
        finally:
            site.release.set()
            await runner.cleanup()

    return start


async def test_the_event_has_every_key_that_aws_sends(serve: Serve) -> None:
    async with serve() as site:
        answer = await site.request("GET", "/items/7", {"User-Agent": "test"})
    assert (answer.status, answer.body) == (200, b"fine")
    (event,) = site.events
    assert keys_of(event) == KEYS
    assert event["resource"] == "/items/{item_id}"
    assert event["path"] == "/items/7"
    assert event["httpMethod"] == "GET"
    assert event["pathParameters"] == {"item_id": "7"}
    assert event["queryStringParameters"] is None
    assert event["multiValueQueryStringParameters"] is None
    assert event["stageVariables"] is None
    assert event["body"] is None
    assert event["isBase64Encoded"] is False


async def test_the_request_context_names_the_request(serve: Serve) -> None:
    async with serve() as site:
        answer = await site.request("GET", "/items/7", {"User-Agent": "test"})
    context = site.events[0]["requestContext"]
    assert context["path"] == "/v1/items/7"
    assert context["resourcePath"] == "/items/{item_id}"
    assert context["stage"] == "v1"
    assert context["protocol"] == "HTTP/1.1"
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "test"
    assert context["requestId"] == answer.header("x-amzn-RequestId")
    day, month, rest = context["requestTime"].split("/")
    assert day.isdecimal() and len(month) == 3 and rest.endswith(" +0000")
    assert context["requestTimeEpoch"] > 1_700_000_000_000


async def test_headers_are_passed_on_with_those_that_api_gateway_adds(serve: Serve) -> None:
    request = (
        b"GET /items/7 HTTP/1.1\r\nHost: localhost:81\r\nConnection: close\r\n"
        b"X-Twice: one\r\nX-Twice: two\r\nContent-Length: 0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    )
    async with serve() as site:
        await site.raw(request)
    headers, multiple = site.events[0]["headers"], site.events[0]["multiValueHeaders"]
    assert headers["X-Twice"] == "two"
    assert multiple["X-Twice"] == ["one", "two"]
    assert headers["Host"] == "localhost:81"
    assert headers["X-Forwarded-For"] == "1.2.3.4, 127.0.0.1"
    assert headers["X-Forwarded-Port"] == "81"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["X-Amzn-Trace-Id"].startswith("Root=1-")
    assert {"content-length", "connection"} & {name.lower() for name in headers} == set()
    assert multiple.keys() == headers.keys()


@pytest.mark.parametrize(
    ("query", "single", "multiple"),
    [
        ("?a=1", {"a": "1"}, {"a": ["1"]}),
        ("?a=1&a=2", {"a": "2"}, {"a": ["1", "2"]}),
        ("?a=b+c%20d%26", {"a": "b c d&"}, {"a": ["b c d&"]}),
        ("?a=&b", {"a": "", "b": ""}, {"a": [""], "b": [""]}),
        ("?a=1;b=2", {"a": "1", "b": "2"}, {"a": ["1"], "b": ["2"]}),
        ("?%C3%A9=%C3%BC", {"é": "ü"}, {"é": ["ü"]}),
        ("?", None, None),
    ],
)
async def test_a_query_is_decoded_and_its_last_value_wins(
    serve: Serve, query: str, single: object, multiple: object
) -> None:
    async with serve() as site:
        await site.request("GET", f"/items/7{query}")
    assert site.events[0]["queryStringParameters"] == single
    assert site.events[0]["multiValueQueryStringParameters"] == multiple


async def test_slashes_before_the_path_are_seen_in_the_context_alone(serve: Serve) -> None:
    async with serve() as site:
        await site.request("GET", "//items/7")
    assert site.events[0]["resource"] == "/items/{item_id}"
    assert site.events[0]["path"] == "/items/7"
    assert site.events[0]["requestContext"]["path"] == "/v1//items/7"


async def test_two_headers_arrive_in_one_spelling(serve: Serve) -> None:
    async with serve() as site:
        await site.request(
            "GET", "/items/7", {"aUThorization": "a", "user-agent": "b", "tEsT-HEADeR": "c"}
        )
    headers = site.events[0]["headers"]
    assert (headers["Authorization"], headers["User-Agent"]) == ("a", "b")
    assert headers["tEsT-HEADeR"] == "c"
    assert "aUThorization" not in headers and "user-agent" not in headers


async def test_path_parameters_are_not_decoded(serve: Serve) -> None:
    async with serve() as site:
        await site.request("GET", "/items/a%2Fb%20c")
        await site.request("GET", "/files/a//b%20c/")
    assert site.events[0]["pathParameters"] == {"item_id": "a%2Fb%20c"}
    assert site.events[0]["path"] == "/items/a%2Fb%20c"
    assert site.events[1]["path"] == "/files/a//b%20c/"


async def test_a_body_of_a_binary_type_arrives_in_base64(serve: Serve) -> None:
    body = bytes(range(256)) * 20
    async with serve() as site:
        await site.request(
            "POST", "/items/7", {"Content-Type": "multipart/form-data; boundary=x"}, body
        )
        await site.request("POST", "/items/7", {"Content-Type": "image/png"}, body)
    for event in site.events:
        assert event["isBase64Encoded"] is True
        assert base64.b64decode(event["body"]) == body


async def test_any_other_body_arrives_as_text_with_what_is_not_utf8_replaced(
    serve: Serve,
) -> None:
    async with serve() as site:
        await site.request(
            "POST", "/items/7", {"Content-Type": "application/json"}, b'{"a": "\xc3\xa9\xff\\n"}'
        )
        await site.request("POST", "/items/7", {}, b"no type at all")
    assert site.events[0]["body"] == '{"a": "é\ufffd\\n"}'
    assert site.events[0]["isBase64Encoded"] is False
    assert site.events[1]["body"] == "no type at all"


async def test_a_chunked_body_arrives_whole(serve: Serve) -> None:
    async with serve() as site:
        await site.request(
            "POST",
            "/items/7",
            {"Transfer-Encoding": "chunked"},
            b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        )
    assert site.events[0]["body"] == "abcdefg"
    assert "transfer-encoding" not in {name.lower() for name in site.events[0]["headers"]}


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(serve: Serve) -> None:
    async with serve() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(
            b"POST /items/7 HTTP/1.1\r\nHost: x\r\n"
            b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert (await reader.readline()) == b"HTTP/1.1 100 Continue\r\n"
        writer.write(b"abc")
        await reader.readuntil(b"fine")
        writer.close()
        await writer.wait_closed()
    assert site.events[0]["body"] == "abc"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_ten_megabytes_is_refused(serve: Serve, announced: bool) -> None:
    if announced:
        headers, body = {"Content-Length": str(MAX_BODY_BYTES + 1)}, b""
    else:
        content = b"x" * (MAX_BODY_BYTES + 1)
        headers = {"Transfer-Encoding": "chunked"}
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    api = replace(API, gateway_responses={"REQUEST_TOO_LARGE": GatewayResponse(400, {}, {})})
    async with serve(api) as site:
        answer = await site.request("POST", "/items/7", headers, body)
    assert (answer.status, answer.header("Content-Type")) == (413, "text; charset=utf-8")
    assert answer.body == b"HTTP content length exceeded 10485760 bytes."
    assert answer.header("x-amzn-RequestId") is None
    assert site.events == []


async def test_a_body_that_lambda_would_not_take_is_refused(serve: Serve) -> None:
    async with serve() as site:
        fits = await site.request(
            "POST", "/items/7", {"Content-Type": "image/png"}, b"x" * 4_700_000
        )
        large = await site.request(
            "POST", "/items/7", {"Content-Type": "image/png"}, b"x" * 4_720_000
        )
    assert fits.status == 200
    assert (large.status, large.json()) == (413, {"message": "Request Too Long"})
    assert large.header("x-amzn-ErrorType") == "BadRequestException"
    assert len(site.events) == 1


async def test_headers_over_ten_kilobytes_are_refused(serve: Serve) -> None:
    async with serve() as site:
        fits = await site.request("GET", "/items/7", {"Cookie": "x" * 10_000})
        large = await site.request("GET", "/items/7", {"Cookie": "x" * 10_240})
    assert fits.status == 200
    assert large.status == 431


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 200, "body": "", "unknown": 1},
        {"statusCode": "two hundred"},
        {"statusCode": True},
        {"statusCode": 20},
        {"statusCode": 200.5},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "headers": ["no", "object"]},
        {"statusCode": 200, "headers": {"X": {"nested": 1}}},
        {"statusCode": 200, "headers": {"X": "line\r\nbreak"}},
        {"statusCode": 200, "multiValueHeaders": {"X": "no list"}},
        {"statusCode": 200, "body": "x", "isBase64Encoded": "yes"},
        "text",
        ["list"],
        None,
        b"not json",
    ],
)
async def test_a_malformed_answer_is_a_502(serve: Serve, answer: object) -> None:
    async with serve() as site:
        site.answer = answer
        response = await site.request("GET", "/items/7")
    assert response.status == 502
    assert response.json() == {"message": "Internal server error"}
    assert "malformed answer" in site.log.getvalue()


async def test_an_answer_needs_no_field(serve: Serve) -> None:
    async with serve() as site:
        site.answer = {}
        response = await site.request("GET", "/items/7")
    assert (response.status, response.body) == (200, b"")
    assert response.header("Content-Type") == "application/json"


async def test_an_answers_status_may_be_text_and_its_header_a_number(serve: Serve) -> None:
    async with serve() as site:
        site.answer = {"statusCode": "201", "headers": {"X-Count": 3, "X-Flag": True}}
        response = await site.request("GET", "/items/7")
    assert response.status == 201
    assert response.header("X-Count") == "3"
    assert response.header("X-Flag") == "true"


async def test_both_header_maps_of_an_answer_are_merged(serve: Serve) -> None:
    async with serve() as site:
        site.answer = {
            "statusCode": 200,
            "headers": {"X-One": "1", "Set-Cookie": "a=1", "content-type": "text/plain"},
            "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "X-Two": ["x", "y"]},
        }
        response = await site.request("GET", "/items/7")
    assert [value for name, value in response.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert [value for name, value in response.headers if name == "X-Two"] == ["x", "y"]
    assert response.header("X-One") == "1"
    assert response.header("Content-Type") == "text/plain"


async def test_headers_that_api_gateway_keeps_for_itself_are_renamed(serve: Serve) -> None:
    async with serve() as site:
        site.answer = {
            "statusCode": 401,
            "headers": {"WWW-Authenticate": "Bearer", "Content-Length": "999", "Connection": "x"},
        }
        response = await site.request("GET", "/items/7")
    assert response.status == 401
    assert response.header("x-amzn-Remapped-WWW-Authenticate") == "Bearer"
    assert response.header("WWW-Authenticate") is None
    assert response.header("Content-Length") == "0"


@pytest.mark.parametrize(
    ("accept", "is_decoded"),
    [
        ("image/png", True),
        ("image/webp,image/apng,*/*;q=0.8", True),
        ("IMAGE/PNG;q=0.9", True),
        ("text/html,image/png", False),
        ("*/*", False),
        (None, False),
    ],
)
async def test_base64_is_decoded_only_for_a_client_that_first_accepts_a_binary_type(
    serve: Serve, accept: str | None, is_decoded: bool
) -> None:
    encoded = base64.b64encode(b"\x00\xff bytes").decode()
    async with serve() as site:
        site.answer = {"statusCode": 200, "body": encoded, "isBase64Encoded": True}
        response = await site.request("GET", "/items/7", {"Accept": accept} if accept else {})
        site.answer = {"statusCode": 200, "body": encoded, "isBase64Encoded": False}
        not_flagged = await site.request("GET", "/items/7", {"Accept": accept} if accept else {})
    assert response.body == (b"\x00\xff bytes" if is_decoded else encoded.encode())
    assert not_flagged.body == encoded.encode()


async def test_a_body_flagged_as_base64_that_is_not_base64_is_a_configuration_error(
    serve: Serve,
) -> None:
    async with serve() as site:
        site.answer = {"statusCode": 200, "body": "%%%", "isBase64Encoded": True}
        response = await site.request("GET", "/items/7", {"Accept": "image/png"})
        customised = GatewayResponse(555, {}, {})
        site.gateway.use(replace(API, gateway_responses={"API_CONFIGURATION_ERROR": customised}))
        again = await site.request("GET", "/items/7", {"Accept": "image/png"})
    assert (response.status, response.json()) == (500, {"message": "Internal server error"})
    assert again.status == 555


@pytest.mark.parametrize("target", ["/unknown", "/", "/items", "/items/7/more", "/Items/7"])
async def test_an_unknown_path_is_missing_authentication(serve: Serve, target: str) -> None:
    async with serve() as site:
        response = await site.request("GET", target)
    assert response.status == 403
    assert response.json() == {"message": "Missing Authentication Token"}
    assert response.header("x-amzn-ErrorType") == "MissingAuthenticationTokenException"


async def test_an_unknown_path_takes_an_authorization_header_for_a_signature(
    serve: Serve,
) -> None:
    async with serve() as site:
        response = await site.request("GET", "/unknown", {"Authorization": "Bearer secret"})
    assert response.status == 403
    assert response.header("x-amzn-ErrorType") == "IncompleteSignatureException"
    assert response.json()["message"].startswith("Invalid key=value pair (missing equal-sign)")
    assert b"secret" not in response.body


async def test_a_functions_error_is_an_integration_failure_but_a_malformed_answer_is_not(
    serve: Serve,
) -> None:
    template = {"application/json": '{"kind": "$context.error.responseType"}'}
    api = replace(API, gateway_responses={"DEFAULT_5XX": GatewayResponse(None, {}, template)})
    async with serve(api) as site:
        site.answer, site.is_error = {"errorMessage": "no"}, True
        failed = await site.request("GET", "/items/7")
        site.answer, site.is_error = None, False
        malformed = await site.request("GET", "/items/7")
    assert (failed.status, failed.json()) == (502, {"kind": "INTEGRATION_FAILURE"})
    assert (malformed.status, malformed.json()) == (502, {"kind": "DEFAULT_5XX"})


async def test_a_gateway_response_of_the_template_replaces_the_default(serve: Serve) -> None:
    declared = GatewayResponse(
        404,
        {"X-Why": "'not here'", "X-Path": "context.path"},
        {"application/json": '{"detail": $context.error.messageString, "at": "$context.path"}'},
    )
    api = replace(API, gateway_responses={"MISSING_AUTHENTICATION_TOKEN": declared})
    async with serve(api) as site:
        response = await site.request("GET", "/unknown")
    assert response.status == 404
    assert response.json() == {"detail": "Missing Authentication Token", "at": "/v1/unknown"}
    assert response.header("X-Why") == "not here"
    assert response.header("X-Path") == "/v1/unknown"


async def test_the_default_of_a_family_answers_for_all_its_types(serve: Serve) -> None:
    api = replace(
        API,
        gateway_responses={
            "DEFAULT_4XX": GatewayResponse(
                None, {}, {"application/json": '{"detail": $context.error.messageString}'}
            ),
            "DEFAULT_5XX": GatewayResponse(None, {}, {"application/json": '{"detail": "later"}'}),
        },
    )
    async with serve(api) as site:
        unknown = await site.request("GET", "/unknown")
        site.answer = None
        malformed = await site.request("GET", "/items/7")
    assert (unknown.status, unknown.json()) == (403, {"detail": "Missing Authentication Token"})
    assert (malformed.status, malformed.json()) == (502, {"detail": "later"})


async def test_a_functions_error_is_a_502_without_its_words(serve: Serve) -> None:
    async with serve() as site:
        site.answer, site.is_error = {"errorMessage": "password is 1234"}, True
        response = await site.request("GET", "/items/7")
    assert response.status == 502
    assert response.json() == {"message": "Internal server error"}


async def test_a_function_that_takes_too_long_is_a_504_and_runs_on(serve: Serve) -> None:
    async with serve() as site:
        response = await site.request("GET", "/slow")
        assert response.status == 504
        assert response.json() == {"message": "Endpoint request timed out"}
        assert len(site.gateway._running) == 1
        site.release.set()
        await until(lambda: not site.gateway._running)


async def test_a_throttled_function_is_a_500_and_an_integration_failure_once_customised(
    serve: Serve,
) -> None:
    async with serve() as site:
        site.raises = Throttled("Items")
        response = await site.request("GET", "/items/7")
        api = replace(API, gateway_responses={"INTEGRATION_FAILURE": GatewayResponse(503, {}, {})})
        site.gateway.use(api)
        customised = await site.request("GET", "/items/7")
    assert (response.status, response.json()) == (500, {"message": "Internal server error"})
    assert customised.status == 503


async def test_a_mock_integration_answers_without_a_function(serve: Serve) -> None:
    async with serve() as site:
        response = await site.request("DELETE", "/items/7")
        unsupported = await site.request("DELETE", "/items/7", {"Content-Type": "text/csv"})
    assert response.status == 405
    assert response.header("Allow") == "GET, OPTIONS"
    assert response.header("X-Id") == response.header("x-amzn-RequestId")
    assert response.json() == {"detail": "not DELETE on /items/{item_id}"}
    assert unsupported.status == 415
    assert site.events == []


async def test_a_preflight_request_is_answered_by_the_gateway(serve: Serve) -> None:
    async with serve() as site:
        response = await site.request("OPTIONS", "/items/7", {"Origin": "https://example.org"})
    assert response.status == 200
    assert response.header("Access-Control-Allow-Origin") == "*"
    assert site.events == []


async def test_with_every_type_binary_all_bodies_are_base64_both_ways(serve: Serve) -> None:
    async with serve(replace(API, binary_media_types=("*/*",))) as site:
        site.answer = {"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}
        response = await site.request("POST", "/items/7", {}, b"text")
    assert site.events[0]["isBase64Encoded"] is True
    assert response.body == b"hi"


async def test_requests_on_one_connection_are_answered_in_turn(serve: Serve) -> None:
    async with serve() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for number in range(3):
            writer.write(f"GET /items/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(b"fine")
        writer.close()
        await writer.wait_closed()
    assert [event["pathParameters"]["item_id"] for event in site.events] == ["0", "1", "2"]
