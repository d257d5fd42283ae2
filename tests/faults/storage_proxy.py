"""A way to the storage on which answers fail, come late, or end half way."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self, get_args

Fault = Literal["500", "500 after it was done", "503", "silence", "cut before", "cut half way"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

Choice = Callable[[str, str], Fault | None]

_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    "<Error><Code>{code}</Code><Message>Please try again</Message></Error>"
)
_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding"}


class StorageProxy:
    """Passes S3 requests on as they came, signature and all, except where a fault is chosen."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.injected: Counter[Fault] = Counter()
        self._choose: Choice = lambda _method, _path: None
        self._healed = threading.Event()
        self._lock = threading.Lock()
        methods = dict.fromkeys((f"do_{method}" for method in _METHODS), _Handler.answer)
        handler = type("Handler", (_Handler,), {"proxy": self, **methods})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def break_with(self, choose: Choice) -> None:
        """From now on `choose` is asked for each request, by method and path."""
        self._healed = threading.Event()
        self._choose = choose

    def heal(self) -> None:
        """No faults any more; who waits for a silent answer is hung up on."""
        self._choose = lambda _method, _path: None
        self._healed.set()

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            fault = self._choose(method, path)
            if fault is not None:
                self.injected[fault] += 1
            return fault

    def wait_until_healed(self) -> None:
        self._healed.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that clients keep open would be waited for.
    block_on_close = False
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: StorageProxy

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            # The client did not wait, which is its right.
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (ConnectionError, TimeoutError):
            self.connection.close()

    def answer(self) -> None:
        """Any request, by whatever method."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.proxy.fault_for(self.command, self.path):
            case None:
                self._send(*self._forward(body))
            case "500":
                self._send_error(500, "InternalError")
            case "500 after it was done":
                self._forward(body)
                self._send_error(500, "InternalError")
            case "503":
                self._send_error(503, "SlowDown")
            case "silence":
                self.proxy.wait_until_healed()
                self._hang_up()
            case "cut before":
                self._hang_up()
            case "cut half way":
                status, headers, answer = self._forward(body)
                self._send(status, headers, answer, cut=True)
                self._hang_up()

    def log_message(self, format: str, *arguments: object) -> None:
        """Faults are counted, not written down."""

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection("127.0.0.1", self.proxy.target_port)
        try:
            # The Host that the client signed, not the one that is connected to.
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, HTTPException) as error:
            raise ConnectionAbortedError from error
        finally:
            connection.close()

    def _send(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False
    ) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [
            f"{name}: {value}"
            for name, value in headers
            if name.lower() not in _HOP_BY_HOP | {"content-length"}
        ]
        if status != HTTPStatus.NO_CONTENT:
            # What HEAD would have had, where it is the storage's answer.
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            lines.append(f"Content-Length: {lengths[0] if lengths else len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        shown = b"" if self.command == "HEAD" else body
        if cut:
            # Half of the body, or of the headers where there is none.
            self.wfile.write(head + shown[: len(shown) // 2] if shown else head[: len(head) // 2])
        else:
            self.wfile.write(head + shown)

    def _send_error(self, status: int, code: str) -> None:
        body = b"" if self.command == "HEAD" else _ERROR.format(code=code).encode()
        self._send(status, [("Content-Type", "application/xml")], body)

    def _hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
