"""Which TCP port a service listens on: asked for, the one it had last time, or a free one."""

import random
import socket
from pathlib import Path

from infra.program import Explained
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
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it a port whose connections just closed looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port nobody listens on, picked at random so that parallel clouds seldom collide."""
    for port in random.sample(_PRIVATE_PORTS, len(_PRIVATE_PORTS)):
        if is_free(port):
            return port
    raise PortTaken(_PRIVATE_PORTS.stop - 1)


def choose_port(record_path: Path, wanted: int | None, preferred: int | None = None) -> int:
    """The port to use, remembered in `record_path`.

    `wanted` None: last time's port while it is free, else `preferred` while it is, else a free
    one. 0: any free one. Otherwise exactly that port, or `PortTaken`.
    """
    if wanted:
        if not is_free(wanted):
            raise PortTaken(wanted)
        port = wanted
    else:
        record = read_record(record_path) or {}
        candidates = [] if wanted == 0 else [record.get("port"), preferred]
        port = (
            next((candidate for candidate in candidates if candidate and is_free(candidate)), 0)
            or free_port()
        )
    write_record(record_path, {"port": port})
    return port
