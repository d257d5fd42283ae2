"""MinimumCompressionSize: answers that shrink on the way, and bodies that were shrunk."""

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from tests.local_cloud.gateway.test_gateway import API, Serve, serve

__all__ = ["serve"]

COMPRESSING = replace(API, minimum_compression_bytes=100)
TEXT = "many words " * 50
PATH = "/items/1"


@pytest.mark.parametrize(
    ("accepted", "coding", "decode"),
    [
        ("gzip, deflate, br", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("gzip;q=0.5, deflate", "deflate", zlib.decompress),
        ("*", "gzip", gzip.decompress),
    ],
)
async def test_an_answer_is_compressed_as_the_client_likes_it_best(
    serve: Serve, accepted: str, coding: str, decode: Any
) -> None:
    async with serve(COMPRESSING) as site:
        site.answer = {"statusCode": 200, "body": TEXT}
        answer = await site.request("GET", PATH, ("Accept-Encoding", accepted))
    headers = {name.lower(): value for name, value in answer.headers}
    assert headers["content-encoding"] == coding
    assert int(headers["content-length"]) == len(answer.body) < len(TEXT)
    assert decode(answer.body).decode() == TEXT


@pytest.mark.parametrize(
    ("accepted", "answer"),
    [
        ("br", {"body": TEXT}),
        ("gzip;q=0", {"body": TEXT}),
        ("", {"body": TEXT}),
        ("gzip", {"body": "short"}),
        ("gzip", {"body": TEXT, "headers": {"Content-Encoding": "br"}}),
    ],
)
async def test_an_answer_stays_as_it_is_where_that_is_wanted_or_worth_nothing(
    serve: Serve, accepted: str, answer: dict[str, Any]
) -> None:
    async with serve(COMPRESSING) as site:
        site.answer = {"statusCode": 200, **answer}
        got = await site.request("GET", PATH, ("Accept-Encoding", accepted))
    assert got.body.decode() == answer["body"]


async def test_without_the_property_nothing_is_touched(serve: Serve) -> None:
    body = gzip.compress(b'{"a": 1}')
    async with serve() as site:
        site.answer = {"statusCode": 200, "body": TEXT}
        answer = await site.request(
            "POST", PATH, ("Accept-Encoding", "gzip"), ("Content-Encoding", "gzip"), body=body
        )
    assert answer.body.decode() == TEXT
    assert json.dumps(site.events[0]["body"]) != '"{\\"a\\": 1}"'


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("Deflate", zlib.compress), ("identity", bytes)],
)
async def test_a_compressed_body_reaches_the_function_inflated(
    serve: Serve, coding: str, encode: Any
) -> None:
    async with serve(COMPRESSING) as site:
        await site.request("POST", PATH, ("Content-Encoding", coding), body=encode(b'{"a": 1}'))
    assert site.events[0]["body"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("br", b"anything", 415),
        ("gzip", b"not gzip", 415),
        ("gzip", gzip.compress(b"cut off here")[:-9], 415),
        ("gzip", gzip.compress(bytes(11 * 1024 * 1024)), 413),
    ],
)
async def test_a_body_that_cannot_be_inflated_is_refused_without_the_function(
    serve: Serve, coding: str, body: bytes, status: int
) -> None:
    async with serve(COMPRESSING) as site:
        answer = await site.request("POST", PATH, ("Content-Encoding", coding), body=body)
        assert (answer.status, site.events) == (status, [])
