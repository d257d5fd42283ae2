"""The gateway where tests/conformance cannot ask: what it counts, waits for and keeps to itself.

What AWS documents of a request and its answer is in tests/conformance/pairs.py.
"""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from infra.local.gateway.request import MAX_BODY_BYTES
from infra.local.invocation import Throttled
from infra.local.template.model import (
    Api,
    FunctionIntegration,
    GatewayResponse,
    MockIntegration,
    MockResponse,
    Route,
    Validation,
)
from tests.conformance.exchange import ABSENT
from tests.local_cloud.gateway.site import Header, Site, serving
from tests.proxy_events import KEYS, keys_of
from tests.waiting import until

MOCK_405 = MockIntegration(
    405,
    frozenset({"application/json"}),
    (
        MockResponse("2\\d\\d", 200, {}, {}),
        MockResponse(
            "default",
            405,
            {"Allow": "'GET, OPTIONS'", "X-Id": "context.requestId"},
            {"application/json": '{"detail": "not $context.httpMethod on $context.resourcePath"}'},
        ),
    ),
)
GIVEN = ("X-Header-Param", "1")
CHECKED = Validation(
    required=frozenset({("header", "x-header-param"), ("querystring", "qs1"), ("path", "issuer")}),
    schemas={"application/json": '{"type": "object", "required": ["name"]}'},
)
API = Api(
    logical_id="Api",
    stage="v1",
    stage_variables={},
    binary_media_types=("multipart/form-data", "image/*"),
    minimum_compression_bytes=None,
    routes=(
        Route("/items/{item_id}", "GET", FunctionIntegration("Items", 29.0)),
        Route("/items/{item_id}", "POST", FunctionIntegration("Items", 29.0)),
        Route("/items/{item_id}", "ANY", MOCK_405),
        Route("/slow", "GET", FunctionIntegration("Slow", 0.05)),
        Route("/checked/{issuer}", "POST", FunctionIntegration("Items", 29.0), CHECKED),
    ),
    gateway_responses={},
)


IMAGE = ("Content-Type", "image/png")
CHUNKED = ("Transfer-Encoding", "chunked")

Serve = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def serve() -> Serve:
    return lambda api=API: serving(api)


async def test_the_event_names_the_client_and_where_it_came_in(serve: Serve) -> None:
    async with serve() as site:
        answer = await site.request("GET", "/items/7", ("X-Forwarded-For", "1.2.3.4"))
    (event,) = site.events
    assert keys_of(event) == KEYS
    headers, context = event["headers"], event["requestContext"]
    assert headers["Host"] == "localhost:81"
    assert headers["X-Forwarded-For"] == "1.2.3.4, 127.0.0.1"
    assert headers["X-Forwarded-Port"] == "81"
    assert headers["X-Forwarded-Proto"] == "http"
    assert event["multiValueHeaders"].keys() == headers.keys()
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["requestId"] == answer.header("x-amzn-RequestId")
    assert context["requestTimeEpoch"] > 1_700_000_000_000


async def test_no_answer_names_a_server(serve: Serve) -> None:
    async with serve() as site:
        for path in ("/items/7", "/unknown", "/items/%0"):
            answer = await site.request("GET", path)
            assert answer.header("Server") == ABSENT


async def test_a_chunked_body_arrives_whole(serve: Serve) -> None:
    async with serve() as site:
        body = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        await site.request("POST", "/items/7", CHUNKED, body=body)
    assert site.events[0]["body"] == "abcdefg"
    assert "transfer-encoding" not in {name.lower() for name in site.events[0]["headers"]}


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "nonsense"])
async def test_a_body_that_says_that_it_is_compressed_arrives_as_it_is(
    serve: Serve, encoding: str
) -> None:
    async with serve() as site:
        answer = await site.request(
            "POST", "/items/7", ("Content-Encoding", encoding), body=b"this is not gzip"
        )
    assert answer.status == 200
    assert site.events[0]["body"] == "this is not gzip"


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


async def test_a_body_that_does_not_announce_its_length_is_counted(serve: Serve) -> None:
    content = b"x" * (MAX_BODY_BYTES + 1)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    async with serve() as site:
        answer = await site.request("POST", "/items/7", CHUNKED, body=body)
    assert answer.body == b"HTTP content length exceeded 10485760 bytes."
    assert site.events == []


async def test_a_body_that_lambda_would_not_take_is_refused(serve: Serve) -> None:
    async with serve() as site:
        fits = await site.request("POST", "/items/7", IMAGE, body=b"x" * 4_700_000)
        large = await site.request("POST", "/items/7", IMAGE, body=b"x" * 4_720_000)
    assert (fits.status, large.status) == (200, 413)
    assert len(site.events) == 1


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /items/7 HTTP/2.0", 505),
        (b"GET /items/7 HTTP/0.9", 505),
        (b"GET /items/7 HTTP/1.1\r\nX: a\0b", 400),
        (b"GET  /items/7\t HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
    ],
)
async def test_what_is_not_http_is_refused_in_json(serve: Serve, line: bytes, status: int) -> None:
    async with serve() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(line + b"\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert head.split(b" ")[1] == str(status).encode()
    assert json.loads(body).keys() == {"detail", "code"}
    assert site.events == []


async def test_headers_over_ten_kilobytes_are_refused(serve: Serve) -> None:
    async with serve() as site:
        fits = await site.request("GET", "/items/7", ("Cookie", "x" * 10_000))
        large = await site.request("GET", "/items/7", ("Cookie", "x" * 10_240))
    assert (fits.status, large.status) == (200, 431)


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": True},
        {"statusCode": 20},
        {"statusCode": 200.5},
        {"statusCode": 200, "headers": ["no", "object"]},
        {"statusCode": 200, "headers": {"X": {"nested": 1}}},
        {"statusCode": 200, "headers": {"X": "line\r\nbreak"}},
        {"statusCode": 200, "body": "x", "isBase64Encoded": "yes"},
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


async def test_an_answers_header_may_be_a_number_but_its_length_is_the_gateways(
    serve: Serve,
) -> None:
    async with serve() as site:
        site.answer = {"headers": {"X-Count": 3, "Content-Length": "999", "Connection": "x"}}
        response = await site.request("GET", "/items/7")
    assert (response.status, response.header("X-Count")) == (200, "3")
    assert response.header("Content-Length") == "0"


async def test_the_default_of_a_family_answers_for_all_its_types(serve: Serve) -> None:
    words = {"application/json": '{"kind": "$context.error.responseType"}'}
    families = ("DEFAULT_4XX", "DEFAULT_5XX")
    declared = {family: GatewayResponse(None, {}, words) for family in families}
    async with serve(replace(API, gateway_responses=declared)) as site:
        unknown = await site.request("GET", "/unknown")
        site.answer = None
        malformed = await site.request("GET", "/items/7")
    assert (unknown.status, unknown.json()) == (403, {"kind": "MISSING_AUTHENTICATION_TOKEN"})
    assert (malformed.status, malformed.json()) == (502, {"kind": "DEFAULT_5XX"})


async def test_a_function_that_takes_too_long_is_a_504_and_runs_on(serve: Serve) -> None:
    async with serve() as site:
        response = await site.request("GET", "/slow")
        assert response.status == 504
        assert site.outlived == 0
        site.release.set()
        await until(lambda: site.outlived == 1)


async def test_a_throttled_function_is_a_500_and_an_integration_failure_once_customised(
    serve: Serve,
) -> None:
    async with serve() as site:
        site.raises = Throttled("Items")
        response = await site.request("GET", "/items/7")
        api = replace(API, gateway_responses={"INTEGRATION_FAILURE": GatewayResponse(503, {}, {})})
        site.use(api)
        customised = await site.request("GET", "/items/7")
    assert (response.status, response.json()) == (500, {"message": "Internal server error"})
    assert customised.status == 503


async def test_a_mock_integration_answers_without_a_function(serve: Serve) -> None:
    async with serve() as site:
        response = await site.request("DELETE", "/items/7")
        unsupported = await site.request("DELETE", "/items/7", ("Content-Type", "text/csv"))
    assert response.status == 405
    assert response.header("Allow") == "GET, OPTIONS"
    assert response.header("X-Id") == response.header("x-amzn-RequestId")
    assert response.json() == {"detail": "not DELETE on /items/{item_id}"}
    assert unsupported.status == 415
    assert site.events == []


@pytest.mark.parametrize(
    ("binary_type", "headers"),
    [("*/*", ()), ("image/*", (IMAGE, ("Accept", "IMAGE/WEBP;q=0.9,text/plain")))],
)
async def test_with_a_family_of_types_binary_bodies_are_base64_both_ways(
    serve: Serve, binary_type: str, headers: tuple[Header, ...]
) -> None:
    async with serve(replace(API, binary_media_types=(binary_type,))) as site:
        site.answer = {"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}
        response = await site.request("POST", "/items/7", *headers, body=b"text")
    assert (site.events[0]["body"], site.events[0]["isBase64Encoded"]) == ("dGV4dA==", True)
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


@pytest.mark.parametrize(
    ("target", "headers", "body", "status", "message"),
    [
        (
            "/checked/me",
            (),
            b'{"name": "x"}',
            400,
            "Missing required request parameters: [x-header-param, qs1]",
        ),
        (
            "/checked/me?qs1=",
            (GIVEN,),
            b'{"nope": 1}',
            400,
            "Invalid request body",
        ),
        ("/checked/me?qs1=", (GIVEN,), b"{", 400, "Invalid request body"),
        ("/checked/me?qs1=", (GIVEN,), b"", 400, "Invalid request body"),
        ("/checked/me?qs1=", (GIVEN,), b'{"name": "x"}', 200, None),
        (
            "/checked/me?qs1=",
            (GIVEN, ("Content-Type", "text/plain")),
            b"no model is for it",
            200,
            None,
        ),
    ],
)
async def test_a_request_validator_asks_for_parameters_and_the_model_for_a_body(
    serve: Serve,
    target: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    status: int,
    message: str | None,
) -> None:
    async with serve() as site:
        answer = await site.request("POST", target, *headers, body=body)
    assert answer.status == status
    assert len(site.events) == (1 if message is None else 0)
    if message is not None:
        assert json.loads(answer.body) == {"message": message}


async def test_headers_that_aws_keeps_to_itself_do_not_arrive(serve: Serve) -> None:
    kept = (
        *("Content-MD5", "Max-Forwards", "Proxy-Authenticate", "Server", "TE", "Trailer"),
        *("Upgrade", "WWW-Authenticate"),
    )
    async with serve() as site:
        await site.request("GET", "/items/7", *((name, "x") for name in kept), ("X-Other", "y"))
    arrived = {name.lower() for name in site.events[0]["headers"]}
    assert "x-other" in arrived
    assert not arrived & {name.lower() for name in kept}


async def test_a_trace_gets_the_parent_that_it_lacks(serve: Serve) -> None:
    given = ("Root=1-2-3", "Root=1-2-3;Parent=4", "Self=5")
    async with serve() as site:
        for trace_id in given:
            await site.request("GET", "/items/7", ("X-Amzn-Trace-Id", trace_id))
    first, *others = [event["headers"]["X-Amzn-Trace-Id"] for event in site.events]
    assert re.fullmatch("Root=1-2-3;Parent=[0-9a-f]{16}", first)
    assert others == ["Root=1-2-3;Parent=4", "Self=5"]


async def test_the_spelling_of_a_header_is_that_of_its_several_values(serve: Serve) -> None:
    async with serve() as site:
        site.answer = {
            "multiValueHeaders": {"tesT-Multi": ["value-multi"]},
            "headers": {"test-multi": "value-solo"},
            "body": 42,
        }
        answer = await site.request("GET", "/items/7")
    found = [pair for pair in answer.headers if pair[0].lower() == "test-multi"]
    assert found == [("tesT-Multi", "value-multi"), ("tesT-Multi", "value-solo")]
    assert answer.body == b"42"


async def test_only_a_binary_type_that_is_one_is_decoded(serve: Serve) -> None:
    async with serve(replace(API, binary_media_types=("*/test",))) as site:
        site.answer = {"body": "aGk=", "isBase64Encoded": True}
        answers = [await site.request("GET", "/items/7", ("Accept", kind)) for kind in ("*/test",)]
    assert [answer.body for answer in answers] == [b"aGk="]
