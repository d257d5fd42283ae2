"""Lambda's Invoke, in this process, for the function that another function invokes."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from types import ModuleType

from tests.application import LambdaContext, load_function
from tests.integration.local_server import LocalServer

PATH = "/2015-03-31/functions/RendererFunction/invocations"


class LambdaServer(LocalServer):
    """Runs the renderer. What it raises is answered as Lambda does, and kept in `errors`."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._renderer: ModuleType | None = None
        self._lock = threading.Lock()
        super().__init__(type("Handler", (_Handler,), {"server_of": self}))

    def clear(self) -> None:
        if self._renderer is not None:
            self._renderer.transfers._pool.clear()

    def invoke(self, path: str, payload: bytes) -> tuple[int, dict[str, str], bytes]:
        if path != PATH:
            return 404, {}, b'{"Type": "User", "Message": "Function not found"}'
        with self._lock:
            self._renderer = self._renderer or load_function("renderer")
        try:
            answer = self._renderer.lambda_handler(json.loads(payload), LambdaContext())
        except Exception as error:
            self.errors.append(error)
            headers = {"X-Amz-Function-Error": "Unhandled"}
            return 200, headers, json.dumps({"errorType": type(error).__name__}).encode()
        return 200, {}, json.dumps(answer).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: LambdaServer

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, answer = self.server_of.invoke(self.path, payload)
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)
