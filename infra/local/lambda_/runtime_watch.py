"""Whether the runtime of an execution environment is there."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

# Of a process's flags in Linux: it is ending, and it is ending by a signal.
_EXITING = 0x4 | 0x400
_KILLED = 1 << (signal.SIGKILL - 1)
_STAT_BYTES = 4096


class RuntimeWatch:
    """Says when a process has ended, and whether it is there at this very moment.

    `on_end` is called once, on the event loop, unless `close` comes first. Raises OSError for a
    process that is already gone.
    """

    def __init__(self, pid: int, on_end: Callable[[], None]) -> None:
        # Stays this process's, whoever is given its number later.
        self._stat: int | None = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._process: int | None = None
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        # Where a sandbox lacks this call, who looks finds out.
        with contextlib.suppress(OSError):
            self._process = os.pidfd_open(pid)
            self._loop.add_reader(self._process, self._end)

    def is_there(self) -> bool:
        """Not from the moment on that it is killed: how long it takes to end is another matter, on
        a busy machine."""
        if self._stat is None:
            return False
        try:
            stat = os.pread(self._stat, _STAT_BYTES, 0)
        except ProcessLookupError:
            return False
        # Behind the program's name, which may itself contain spaces and brackets.
        fields = stat.rpartition(b")")[2].split()
        state, flags, pending = fields[0], int(fields[6]), int(fields[28])
        return state not in (b"Z", b"X") and not flags & _EXITING and not pending & _KILLED

    def close(self) -> None:
        """From now on it is taken for one that has ended."""
        if self._process is not None:
            self._loop.remove_reader(self._process)
            os.close(self._process)
            self._process = None
        if self._stat is not None:
            os.close(self._stat)
            self._stat = None

    def _end(self) -> None:
        self.close()
        self._on_end()
