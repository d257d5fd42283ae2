"""MiniStack, for those who have its credentials, with each request's body in one piece, and with an
error for what it could not keep.

It serves and deletes whatever anybody asks for, and tells browsers that any page may ask. So what
has neither a signature nor a signed form is refused here, and a signature of a page's own making.

It joins the pieces it is given one by one, and copies what it has each time: a body of 40 MB, in
pieces of 64 KB, takes it many seconds, longer than a function waits for its storage.

And what it cannot write to its disk it keeps in memory, until it ends, and answers with 200.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ministack.app import app as ministack
from ministack.services import s3

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MAX_FIELDS_BYTES = 65_536
_HEALTH = "/_ministack/health"
_INTERNAL_ERROR = 500
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        await ministack(scope, receive, send)
        return
    headers = {name.lower(): value for name, value in scope["headers"]}
    if not _may_ask(scope, headers):
        await _refuse(send)
        return
    body = _WholeBody(receive)
    if _is_form(scope, headers) and not await body.is_signed_form():
        await _refuse(send)
        return
    await ministack(scope, body.receive, _Answer(send).send)


# Whatever of the request under way is in memory alone.
_unkept: ContextVar[list[str]] = ContextVar("unkept")
# Its own name for what writes an object, and it tells nobody how that ended: but of what is on the
# disk it lets go in memory.
_persist = s3._persist_object


def _persist_or_note(bucket: str, key: str, stored: dict[str, Any]) -> None:
    _persist(bucket, key, stored)
    if stored["body"] is None or (unkept := _unkept.get(None)) is None:
        return
    if not _is_above_or_below_another(bucket, key):
        unkept.append(key)


def _is_above_or_below_another(bucket: str, key: str) -> bool:
    """Keys like `a` and `a/b` may both be objects, and not both files: one is in memory alone."""
    path = s3._object_disk_path(bucket, key)
    if path is None:
        return False
    above = list(Path(path).parents)[: key.count("/")]
    return Path(path).is_dir() or any(
        each.with_name(f"{each.name}.meta.json").is_file() for each in above
    )


s3._persist_object = _persist_or_note


class _Answer:
    """What is said to be done is an error if it was not kept."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._unkept: list[str] = []
        _unkept.set(self._unkept)
        self._is_replaced = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._unkept:
            self._is_replaced = True
            await _answer(
                self._send, _INTERNAL_ERROR, b"InternalError", b"The object could not be kept"
            )
        if not self._is_replaced:
            await self._send(message)


class _WholeBody:
    """Everything that comes until the body is over, as one message; then whatever else comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False
        self._kept: Message | None = None

    async def receive(self) -> Message:
        if self._kept is not None:
            message, self._kept = self._kept, None
            return message
        if self._is_over:
            return await self._receive()
        pieces = []
        while not self._is_over:
            message = await self._receive()
            if message["type"] != "http.request":
                # The client has gone away.
                self._is_over = True
                return message
            pieces.append(message.get("body", b""))
            self._is_over = not message.get("more_body", False)
        return {"type": "http.request", "body": b"".join(pieces), "more_body": False}

    async def is_signed_form(self) -> bool:
        """Whether a signature stands before the file; whether it is right is MiniStack's to say."""
        self._kept = await self.receive()
        return b'name="x-amz-signature"' in self._kept.get("body", b"")[:_MAX_FIELDS_BYTES].lower()


def _may_ask(scope: dict[str, Any], headers: dict[bytes, bytes]) -> bool:
    """Whether it is signed, for signatures themselves MiniStack checks, or needs no signature."""
    if scope["path"] == _HEALTH or b"x-amz-signature=" in scope["query_string"].lower():
        return True
    if b"authorization" in headers:
        # A browser sends it for a page that was told, and none was: see the preflight below.
        return not _is_strange(headers)
    if scope["method"] == "OPTIONS":
        wanted = headers.get(b"access-control-request-headers", b"").lower()
        return b"authorization" not in wanted or not _is_strange(headers)
    return _is_form(scope, headers)


def _is_form(scope: dict[str, Any], headers: dict[bytes, bytes]) -> bool:
    """A direct upload, which has its signature in a field."""
    return (
        scope["method"] == "POST"
        and b"authorization" not in headers
        and headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
    )


def _is_strange(headers: dict[bytes, bytes]) -> bool:
    """Whether a page sent it that was not opened from this machine."""
    if (origin := headers.get(b"origin")) is None:
        return False
    host = urlsplit(origin.decode("latin-1")).hostname or ""
    return host not in _LOOPBACK and not host.endswith(".localhost")


async def _refuse(send: Send) -> None:
    await _answer(send, 403, b"AccessDenied", b"Access Denied")


async def _answer(send: Send, status: int, code: bytes, detail: bytes) -> None:
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>%b</Code><Message>%b</Message></Error>" % (code, detail)
    )
    headers = [(b"content-type", b"application/xml"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
