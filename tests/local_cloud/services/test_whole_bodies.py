"""What stands before MiniStack: a body in pieces becomes one."""

import asyncio
from typing import Any

import pytest

from infra.services.asgi import whole_bodies

Message = dict[str, Any]


def piece(body: bytes, *, more_body: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


def received(monkeypatch: pytest.MonkeyPatch, kind: str, *messages: Message) -> list[Message]:
    """What the application behind gets to see of these messages, until it has seen the last."""
    waiting, seen = list(messages), []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(_message: Message) -> None: ...

    async def behind(_scope: Message, receive: whole_bodies.Receive, _send: object) -> None:
        while waiting:
            seen.append(await receive())

    monkeypatch.setattr(whole_bodies, "ministack", behind)
    asyncio.run(whole_bodies.app({"type": kind}, receive, send))
    return seen


def test_a_body_in_pieces_arrives_whole_and_what_follows_it_arrives_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces = [piece(b"a", more_body=True), piece(b"", more_body=True), piece(b"b", more_body=False)]
    gone = {"type": "http.disconnect"}
    assert received(monkeypatch, "http", *pieces, gone) == [piece(b"ab", more_body=False), gone]


def test_a_client_that_goes_away_within_its_body_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = {"type": "http.disconnect"}
    assert received(monkeypatch, "http", piece(b"a", more_body=True), gone) == [gone]


def test_other_protocols_pass_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "a"}]
    assert received(monkeypatch, "websocket", *messages) == messages
