"""What a function answers, read as an HTTP API reads it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from multidict import CIMultiDict

from infra.local.gateway.answer import (
    LINE_BREAK,
    Answer,
    MalformedAnswer,
    body_of,
    header_pairs,
    status_of,
)

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
# Which are between a server and its client alone.
_DROPPED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def read_http_answer(payload: bytes, payload_format: str) -> Answer:
    """Format 2.0: what has no statusCode is the body of an answer. Raises MalformedAnswer."""
    try:
        answer = json.loads(payload)
    except ValueError as error:
        if payload_format == "2.0":
            return _inferred(payload.decode(errors="replace"))
        raise MalformedAnswer("it is not JSON") from error
    if isinstance(answer, dict) and "statusCode" in answer:
        return _whole(answer, payload_format)
    if payload_format == "1.0":
        raise MalformedAnswer("it has no statusCode")
    return _inferred(answer if isinstance(answer, str) else payload.decode(errors="replace"))


def _inferred(body: str) -> Answer:
    return Answer(200, CIMultiDict({"Content-Type": _JSON}), body, False)


def _whole(answer: Mapping[str, Any], payload_format: str) -> Answer:
    body, is_base64 = body_of(answer)
    headers: CIMultiDict[str] = CIMultiDict()
    for name, text in _headers(answer, payload_format):
        if LINE_BREAK.search(name + text):
            raise MalformedAnswer(f"the header {name!r} has a line break")
        if name.lower() not in _DROPPED:
            # As AWS writes all names, to clients of HTTP/1.
            headers.add("-".join(part.capitalize() for part in name.split("-")), text)
    headers.setdefault("Content-Type", _TEXT)
    return Answer(status_of(answer["statusCode"]), headers, body, is_base64)


def _headers(answer: Mapping[str, Any], payload_format: str) -> Iterator[tuple[str, str]]:
    # The newer format has one value for each name, and cookies apart.
    shown = answer if payload_format == "1.0" else {"headers": answer.get("headers")}
    for name, value in header_pairs(shown):
        if isinstance(value, dict | list):
            raise MalformedAnswer(f"the header {name} is not text")
        if value is not None:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
    cookies = answer.get("cookies") if payload_format == "2.0" else None
    if cookies is not None and not isinstance(cookies, list):
        raise MalformedAnswer("cookies are not a list")
    for cookie in cookies or ():
        if not isinstance(cookie, str):
            raise MalformedAnswer("a cookie is not text")
        yield "Set-Cookie", cookie
