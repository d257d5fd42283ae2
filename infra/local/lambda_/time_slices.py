"""How long a process goes on where others wait for its processor."""

import contextlib
import ctypes
import os
import struct
from pathlib import Path

# Python has no call for them: sched_setattr and sched_getattr, which Linux numbers by architecture.
_SYSTEM_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
# struct sched_attr: its size, policy, flags, niceness, priority, and the length of a turn.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_LONGEST_NANOSECONDS = 100_000_000

_libc = ctypes.CDLL(None, use_errno=True)


def take_long_turns(pid: int) -> None:
    """What wakes while a process has its turn waits for the end of it, however nice that is, unless
    its own turn would be shorter: then it goes first.

    Holds for what the process starts later as well. Before 6.12 Linux takes no notice.
    """
    calls = _SYSTEM_CALLS.get(os.uname().machine)
    # A process that has ended, or a sandbox that knows no such call, is as it was.
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir() if calls else ():
            _take_long_turns(int(thread.name))


def turn_nanoseconds(thread_id: int) -> int:
    """Zero where the kernel does not say. Raises OSError."""
    return _attributes(thread_id)[5]


def _take_long_turns(thread_id: int) -> None:
    size, policy, flags, niceness, priority, _, *deadlines = _attributes(thread_id)
    attributes = (size, policy, flags, niceness, priority, _LONGEST_NANOSECONDS, *deadlines)
    _call(0, thread_id, ctypes.create_string_buffer(_ATTRIBUTES.pack(*attributes)), 0)


def _attributes(thread_id: int) -> tuple[int, ...]:
    found = ctypes.create_string_buffer(_ATTRIBUTES.size)
    _call(1, thread_id, found, _ATTRIBUTES.size, 0)
    return _ATTRIBUTES.unpack(found.raw)


def _call(which: int, *arguments: object) -> None:
    number = _SYSTEM_CALLS[os.uname().machine][which]
    if _libc.syscall(number, *arguments):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
