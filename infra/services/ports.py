"""Which TCP port a service listens on: asked for, the one it had last time, or a free one."""

import contextlib
import random
import socket
from pathlib import Path

from infra.entry_point import Explained
from infra.services.records import read_record, write_record

# Below the range that Linux hands out to outgoing connections (32768 and up): a port found free
# there can be taken by any client a moment later.
_PRIVATE_PORTS = range(20_000, 30_000)


class PortTaken(Explained):
    """The one port that was asked for belongs to another program."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is already used by another program")
        self.port = port


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback address."""
    try:
        _bound("127.0.0.1", port).close()
    except OSError:
        return False
    return True


def hold_free_port(host: str = "127.0.0.1") -> socket.socket:
    """A socket bound to a free port, which nobody else here is given until it is closed.

    Whoever holds it may listen on it, or start a server that does: with SO_REUSEADDR, as servers
    set it, a port can be bound to once more while nobody listens there.
    """
    for port in random.sample(_PRIVATE_PORTS, len(_PRIVATE_PORTS)):
        with contextlib.suppress(OSError):
            return _bound(host, port, is_new=True)
    raise PortTaken(_PRIVATE_PORTS.stop - 1)


def port_of(held: socket.socket) -> int:
    port: int = held.getsockname()[1]
    return port


def hold_port(record_path: Path, wanted: int | None, preferred: int | None = None) -> socket.socket:
    """A socket bound to the port to use, which is remembered in `record_path`.

    `wanted` None: last time's port while it is free, else `preferred` while it is, else a free
    one. 0: any free one. Otherwise exactly that port, or `PortTaken`. To be closed once the server
    listens there.
    """
    held = _hold(record_path, wanted, preferred)
    write_record(record_path, {"port": port_of(held)})
    return held


def _hold(record_path: Path, wanted: int | None, preferred: int | None) -> socket.socket:
    if wanted:
        try:
            return _bound("127.0.0.1", wanted)
        except OSError as error:
            raise PortTaken(wanted) from error
    record = read_record(record_path) or {}
    # Nobody else has a claim to the port of last time; others too may be about to take `preferred`.
    candidates = [] if wanted == 0 else [(record.get("port"), False), (preferred, True)]
    for candidate, is_new in candidates:
        if candidate:
            with contextlib.suppress(OSError):
                return _bound("127.0.0.1", candidate, is_new=is_new)
    return hold_free_port()


def _bound(host: str, port: int, *, is_new: bool = False) -> socket.socket:
    """`is_new`: not even a port that somebody holds without listening will do."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Servers set this; without it a port whose connections just closed looks taken.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, not is_new)
        bound.bind((host, port))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
    except OSError:
        bound.close()
        raise
    return bound
