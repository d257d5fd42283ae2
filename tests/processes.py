"""Looking at processes of others, which may end at any moment: a file of theirs is gone then, or
can be opened and no more be read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PROCESSES = Path("/proc")


@contextmanager
def ended_with_the_test(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Waits for its end, as `with process` does; after a failure, which it may never hear of, it is
    killed first.
    """
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def is_running(pid: int) -> bool:
    """Whether it is there and no zombie: where process 1 collects none, those stay for ever."""
    stat = read(pid, "stat")
    # The second field, the program's name, may itself contain brackets.
    return stat is not None and stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def descendants(pid: int) -> set[int]:
    """Its children and theirs, without itself."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop()) - found
        found |= children
        waiting.extend(children)
    return found


def runtimes_of(function_name: str) -> set[int]:
    """AWS's runtimes for this function, of whatever cloud, without the emulators around them."""
    return {pid for pid in _all() if is_runtime_of(pid, function_name)}


def is_runtime_of(pid: int, function_name: str) -> bool:
    # The interpreter, and what it runs: the emulator's command has both too, further behind.
    program = (read(pid, "cmdline") or b"").split(b"\0")[1:2]
    is_runtime = bool(program) and program[0].endswith(b"/lambda_/runtime/bootstrap.py")
    return is_runtime and has_variable(pid, "AWS_LAMBDA_FUNCTION_NAME", function_name)


def has_variable(pid: int, name: str, value: str) -> bool:
    """Whether it was started with this environment variable."""
    return f"{name}={value}".encode() in (read(pid, "environ") or b"").split(b"\0")


def read(pid: int, name: str) -> bytes | None:
    """A file that the kernel keeps of it; None once it has ended, or is somebody else's."""
    try:
        return (_PROCESSES / str(pid) / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _all() -> list[int]:
    return [int(folder.name) for folder in _PROCESSES.iterdir() if folder.name.isdecimal()]


def _children(pid: int) -> set[int]:
    children: set[int] = set()
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in (_PROCESSES / str(pid) / "task").iterdir():
            children.update(map(int, (read(pid, f"task/{task.name}/children") or b"").split()))
    return children
