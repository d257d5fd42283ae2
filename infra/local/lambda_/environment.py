"""One execution environment: AWS's Runtime Interface Emulator around AWS's Python runtime."""

import asyncio
import base64
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.local.lambda_.rie import RieConnection, connect
from infra.local.logs import InvocationRecord, LogStream
from infra.local.template.reader import Function
from infra.services.ports import hold_free_port, port_of
from infra.services.processes import ProcessIdentity

# Lambda's limit for a synchronous payload, with the slack that Lambda itself allows.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024 + 100

RUNTIME_FOLDER = Path(__file__).parent / "runtime"

_WARM_UP = base64.b64encode(json.dumps({"custom": {"local-cloud-warm-up": True}}).encode())
_PEAK_MEMORY = re.compile(rb"VmHWM:\s+(\d+) kB")
# A peak that is this old is read again.
_MEMORY_AGE_SECONDS = 0.25
# These two are for what hangs: a report comes, or the process ends without one.
_LOG_TIMEOUT_SECONDS = 30.0
_STOP_PATIENCE_SECONDS = 30.0


class InitFailed(Exception):
    """An environment did not start; `payload` is what the invoker gets."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload


@dataclass(frozen=True, slots=True)
class Event:
    """What a function is invoked with. `payload` is JSON in pieces, sent as they are.

    `wants_log`: the result is to hold what the function wrote.
    """

    payload: Sequence[bytes]
    request_id: str
    trace_id: str | None = None
    client_context: str | None = None
    wants_log: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """`is_error`: the function failed, and the payload says how, as Lambda puts it."""

    payload: bytes
    is_error: bool = False
    is_timeout: bool = False
    log: bytes = b""


@dataclass(frozen=True)
class Launch:
    """How the environments of one function are started."""

    function: Function
    python: Path
    python_path: Sequence[Path]
    variables: Mapping[str, str]
    emulator: Path


def emulator_path() -> Path:
    """The emulator that the SAM CLI ships for this machine."""
    import samcli.local.rapid

    name = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    return Path(samcli.local.rapid.__path__[0]) / f"aws-lambda-rie-{name}"


class Environment(asyncio.SubprocessProtocol):
    """Runs one invocation at a time. Make with `start`."""

    def __init__(
        self, launch: Launch, logs: LogStream, on_process: Callable[[ProcessIdentity], None]
    ) -> None:
        self._launch = launch
        self._logs = logs
        self._on_process = on_process
        self._name = launch.function.folder_name
        self._transport: asyncio.SubprocessTransport | None = None
        self._connection: RieConnection | None = None
        self._runtime: ProcessIdentity | None = None
        self._exited = asyncio.get_running_loop().create_future()
        self._unfinished_line = {1: b"", 2: b""}
        self._request_id: str | None = None
        self._unreported: Result | None = None
        self._report: bytes | None = None
        self._duration_ms = 0.0
        self._init_ms: float | None = None
        self._memory_mb = 0
        self._memory_read_at = 0.0
        self._written: list[bytes] = []
        self._reported = asyncio.Event()
        self._has_written_all = False
        self.generation = 0
        self.idle_since = 0.0
        self.is_alive = False

    async def start(self) -> None:
        """Starts the processes and initialises the function. Raises InitFailed."""
        started_at = time.perf_counter()
        with hold_free_port() as for_emulator, hold_free_port() as for_runtime:
            await self._start_processes(port_of(for_emulator), port_of(for_runtime))
            try:
                self._connection = await connect(port_of(for_emulator), lambda: self.is_alive)
                await self._warm_up()
            except OSError as error:
                await self.stop()
                raise InitFailed(
                    _error_payload("Runtime.ExitError", f"The runtime did not start: {error}")
                ) from error
            except BaseException:
                await self.stop()
                raise
        self._init_ms = (time.perf_counter() - started_at) * 1000

    async def invoke(self, event: Event) -> Result:
        """Runs the function. After a crash or a time-out the environment is dead."""
        self._request_id = event.request_id
        self._unreported = self._report = None
        self._written.clear()
        self._reported.clear()
        headers = b"X-Amzn-RequestId: %b\r\n" % event.request_id.encode()
        if event.trace_id:
            headers += b"X-Amzn-Trace-Id: %b\r\n" % event.trace_id.encode()
        if event.client_context:
            headers += b"X-Amz-Client-Context: %b\r\n" % event.client_context.encode()
        started_at = time.perf_counter()
        try:
            result = await self._exchange(headers, event)
        except asyncio.CancelledError:
            # The function is still busy with what nobody waits for.
            self._die()
            raise
        self._duration_ms = (time.perf_counter() - started_at) * 1000
        self._unreported = result
        if self._report is not None or not self.is_alive:
            self._log_invocation()
        if event.wants_log and not self._has_written_all:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOG_TIMEOUT_SECONDS):
                    await self._reported.wait()
            return replace(result, log=b"\n".join([*self._written, b""]))
        return result

    async def stop(self) -> None:
        """Ends the processes, as Lambda does with an environment that it no longer needs."""
        self._die()
        if self._transport is None:
            return
        try:
            async with asyncio.timeout(_STOP_PATIENCE_SECONDS):
                await asyncio.shield(self._exited)
                # The kernel ends a killed process when its turn comes.
                while self._runtime is not None and self._runtime.is_alive():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            self._signal_emulator(signal.SIGKILL)
            await self._exited
        self._transport.close()

    @property
    def pids(self) -> list[int]:
        """The emulator's and the runtime's, while they run."""
        if not self.is_alive or self._transport is None:
            return []
        pids = [self._transport.get_pid()]
        return [*pids, self._runtime.pid] if self._runtime is not None else pids

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        lines = (self._unfinished_line[fd] + data).split(b"\n")
        self._unfinished_line[fd] = lines.pop()
        # On the second stream the emulator repeats what its answer says already.
        for line in lines if fd == 1 else ():
            self._written.append(line)
            if line.startswith((b"START RequestId: ", b"END RequestId: ")):
                continue
            if line.startswith(b"REPORT RequestId: "):
                self._report = line
                self._reported.set()
                if self._unreported is not None:
                    self._log_invocation()
            else:
                self._log_line(line)

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        if fd == 1:
            self._has_written_all = True
            self._reported.set()

    def process_exited(self) -> None:
        self.is_alive = False
        if self._connection is not None:
            self._connection.close()
        if not self._exited.done():
            self._exited.set_result(None)

    async def _start_processes(self, emulator_port: int, runtime_port: int) -> None:
        setpriv = shutil.which("setpriv")
        # Should the supervisor be killed, the kernel kills the emulator, and with it the runtime.
        bound = [setpriv, "--pdeathsig=KILL", "--"] if setpriv else []
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(
            lambda: self,
            *bound,
            str(self._launch.emulator),
            "--log-level=error",
            f"--runtime-interface-emulator-address=127.0.0.1:{emulator_port}",
            f"--runtime-api-address=127.0.0.1:{runtime_port}",
            *bound,
            str(self._launch.python),
            "-m",
            "awslambdaric",
            "warm_start_handler.lambda_handler",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._launch.function.code_path,
            env=self._variables(),
            start_new_session=True,
        )
        self._transport = transport
        self.is_alive = not self._exited.done()
        if identity := ProcessIdentity.of(transport.get_pid()):
            self._on_process(identity)

    def _variables(self) -> dict[str, str]:
        function = self._launch.function
        return {
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TZ": ":UTC",
            **self._launch.variables,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
            "LAMBDA_TASK_ROOT": str(function.code_path),
            "LOCAL_CLOUD_HANDLER": function.handler,
            "PYTHONPATH": os.pathsep.join(map(str, [*self._launch.python_path, RUNTIME_FOLDER])),
        }

    async def _warm_up(self) -> None:
        assert self._connection is not None
        headers = b"X-Amzn-RequestId: %b\r\nX-Amz-Client-Context: %b\r\n" % (
            str(uuid.uuid4()).encode(),
            _WARM_UP,
        )
        status, payload = await self._connection.post(headers, [b"{}"])
        try:
            pid = json.loads(payload)["pid"]
        except (ValueError, KeyError, TypeError):
            # The runtime names the module that it was told to load: ours, around the function's.
            module = self._launch.function.handler.rpartition(".")[0].encode()
            payload = payload.replace(b"'warm_start_handler'", b"'%b'" % module)
            if payload.startswith(b"Task timed out") or (status != 200 and not payload):
                payload = _error_payload(
                    "Sandbox.Timedout", "The function took too long to initialise"
                )
            await self.stop()
            raise InitFailed(payload) from None
        self._runtime = ProcessIdentity.of(pid)
        if self._runtime is not None:
            self._on_process(self._runtime)

    async def _exchange(self, headers: bytes, event: Event) -> Result:
        if self._connection is None:
            return self._crashed(event, "the environment has ended")
        # The emulator ends an invocation in time; this is for the day it does not.
        limit_seconds = self._launch.function.timeout_seconds + 5
        try:
            async with asyncio.timeout(limit_seconds):
                status, payload = await self._connection.post(headers, event.payload)
        except TimeoutError:
            self._die()
            return self._timed_out(event)
        except ConnectionError:
            self._die()
            return self._crashed(event, "Runtime exited without providing a reason")
        if status != 200:
            self._die()
            return Result(payload, is_error=True)
        if payload.startswith(b"Task timed out after "):
            self._die()
            return self._timed_out(event)
        return Result(payload, is_error=_is_function_error(payload, event.request_id))

    def _timed_out(self, event: Event) -> Result:
        seconds = self._launch.function.timeout_seconds
        payload = _error_payload(
            "Sandbox.Timedout",
            f"RequestId: {event.request_id} Error: Task timed out after {seconds:.2f} seconds",
        )
        return Result(payload, is_error=True, is_timeout=True)

    def _crashed(self, event: Event, reason: str) -> Result:
        payload = _error_payload(
            "Runtime.ExitError", f"RequestId: {event.request_id} Error: {reason}"
        )
        return Result(payload, is_error=True)

    def _die(self) -> None:
        self.is_alive = False
        if self._connection is not None:
            self._connection.close()
        if self._runtime is not None and self._runtime.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._runtime.pid, signal.SIGKILL)
        # The emulator ends by itself then, and takes what is left of the runtime with it: killed,
        # it would leave a zombie behind wherever process 1 does not collect them.
        self._signal_emulator(signal.SIGTERM)

    def _signal_emulator(self, number: signal.Signals) -> None:
        if self._transport is not None and not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                self._transport.send_signal(number)

    def _log_line(self, line: bytes) -> None:
        # The runtime writes a traceback's line ends as carriage returns, to keep it one record.
        for text in line.decode(errors="replace").rstrip("\r").split("\r"):
            self._logs.application(self._name, self._request_id, text)

    def _log_invocation(self) -> None:
        result, report = self._unreported, self._report
        assert result is not None
        self._unreported = self._report = None
        duration_ms = self._duration_ms
        if report is not None and (found := re.search(rb"\tDuration: ([\d.]+) ms", report)):
            duration_ms = float(found.group(1))
        self._logs.invocation(
            InvocationRecord(
                function=self._name,
                request_id=self._request_id or "",
                duration_ms=duration_ms,
                init_ms=self._init_ms,
                memory_mb=self._peak_memory_mb(),
                memory_limit_mb=self._launch.function.memory_mb,
                error=error_summary(result.payload) if result.is_error else None,
            )
        )
        self._init_ms = None

    def _peak_memory_mb(self) -> int:
        now = time.monotonic()
        if self._runtime is not None and now - self._memory_read_at > _MEMORY_AGE_SECONDS:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{self._runtime.pid}/status").read_bytes()
                if found := _PEAK_MEMORY.search(status):
                    self._memory_mb = int(found.group(1)) // 1024
                    self._memory_read_at = now
        return self._memory_mb


def error_summary(payload: bytes) -> str:
    """Type and message of a failed invocation's payload, in one line."""
    try:
        error = json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")
    if not isinstance(error, dict):
        return str(error)
    return f"{error.get('errorType', 'Error')}: {error.get('errorMessage', '')}"


def _is_function_error(payload: bytes, request_id: str) -> bool:
    """The emulator does not say whether an answer is an error; the runtime's errors have a form
    of their own, with this invocation's id."""
    if not payload.startswith(b'{"errorMessage":') or request_id.encode() not in payload:
        return False
    answer = json.loads(payload)
    return answer.get("requestId") == request_id and "errorType" in answer


def _error_payload(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()
