"""What a function answers, read as API Gateway reads it: status, headers, body."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
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
LINE_BREAK = re.compile(r"[\r\n\0]")


class MalformedAnswer(Exception):
    """API Gateway does not accept the function's answer; the text says why."""


class UndecodableBody(MalformedAnswer):
    """An answer's body is said to be base64, and is not."""


# Not frozen, which takes several times as long to make.
@dataclass(slots=True)
class Answer:
    """`body` is text, or base64 where `is_base64`."""

    status: int
    headers: CIMultiDict[str]
    body: str
    is_base64: bool

    def content(self, *, as_bytes: bool) -> bytes:
        """What is sent; `as_bytes`: base64 is decoded. Raises UndecodableBody."""
        if not (self.is_base64 and as_bytes):
            return self.body.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.body, validate=True)
        except binascii.Error as error:
            raise UndecodableBody("the body is not base64") from error


def read_answer(payload: bytes) -> Answer:
    """No field is required, no other is allowed. Raises MalformedAnswer."""
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise MalformedAnswer("it is not JSON") from error
    if not isinstance(answer, dict):
        raise MalformedAnswer("it is not an object")
    if unknown := sorted(answer.keys() - _KEYS):
        raise MalformedAnswer(f"unknown keys: {', '.join(unknown)}")
    body, is_base64 = body_of(answer)
    return Answer(status_of(answer.get("statusCode")), _headers(answer), body, is_base64)


def body_of(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """It, and whether it is in Base64. Raises MalformedAnswer."""
    body = answer.get("body")
    if body is None:
        body = ""
    if isinstance(body, int | float) and not isinstance(body, bool):
        body = json.dumps(body)
    if not isinstance(body, str):
        raise MalformedAnswer("the body is not text")
    is_base64 = answer.get("isBase64Encoded") or False
    if not isinstance(is_base64, bool):
        raise MalformedAnswer("isBase64Encoded is not true or false")
    return body, is_base64


def status_of(value: Any) -> int:
    """200 where it is not said. Raises MalformedAnswer."""
    if value is None:
        return 200
    if not isinstance(value, int) and not (isinstance(value, str) and value.isdecimal()):
        raise MalformedAnswer(f"statusCode is {value!r}")
    status = int(value)
    if not 100 <= status <= 599:
        raise MalformedAnswer(f"statusCode is {status}")
    return status


def _headers(answer: Mapping[str, Any]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    spelt: dict[str, str] = {}
    for name, value in header_pairs(answer):
        if isinstance(value, dict | list):
            raise MalformedAnswer(f"the header {name} is not text")
        lower = name.lower()
        if lower in _DROPPED or value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if LINE_BREAK.search(name + text):
            raise MalformedAnswer(f"the header {name!r} has a line break")
        target = f"x-amzn-Remapped-{name}" if lower in _REMAPPED else name
        # As the first one of that name is spelt.
        target = spelt.setdefault(target.lower(), target)
        # The same pair in both maps is one header.
        if text not in headers.getall(target, ()):
            headers.add(target, text)
    headers.setdefault("Content-Type", "application/json")
    return headers


def header_pairs(answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Of both maps, in the order in which they are sent. Raises MalformedAnswer."""
    single = answer.get("headers") or {}
    multiple = answer.get("multiValueHeaders") or {}
    if not isinstance(single, dict) or not isinstance(multiple, dict):
        raise MalformedAnswer("headers are not an object")
    for name, values in multiple.items():
        if not isinstance(values, list):
            raise MalformedAnswer(f"multiValueHeaders: {name} is not a list")
        yield from ((name, value) for value in values)
    yield from single.items()
