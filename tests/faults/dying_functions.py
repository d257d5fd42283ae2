"""Runs the API's functions, each request in a process of its own that dies where it is told to.

A program by itself: it forks before it has connections or threads, so that each process begins with
what an execution environment has once it has answered a request.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.variables import ROOT, variables_without_settings

# What a step is: that bytes are handed to the kernel, or that a line of ours is run.
Steps = Literal["sends", "lines"]
# Whether a step at which the process dies is left undone, half done or done.
Cut = Literal["before", "half way", "after"]
CUTS: dict[Steps, tuple[Cut, ...]] = {
    "sends": ("before", "half way", "after"),
    "lines": ("before",),
}

# The variables that say where they are.
PARTS = ("DATABASE_URL", "RABBITMQ_URL", "AWS_ENDPOINT_URL")
_OURS = tuple(f"{ROOT / folder}{os.sep}" for folder in ("functions", "layers/common/image_api"))


@dataclass(frozen=True)
class Death:
    """At which step of a request, counted from 1; at none with 0."""

    steps: Steps
    number: int = 0
    cut: Cut = "before"


@dataclass(frozen=True)
class Lived:
    """What came of a request whose process did not die, and to which PARTS it has sent."""

    steps: int
    parts: list[str]
    response: dict[str, Any]


@dataclass(frozen=True)
class Died:
    """`session`: the server process of its connection to the database, which may outlive it."""

    session: int


class DyingFunctions:
    """The program, as a test speaks with it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, function: str, event: Mapping[str, Any], death: Death) -> Lived | Died:
        """Died when the process died where it was to."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"function": function, "event": event, "death": asdict(death)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the program ended with {self._process.wait()}"
        result = json.loads(line)
        return Lived(**result) if "steps" in result else Died(**result)


@contextmanager
def dying_functions(variables: Mapping[str, str]) -> Iterator[DyingFunctions]:
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env={**variables_without_settings(), **variables, "PYTHONPATH": "layers/common"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield DyingFunctions(process)


class _Killer:
    """Counts the steps of this process, and ends it at one of them."""

    def __init__(self, death: Death) -> None:
        self._death = death
        self.steps = 0
        self.parts: set[str] = set()
        self._part_at = {urlsplit(os.environ[part]).port: part for part in PARTS}

    def arm(self) -> None:
        if self._death.steps == "lines":
            sys.settrace(self._trace)
            return
        # By either, a driver hands bytes over; `sendall` of a plain socket does not call `send`.
        for name in ("send", "sendall"):
            setattr(socket.socket, name, self._counting(getattr(socket.socket, name)))

    def disarm(self) -> None:
        sys.settrace(None)

    def _is_it(self) -> bool:
        self.steps += 1
        return self.steps == self._death.number

    def _counting(self, send: Any) -> Any:
        def counted(own: socket.socket, data: bytes, *arguments: int) -> Any:
            part = self._part_at.get(own.getpeername()[1])
            # pika wakes itself up over a socket of its own.
            if part is None:
                return send(own, data, *arguments)
            self.parts.add(part)
            if self._is_it():
                bytes_sent = {"before": 0, "half way": len(data) // 2, "after": len(data)}
                socket.socket.sendmsg(own, [memoryview(data)[: bytes_sent[self._death.cut]]])
                _die()
            return send(own, data, *arguments)

        return counted

    def _trace(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._trace_line if frame.f_code.co_filename.startswith(_OURS) else None

    def _trace_line(self, _frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line" and self._is_it():
            _die()
        return self._trace_line


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _serve() -> None:
    # What functions log goes elsewhere.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from tests.application import load_function

    handlers = {
        name: load_function(name).lambda_handler
        for name in ("upload", "direct_upload", "update", "delete", "batch")
    }
    for line in sys.stdin:
        order = json.loads(line)
        death = Death(**order["death"])
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as pipe:
                for result in _results(handlers[order["function"]], order["event"], death):
                    print(json.dumps(vars(result)), file=pipe, flush=True)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            results = pipe.read().splitlines()
        _, status = os.waitpid(pid, 0)
        is_killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert len(results) == (1 if is_killed else 2), results
        print(results[-1], file=answers, flush=True)


def _results(handler: Any, event: dict[str, Any], death: Death) -> Iterator[Died | Lived]:
    """What holds if it dies, and then what does since it has not."""
    from image_api import wiring
    from tests.application import LambdaContext

    # What is sent to connect changes nothing anywhere.
    yield Died(wiring.database().number("SELECT pg_backend_pid()"))
    wiring.broker().ping()
    killer = _Killer(death)
    killer.arm()
    response = handler(event, LambdaContext())
    killer.disarm()
    yield Lived(killer.steps, sorted(killer.parts), response)


if __name__ == "__main__":
    _serve()
