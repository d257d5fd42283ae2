"""What an execution environment writes: the function's own lines, and a report per invocation."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from infra.local.invocation import Result, error_summary
from infra.local.logs import InvocationRecord, LogStream
from infra.local.template.model import Function

_STANDARD_OUTPUT = 1
_END = re.compile(rb"END RequestId: [0-9a-f-]{36}\Z")
_DURATION = re.compile(rb"\tDuration: ([\d.]+) ms")
_MAX_USED = re.compile(rb"Max Memory Used: \d+ MB")
_PEAK_MEMORY = re.compile(rb"VmHWM:\s+(\d+) kB")
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
        self._written: list[bytes] = []
        self._reported = asyncio.Event()
        self._is_closed = False

    def initialised(self, init_ms: float, runtime_pid: int | None) -> None:
        """The first invocation's line says how long the start took."""
        self._init_ms = init_ms
        self._runtime_pid = runtime_pid

    def begin(self, request_id: str) -> None:
        """An invocation starts."""
        self._request_id = request_id
        self._unreported = self._report = None
        self._written.clear()
        self._reported.clear()

    def end(self, result: Result, duration_ms: float, *, is_alive: bool) -> None:
        """An invocation has its result. A dead environment reports nothing any more."""
        self._unreported = result
        self._duration_ms = duration_ms
        if self._report is not None or not is_alive:
            self._log_invocation()

    async def log(self) -> bytes:
        """All that was written since `begin`, with the report if one comes."""
        if not self._is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_TIMEOUT_SECONDS):
                    await self._reported.wait()
        return b"\n".join([*self._written, b""])

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
            self._is_closed = True
            self._reported.set()

    def _as_measured(self, report: bytes) -> bytes:
        """The emulator puts the limit where the use belongs, and knows of no separate start."""
        report = _MAX_USED.sub(b"Max Memory Used: %d MB" % self._peak_memory_mb(), report)
        if self._init_ms is None:
            return report
        return b"%b\tInit Duration: %.2f ms\t" % (report.rstrip(b"\t"), self._init_ms)

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
        if self._runtime_pid is not None and now - self._memory_read_at > _MEMORY_AGE_SECONDS:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{self._runtime_pid}/status").read_bytes()
                if found := _PEAK_MEMORY.search(status):
                    self._memory_mb = int(found.group(1)) // 1024
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
