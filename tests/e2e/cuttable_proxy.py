"""A way to a service that can be cut, as a network or a crash cuts it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_CHUNK_BYTES = 65_536


class CuttableProxy:
    """Forwards TCP connections from a port of its own to another port on this machine."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._swallows_answers = False
        self._answer_delay_seconds = 0.0
        self._answer_chunk_bytes = _CHUNK_BYTES
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        # While nobody listens on it, the port would be given to the next client that comes.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port: int = self._held.getsockname()[1]

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._held.close()

    def restore(self) -> None:
        """Takes connections, on the same port as before, and lets everything through."""
        self._flowing.set()
        self._answer_delay_seconds, self._answer_chunk_bytes = 0.0, _CHUNK_BYTES
        if self._swallows_answers:
            # What was lost of these streams makes the rest unreadable.
            self._swallows_answers = False
            self.drop()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._acceptor = threading.Thread(
                target=self._accept, args=(self._listener,), daemon=True
            )
            self._acceptor.start()

    def stall(self) -> None:
        """Lets nothing through any more, while every connection stays and new ones are taken."""
        self._flowing.clear()

    def swallow_answers(self) -> None:
        """Lets through what clients send, and loses what they are answered."""
        self._swallows_answers = True

    def delay_answers(self, seconds: float, chunk_bytes: int = _CHUNK_BYTES) -> None:
        """Each answer, or so many bytes of it, takes so long; none is read before the last."""
        self._answer_delay_seconds, self._answer_chunk_bytes = seconds, chunk_bytes

    def cut(self) -> None:
        """Ends every connection and refuses new ones."""
        self._swallows_answers = False
        self._flowing.set()
        if self._listener is not None and self._acceptor is not None:
            # Wakes the thread that accepts; closing alone does not.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            self._listener.close()
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """Ends every connection; new ones are welcome."""
        self._flowing.set()
        with self._lock:
            connections, self._connections = self._connections, []
            threads, self._threads = self._threads, []
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                target = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                continue
            for connection in (client, target):
                # Small answers must not wait for an acknowledgement of what went before.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections += [client, target]
            self._run(self._forward, client, target)
            self._run(self._forward_answers, target, client)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._flowing.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _forward_answers(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(self._answer_chunk_bytes):
                self._flowing.wait()
                time.sleep(self._answer_delay_seconds)
                if not self._swallows_answers:
                    target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _run(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=work, args=sockets, daemon=True)
        with self._lock:
            # Whoever drops the connections joins what is in the list, so it has to be started.
            thread.start()
            self._threads.append(thread)
