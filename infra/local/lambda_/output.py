"""What an execution environment writes: the function's own lines, and a report per invocation."""

import asyncio
import contextlib
import json
import math
import re
import time
from collections.abc import Iterator

from infra.local.invocation import Result, error_summary
from infra.local.lambda_.memory import peak_memory_mb
from infra.local.logs.stream import InvocationRecord, LogStream
from infra.local.template.model import Function

_STANDARD_OUTPUT = 1
_END = re.compile(rb"END RequestId: [0-9a-f-]{36}\Z")
_DURATION = re.compile(rb"\tDuration: ([\d.]+) ms")
_MAX_USED = re.compile(rb"Max Memory Used: \d+ MB")
# A peak that is this old is read again.
_MEMORY_AGE_SECONDS = 0.25
# For what hangs: a report comes, or the process ends without one.
_REPORT_TIMEOUT_SECONDS = 30.0


class EnvironmentOutput:
    """Passes on what the function writes, and folds what Lambda reports into one line.

    The report may come before the answer or after it: the line is logged once both are there.
    """

    def __init__(self, function: Function, logs: LogStream) -> None:
        self._function = function
        self._logs = logs
        self._unfinished_line = b""
        self._request_id: str | None = None
        self._runtime_pid: int | None = None
        self._init_ms: float | None = None
        self._unreported: Result | None = None
        self._report: bytes | None = None
        self._duration_ms = 0.0
        self._memory_mb = 0
        self._memory_read_at = 0.0
        self._is_memory_full = False
        self._written: list[bytes] = []
        self._reported = asyncio.Event()
        self._closed = asyncio.Event()
        # Of an environment that has died, and reports nothing: what is said instead.
        self._last_lines: list[bytes] = []

    def initialised(self, init_ms: float, runtime_pid: int | None) -> None:
        """The first invocation's line says how long the start took."""
        self._init_ms = init_ms
        self._runtime_pid = runtime_pid
        # A crash would leave nothing to read.
        self._peak_memory_mb()

    def begin(self, request_id: str) -> None:
        """An invocation starts."""
        self._request_id = request_id
        self._unreported = self._report = None
        self._written.clear()
        self._reported.clear()

    def end(
        self, result: Result, duration_ms: float, held_memory_mb: int, *, is_alive: bool
    ) -> None:
        """An invocation has its result. A dead environment reports nothing any more.

        `held_memory_mb`: the most that was seen during it, for one that cannot be asked.
        """
        self._unreported = result
        self._duration_ms = duration_ms
        self._memory_mb = max(self._memory_mb, held_memory_mb)
        # What ends just behind its answer has answered.
        if not is_alive and result.is_error:
            self._last_lines = list(self._words_of_death(result))
        if self._report is not None or not is_alive:
            self._log_invocation()

    def memory_is_full(self) -> None:
        """The environment ends for it: Lambda's would have held no more than it may."""
        self._is_memory_full = True
        self._memory_mb = self._function.memory_mb
        self._runtime_pid = None

    async def log(self) -> bytes:
        """All that was written since `begin`, with the report."""
        written_whole = self._closed if self._last_lines else self._reported
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REPORT_TIMEOUT_SECONDS):
                await written_whole.wait()
        lines = self._written
        if self._last_lines:
            lines = [line for line in lines if not line.startswith((b"END ", b"REPORT "))]
        return b"\n".join([*lines, *self._last_lines, b""])

    def receive(self, descriptor: int, data: bytes) -> None:
        """Bytes of one of the two streams."""
        # On the second stream the emulator repeats what its answer says already.
        if descriptor != _STANDARD_OUTPUT:
            return
        lines = (self._unfinished_line + data).split(b"\n")
        self._unfinished_line = lines.pop()
        for line in _without_glue(lines):
            self._written.append(line)
            if line.startswith((b"START RequestId: ", b"END RequestId: ")):
                continue
            if line.startswith(b"REPORT RequestId: "):
                self._report = line
                self._written[-1] = self._as_measured(line)
                self._reported.set()
                if self._unreported is not None:
                    self._log_invocation()
            else:
                self._log_line(line)

    def close(self, descriptor: int) -> None:
        """Nothing more will come of this stream: a crash leaves no report."""
        if descriptor == _STANDARD_OUTPUT:
            if self._unfinished_line:
                self.receive(descriptor, b"\n")
            self._closed.set()
            self._reported.set()

    def _as_measured(self, report: bytes) -> bytes:
        """The emulator puts the limit where the use belongs, and knows of no separate start."""
        report = _MAX_USED.sub(b"Max Memory Used: %d MB" % self._peak_memory_mb(), report)
        if self._init_ms is None:
            return report
        return b"%b\tInit Duration: %.2f ms\t" % (report.rstrip(b"\t"), self._init_ms)

    def _words_of_death(self, result: Result) -> Iterator[bytes]:
        """The lines with which Lambda's log of an invocation ends that its environment did not
        survive."""
        error = json.loads(result.payload)
        request_id, error_type, message = (
            self._request_id,
            error["errorType"],
            error["errorMessage"],
        )
        if error_type == "Sandbox.Timedout":
            moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
            yield f"{moment} {request_id} {message.partition(' Error: ')[2]}\n".encode()
            status = "timeout"
        else:
            yield f"{message}\n{error_type}".encode()
            of_report = "Runtime.OutOfMemory" if self._is_memory_full else error_type
            status = f"error\tError Type: {of_report}"
        yield f"END RequestId: {request_id}".encode()
        init = "" if self._init_ms is None else f"\tInit Duration: {self._init_ms:.2f} ms"
        yield (
            f"REPORT RequestId: {request_id}\tDuration: {self._duration_ms:.2f} ms"
            f"\tBilled Duration: {math.ceil(self._duration_ms)} ms"
            f"\tMemory Size: {self._function.memory_mb} MB\tMax Memory Used: {self._memory_mb} MB"
            f"{init}\tStatus: {status}"
        ).encode()

    def _log_line(self, line: bytes) -> None:
        # The runtime writes a traceback's line ends as carriage returns, to keep it one record.
        text = line.decode(errors="replace").rstrip("\r").replace("\r", "\n")
        function = self._function
        self._logs.application(function.folder_name, self._request_id, text, function.code_folders)

    def _log_invocation(self) -> None:
        result, report = self._unreported, self._report
        assert result is not None
        self._unreported = self._report = None
        duration_ms = self._duration_ms
        if report is not None and (found := _DURATION.search(report)):
            duration_ms = float(found.group(1))
        self._logs.invocation(
            InvocationRecord(
                function=self._function.folder_name,
                request_id=self._request_id or "",
                duration_ms=duration_ms,
                init_ms=self._init_ms,
                memory_mb=self._peak_memory_mb(),
                memory_limit_mb=self._function.memory_mb,
                error=error_summary(result.payload) if result.is_error else None,
            )
        )
        self._init_ms = None

    def _peak_memory_mb(self) -> int:
        now = time.monotonic()
        if self._runtime_pid is None or now - self._memory_read_at <= _MEMORY_AGE_SECONDS:
            return self._memory_mb
        peak_mb = peak_memory_mb(self._runtime_pid)
        if peak_mb is not None:
            self._memory_mb = peak_mb
            self._memory_read_at = now
        return self._memory_mb


def _without_glue(lines: list[bytes]) -> Iterator[bytes]:
    """What a function wrote without a line end has the emulator's next line behind it."""
    for line in lines:
        found = _END.search(line)
        if found is not None and found.start():
            yield line[: found.start()]
            yield found.group()
        else:
            yield line
