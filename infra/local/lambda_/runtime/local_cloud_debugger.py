"""Lets a debugger into an execution environment, before the function's own code is loaded."""

import os
import pdb
import socket
import sys
import time
from typing import Any

_LOOPBACK = "127.0.0.1"


def let_in(wanted: str) -> None:
    """`editor:PORT:FOLDER`: waits for one that attaches there, with the debugpy in the folder.
    `terminal:PORT`: breakpoints connect to the one that listens there."""
    kind, _, rest = wanted.partition(":")
    port, _, folder = rest.partition(":")
    if kind == "editor":
        _wait_for_editor(int(port), folder)
    else:
        sys.breakpointhook = pdb.set_trace = _Terminal(int(port))


def _wait_for_editor(port: int, folder: str) -> None:
    # The folder holds much besides, which is not for functions.
    sys.path.insert(0, folder)
    # Else it warns of modules of the standard library that it cannot stop in.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    import debugpy

    sys.path.remove(folder)
    _wait_for_port(port)
    debugpy.configure(subProcess=False)
    # In this process: one of its own would outlive it, with the port.
    debugpy.listen((_LOOPBACK, port), in_process_debug_adapter=True)
    debugpy.wait_for_client()


def _wait_for_port(port: int) -> None:
    """Another environment of the function, with older code, may still be at it."""
    while True:
        try:
            with socket.create_server((_LOOPBACK, port)):
                return
        except OSError:
            time.sleep(0.05)


class _Terminal:
    """What `breakpoint()` calls: pdb, on a connection to whoever invoked the function."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pdb: pdb.Pdb | None = None

    def __call__(self, *_arguments: Any, **_options: Any) -> None:
        if self._pdb is None:
            connection = socket.create_connection((_LOOPBACK, self._port))
            stream = connection.makefile("rw", encoding="utf-8", buffering=1)
            self._pdb = pdb.Pdb(stdin=stream, stdout=stream, nosigint=True, readrc=False)
        self._pdb.set_trace(sys._getframe(1))
