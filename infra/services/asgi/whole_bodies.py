"""MiniStack, which is handed each request's body in one piece.

It joins the pieces it is given one by one, and copies what it has each time: a body of 40 MB, in
pieces of 64 KB, takes it many seconds, longer than a function waits for its storage.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ministack.app import app as ministack

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        await ministack(scope, receive, send)
        return
    is_over = False

    async def receive_whole() -> Message:
        nonlocal is_over
        if is_over:
            return await receive()
        pieces = []
        while not is_over:
            message = await receive()
            if message["type"] != "http.request":
                # The client has gone away.
                is_over = True
                return message
            pieces.append(message.get("body", b""))
            is_over = not message.get("more_body", False)
        return {"type": "http.request", "body": b"".join(pieces), "more_body": False}

    await ministack(scope, receive_whole, send)
