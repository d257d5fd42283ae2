"""The memory of an execution environment: what it holds, and whether that is too much.

As on Lambda, whatever runs in it counts: the runtime and the processes that it starts.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

# A look comes before what is left could be filled, within these bounds: nobody fills it faster.
_BYTES_FILLED_PER_SECOND = 2 << 30
_MIN_INTERVAL_SECONDS = 0.01
_MAX_INTERVAL_SECONDS = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PEAK = re.compile(rb"VmHWM:\s+(\d+) kB")
_PROPORTIONAL = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class MemoryWatch:
    """Looks at an environment while it works; `end` is called when it holds more than the limit,
    and `begin_to_look` before the first look.

    What ends before that costs next to nothing.
    """

    def __init__(
        self,
        limit_mb: int,
        runtime_pid: Callable[[], int | None],
        begin_to_look: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._limit_bytes = limit_mb << 20
        self._runtime_pid = runtime_pid
        self._begin_to_look = begin_to_look
        self._end = end
        self._held_bytes = 0
        self._is_wanted = False
        self._has_begun = False
        # Outlives an invocation: a timer for each would cost those that are over at once the most.
        self._next_look: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Looks from now on."""
        self._is_wanted = True
        if self._next_look is None:
            self._look_later()

    def _look_later(self) -> None:
        left_seconds = (self._limit_bytes - self._held_bytes) / _BYTES_FILLED_PER_SECOND
        self._next_look = asyncio.get_running_loop().call_later(
            min(max(left_seconds, _MIN_INTERVAL_SECONDS), _MAX_INTERVAL_SECONDS), self._look
        )

    @property
    def held_mb(self) -> int:
        """What was seen at the last look."""
        return min(self._held_bytes, self._limit_bytes) >> 20

    def stop(self) -> None:
        self._is_wanted = self._has_begun = False

    def _look(self) -> None:
        self._next_look = None
        if not self._is_wanted:
            return
        if not self._has_begun:
            self._has_begun = True
            self._begin_to_look()
        pid = self._runtime_pid()
        self._held_bytes = 0 if pid is None else self._measure(pid)
        if self._held_bytes > self._limit_bytes:
            self._end()
        else:
            self._look_later()

    def _measure(self, runtime_pid: int) -> int:
        pids = [runtime_pid, *descendants(runtime_pid)]
        held_bytes = sum(map(_resident_bytes, pids))
        if len(pids) == 1 or held_bytes <= self._limit_bytes:
            return held_bytes
        # Pages that several share count once, which takes longer to find out.
        return sum(map(_proportional_bytes, pids))


def peak_memory_mb(pid: int) -> int | None:
    """The most that a process has ever held; None once it has ended."""
    with contextlib.suppress(OSError):
        if found := _PEAK.search(Path(f"/proc/{pid}/status").read_bytes()):
            return int(found.group(1)) // 1024
    return None


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started, with any of its threads."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield from map(int, (thread / "children").read_bytes().split())


def descendants(pid: int) -> list[int]:
    """The processes that it has started, and those that these have."""
    return list(_with_theirs(pid))


def _with_theirs(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from _with_theirs(child)


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    return 0


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        if found := _PROPORTIONAL.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes()):
            return int(found.group(1)) * 1024
    return 0
