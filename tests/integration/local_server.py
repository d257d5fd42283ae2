"""An HTTP server in this process, which stands in for one of AWS's."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LocalServer:
    """On a free port of the loopback address; `handler` answers."""

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is None:
            self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"
        else:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self.endpoint_url = f"https://localhost:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        # The interval is how long the end may take.
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield
        self._server.shutdown()
        self._server.server_close()
        self.clear()
        thread.join()

    def clear(self) -> None:
        """What is kept open for answers is closed."""
