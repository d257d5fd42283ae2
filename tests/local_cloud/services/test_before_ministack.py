"""What stands before MiniStack: who has no credentials is refused, and a body becomes one piece."""

import asyncio
from typing import Any

import pytest

from infra.services.asgi import before_ministack

Message = dict[str, Any]


def piece(body: bytes, *, more_body: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


class Asked:
    """Sends messages, and notes what the application behind gets to see and what is answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Message] = []
        self.answers: list[Message] = []
        self._waiting: list[Message] = []
        monkeypatch.setattr(before_ministack, "ministack", self._behind)

    def send(self, scope: Message, *messages: Message) -> None:
        self._waiting = list(messages)
        asyncio.run(before_ministack.app(scope, self._receive, self._send))

    async def _behind(
        self, _scope: Message, receive: before_ministack.Receive, _send: object
    ) -> None:
        self.seen.append(await receive())
        while self._waiting:
            self.seen.append(await receive())

    async def _receive(self) -> Message:
        return self._waiting.pop(0)

    async def _send(self, message: Message) -> None:
        self.answers.append(message)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def request(
    method: str = "GET", path: str = "/images/a", query: str = "", **headers: str
) -> Message:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }


SIGNED = request(authorization="AWS4-HMAC-SHA256 ...")
FORM = request("POST", "/images", content_type="multipart/form-data; boundary=x")
EVIL = "https://evil.example"
MAY_ASK = {
    "a client with credentials": SIGNED,
    "a link with a signature": request(query="X-Amz-Algorithm=a&X-Amz-Signature=b", origin=EVIL),
    "a page of this machine": request(
        authorization="AWS4-HMAC-SHA256 ...", origin="http://localhost:3000"
    ),
    "a page that will send a form": request(
        "OPTIONS", origin=EVIL, access_control_request_method="POST"
    ),
    "its starter": request(path="/_ministack/health"),
}
MAY_NOT = {
    "a visitor": request(query="list-type=2"),
    "a visitor who deletes": request("DELETE"),
    "a visitor of its own pages": request("POST", "/_ministack/reset"),
    "a page with a signature that it made up": request(authorization="AWS4 ...", origin=EVIL),
    "a page of no origin": request(authorization="AWS4 ...", origin="null"),
    "a page that asks whether it may do that": request(
        "OPTIONS", origin=EVIL, access_control_request_headers="content-type, Authorization"
    ),
    "a form without a signature": FORM,
}


@pytest.mark.parametrize("scope", MAY_ASK.values(), ids=MAY_ASK)
def test_who_has_the_credentials_is_heard(asked: Asked, scope: Message) -> None:
    asked.send(scope, piece(b"", more_body=False))

    assert asked.seen and not asked.answers


@pytest.mark.parametrize("scope", MAY_NOT.values(), ids=MAY_NOT)
def test_who_has_none_is_refused(asked: Asked, scope: Message) -> None:
    asked.send(scope, piece(b'--x\r\n\r\nname="file"', more_body=False))

    assert not asked.seen
    assert asked.answers[0]["status"] == 403
    assert b"<Code>AccessDenied</Code>" in asked.answers[1]["body"]


def test_a_form_with_a_signature_is_heard_whole(asked: Asked) -> None:
    fields = b'Content-Disposition: form-data; name="X-Amz-Signature"\r\n\r\nabc\r\n'

    asked.send(FORM, piece(fields, more_body=True), piece(b"file", more_body=False))

    assert asked.seen == [piece(fields + b"file", more_body=False)]


def test_a_body_in_pieces_arrives_whole_and_what_follows_it_arrives_too(asked: Asked) -> None:
    pieces = [piece(b"a", more_body=True), piece(b"", more_body=True), piece(b"b", more_body=False)]
    gone = {"type": "http.disconnect"}

    asked.send(SIGNED, *pieces, gone)

    assert asked.seen == [piece(b"ab", more_body=False), gone]


def test_a_client_that_goes_away_within_its_body_is_noticed(asked: Asked) -> None:
    gone = {"type": "http.disconnect"}

    asked.send(SIGNED, piece(b"a", more_body=True), gone)

    assert asked.seen == [gone]


def test_other_protocols_pass_untouched(asked: Asked) -> None:
    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "a"}]

    asked.send({"type": "websocket"}, *messages)

    assert asked.seen == messages
