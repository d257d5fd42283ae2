"""HTTP APIs where tests/conformance cannot ask: what they wait for, and what nobody sends."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest

from infra.local.invocation import Throttled
from infra.local.template.model import Cors, FunctionIntegration, HttpApi, LambdaAuthorizer, Route
from tests.conformance.exchange import ABSENT, Endpoint, Request
from tests.local_cloud.gateway.site import serving
from tests.waiting import until

ITEMS = FunctionIntegration("Items", 30.0, payload_format="2.0")
API = HttpApi(
    "Api",
    "$default",
    {},
    (
        Route("/items/{item_id}", "GET", ITEMS),
        Route("/items/{item_id}", "POST", ITEMS),
        Route("/slow", "GET", replace(ITEMS, function_id="Slow", timeout_seconds=0.05)),
        Route("/older", "GET", replace(ITEMS, payload_format="1.0")),
    ),
)
PREFLIGHT = (("Origin", "https://a.example.org"), ("Access-Control-Request-Method", "POST"))


async def test_the_event_says_where_the_client_came_in() -> None:
    async with serving(API) as site:
        answer = await site.request("GET", "/items/7", ("X-Forwarded-For", "1.2.3.4"))
    (event,) = site.events
    headers, context = event["headers"], event["requestContext"]
    assert headers["host"] == "localhost:81"
    assert headers["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
    assert headers["x-forwarded-port"] == "81"
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["http"]["userAgent"] == ""
    assert context["requestId"] == answer.header("Apigw-Requestid")
    assert context["timeEpoch"] > 1_700_000_000_000


async def test_no_answer_names_a_server() -> None:
    async with serving(API) as site:
        for path in ("/items/7", "/unknown"):
            answer = await site.request("GET", path)
            assert answer.header("Server") == ABSENT


async def test_a_function_that_takes_too_long_is_a_503_and_runs_on() -> None:
    async with serving(API) as site:
        response = await site.request("GET", "/slow")
        assert (response.status, response.json()) == (503, {"message": "Service Unavailable"})
        assert site.outlived == 0
        site.release.set()
        await until(lambda: site.outlived == 1)


async def test_a_throttled_function_is_a_503() -> None:
    async with serving(API) as site:
        site.raises = Throttled("Items")
        assert (await site.request("GET", "/items/7")).status == 503


async def test_a_chunked_body_arrives_with_its_length() -> None:
    async with serving(API) as site:
        await site.request(
            "POST",
            "/items/7",
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "text/plain"),
            body=b"4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n",
        )
    (event,) = site.events
    assert (event["body"], event["headers"]["content-length"]) == ("abcdefg", "7")
    assert "transfer-encoding" not in event["headers"]


async def test_a_name_that_is_not_of_this_machine_is_not_answered_for() -> None:
    async with serving(API) as site:
        stranger = Endpoint(("127.0.0.1", site.port), "evil.example.org", "")
        answer = await asyncio.to_thread(stranger.send, Request("/items/7"))
    assert (answer.status, site.events) == (421, [])


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 99},
        {"statusCode": "x"},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": [1]},
        {"statusCode": 200, "cookies": ["a=1\r\nb: c"]},
        {"statusCode": 200, "isBase64Encoded": "yes"},
    ],
)
async def test_a_malformed_answer_is_a_500(answer: Any) -> None:
    async with serving(API) as site:
        site.answer = answer
        response = await site.request("GET", "/items/7")
    assert (response.status, response.json()) == (500, {"message": "Internal Server Error"})
    assert "malformed answer of the function" in site.log.getvalue()


async def test_what_is_not_json_is_the_body_in_the_newer_format_alone() -> None:
    async with serving(API) as site:
        site.answer = b'{"name": "Ada", "age":'
        newer = await site.request("GET", "/items/7")
        older = await site.request("GET", "/older")
    assert (newer.status, newer.body) == (200, site.answer)
    assert older.status == 500


async def test_an_answers_connection_is_the_gateways_business() -> None:
    async with serving(API) as site:
        named = {"Connection": "close", "Content-Length": "99", "Transfer-Encoding": "chunked"}
        site.answer = {"statusCode": 200, "headers": {**named, "x-number": 7, "x-flag": True}}
        answer = await site.request("GET", "/items/7")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("Content-Length") == "0"
    assert (answer.header("X-Number"), answer.header("X-Flag")) == ("7", "true")


async def test_a_body_is_decoded_once_and_whole() -> None:
    content = bytes(range(256)) * 1000
    async with serving(API) as site:
        site.answer = {
            "statusCode": 200,
            "body": base64.b64encode(content).decode(),
            "isBase64Encoded": True,
        }
        answer = await site.request("GET", "/items/7")
    assert answer.body == content


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (("*",), "https://a.example.org", "*"),
        (("https://*",), "https://a.example.org", "https://a.example.org"),
        (("https://*",), "http://a.example.org", ABSENT),
        (("https://a.example.org",), "https://a.example.org.evil.org", ABSENT),
        ((), "https://a.example.org", ABSENT),
    ],
)
async def test_an_origin_is_allowed_by_name_by_scheme_or_as_any(
    origins: tuple[str, ...], origin: str, allowed: str
) -> None:
    async with serving(replace(API, cors=Cors(allow_origins=origins))) as site:
        for answer in (
            await site.request("GET", "/items/7", ("Origin", origin)),
            await site.request("GET", "/unknown", ("Origin", origin)),
            await site.request("OPTIONS", "/items/7", ("Origin", origin), PREFLIGHT[1]),
        ):
            assert answer.header("Access-Control-Allow-Origin") == allowed


async def test_a_preflight_request_to_a_route_with_an_authorizer_is_authorized() -> None:
    authorizer = LambdaAuthorizer(
        "A", "REQUEST", "Guard", "us-east-1", (("header", "X-Token"),), 0, 10.0
    )
    default = Route("$default", "ANY", ITEMS, authorizer=authorizer)
    api = replace(API, default_route=default, cors=Cors(allow_origins=("*",)))
    async with serving(api) as site:
        answer = await site.request("OPTIONS", "/unknown", *PREFLIGHT)
    assert (answer.status, site.invoked) == (401, [])


async def test_another_version_of_the_api_is_served_from_the_next_request_on() -> None:
    async with serving(API) as site:
        assert (await site.request("GET", "/new")).status == 404
        site.use(replace(API, routes=(Route("/new", "GET", ITEMS),)))
        assert (await site.request("GET", "/new")).status == 200
        assert (await site.request("GET", "/items/7")).status == 404
