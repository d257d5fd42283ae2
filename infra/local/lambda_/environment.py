"""One execution environment: AWS's Runtime Interface Emulator around AWS's Python runtime."""

import asyncio
import base64
import contextlib
import json
import os
import resource
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from infra.local.invocation import Event, Result, failure, whole_trace_id
from infra.local.lambda_.launch import Launch
from infra.local.lambda_.memory import MemoryWatch, children, descendants
from infra.local.lambda_.output import EnvironmentOutput
from infra.local.lambda_.rie import RieConnection, connect
from infra.local.lambda_.runtime_watch import RuntimeWatch
from infra.local.lambda_.time_slices import take_long_turns
from infra.local.logs.stream import LogStream
from infra.services.ports import hold_free_port, port_of
from infra.services.process_identity import ProcessIdentity

_NO_REASON = "Runtime exited without providing a reason"
_OUT_OF_MEMORY = "Runtime exited with error: signal: killed"
# For what hangs.
_STOP_PATIENCE_SECONDS = 30.0


class InitFailed(Exception):
    """An environment did not start; `payload` is what the invoker gets."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload


class RuntimeGone(Exception):
    """An environment cannot be given an invocation, as it ended before; `result` says so."""

    def __init__(self, event: Event) -> None:
        super().__init__(event.request_id)
        self.result = _crashed(event.request_id, _NO_REASON)


class Environment(asyncio.SubprocessProtocol):
    """Runs one invocation at a time. Make with `start`."""

    def __init__(
        self, launch: Launch, logs: LogStream, on_process: Callable[[ProcessIdentity], None]
    ) -> None:
        self._launch = launch
        self._logs = logs
        self._on_process = on_process
        self._output = EnvironmentOutput(launch.function, logs)
        self._transport: asyncio.SubprocessTransport | None = None
        self._connection: RieConnection | None = None
        self._runtime: ProcessIdentity | None = None
        self._watch: RuntimeWatch | None = None
        self._memory = MemoryWatch(
            launch.function.memory_mb,
            self._runtime_pid,
            self._bound,
            self._end_for_memory,
        )
        self._is_cpu_time_limited = False
        self._overdue: asyncio.TimerHandle | None = None
        self._is_overdue = False
        self._is_out_of_memory = False
        self._exited = asyncio.get_running_loop().create_future()
        self.generation = 0
        self.idle_since = 0.0
        self.is_alive = False
        # On an invocation, or on its start.
        self._is_working = True
        # Called when it ends while nothing runs in it.
        self.on_idle_end: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Starts the processes and initialises the function. Raises InitFailed."""
        started_at = time.perf_counter()
        with hold_free_port() as for_emulator, hold_free_port() as for_runtime:
            try:
                await self._start_processes(port_of(for_emulator), port_of(for_runtime))
                self._connection = await connect(port_of(for_emulator), lambda: self.is_alive)
                self._tell_editor(is_attached=False)
                self._watch_memory()
                pid = await self._warm_up(self._connection)
                self._note_runtime(pid)
                self._watch = RuntimeWatch(pid, self._end_if_idle)
            except OSError as error:
                await self.stop()
                words = f"The runtime did not start: {error}"
                crash = failure(
                    "Runtime.ExitError",
                    f"Error: {_OUT_OF_MEMORY}" if self._is_out_of_memory else words,
                )
                raise InitFailed(crash.payload) from error
            except BaseException:
                await self.stop()
                raise
            finally:
                self._memory.stop()
        self._tell_editor(is_attached=True)
        self._output.initialised((time.perf_counter() - started_at) * 1000, pid)
        self._is_working = False

    def _note_runtime(self, pid: int) -> None:
        self._runtime = ProcessIdentity.of(pid)
        if self._runtime is not None:
            self._on_process(self._runtime)
            if self._launch.gives_way:
                take_long_turns(pid)

    def _tell_editor(self, *, is_attached: bool) -> None:
        port = self._launch.editor_port
        if port is None:
            return
        words = "is attached" if is_attached else f"is waited for at 127.0.0.1:{port}"
        self._logs.event(self._launch.function.folder_name, f"a debugger {words}")

    async def invoke(self, event: Event) -> Result:
        """Runs the function. After a crash or a time-out the environment is dead.

        Raises RuntimeGone where the runtime has ended since the last invocation.
        """
        # Between this look and what is sent nothing else runs here: what is killed later is killed
        # in the midst of the invocation.
        if not self._is_there():
            self._end_if_idle()
            raise RuntimeGone(event)
        self._is_working = True
        self._output.begin(event.request_id)
        started_at = time.perf_counter()
        self._watch_memory()
        try:
            result = await self._exchange(event)
        except asyncio.CancelledError:
            # The function is still busy with what nobody waits for.
            self._die()
            raise
        finally:
            self._is_working = False
            self._memory.stop()
            self._lift_bounds()
        duration_ms = (time.perf_counter() - started_at) * 1000
        self._output.end(result, duration_ms, self._memory.held_mb, is_alive=self.is_alive)
        return replace(result, log=await self._output.log()) if event.wants_log else result

    def _bound(self) -> None:
        """What bounds an invocation that is not over at once."""
        if self._runtime is None:
            return
        # The emulator ends an invocation in time; this is for the day it does not.
        limit_seconds = self._launch.function.timeout_seconds + 5
        self._overdue = asyncio.get_running_loop().call_later(limit_seconds, self._end_overdue)
        # The kernel ends what uses more of a processor than this, from now on.
        with contextlib.suppress(OSError, ValueError):
            used_seconds = int(_cpu_seconds(self._runtime.pid))
            self._set_cpu_limit(used_seconds + 1 + self._launch.cpu_seconds)
            self._is_cpu_time_limited = True

    def _lift_bounds(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        # The invocations that come would use it up together.
        if self._is_cpu_time_limited:
            self._is_cpu_time_limited = False
            with contextlib.suppress(OSError, ValueError):
                self._set_cpu_limit(resource.RLIM_INFINITY)

    def _end_overdue(self) -> None:
        self._is_overdue = True
        self._die()

    def _set_cpu_limit(self, seconds: int) -> None:
        assert self._runtime is not None
        _, hard = resource.prlimit(self._runtime.pid, resource.RLIMIT_CPU)
        resource.prlimit(self._runtime.pid, resource.RLIMIT_CPU, (seconds, hard))

    def _watch_memory(self) -> None:
        # What a debugger takes is nobody's business.
        if self._launch.editor_port is None:
            self._memory.start()

    def _end_for_memory(self) -> None:
        self._is_out_of_memory = True
        function = self._launch.function
        self._logs.event(
            function.folder_name,
            f"ended: it took more than its MemorySize, {function.memory_mb} MB",
            is_problem=True,
        )
        self._output.memory_is_full()
        # Whoever waits for an answer learns of it by the connection.
        self._die()

    def _runtime_pid(self) -> int | None:
        """Before the runtime has told it itself, it is what the emulator has started."""
        if self._runtime is not None:
            return self._runtime.pid
        if self._transport is None or self._exited.done():
            return None
        return next(children(self._transport.get_pid()), None)

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
        self._output.receive(fd, data)

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        self._output.close(fd)

    def process_exited(self) -> None:
        if not self._exited.done():
            self._exited.set_result(None)
        self._end_if_idle()
        self.is_alive = False
        if self._connection is not None:
            self._connection.close()

    def _is_there(self) -> bool:
        is_connected = self._connection is not None and self._connection.is_open
        return is_connected and self._watch is not None and self._watch.is_there()

    def _end_if_idle(self) -> None:
        """What ended may be the runtime alone: the emulator takes no notice until the next
        invocation, which it then fails. During one it says itself how that ended."""
        if self._is_working or not self.is_alive:
            return
        self._logs.event(
            self._launch.function.folder_name,
            "an environment ended between two invocations; the next one starts another",
            is_problem=True,
        )
        self._die()
        self.on_idle_end()

    async def _start_processes(self, emulator_port: int, runtime_port: int) -> None:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: self,
            *self._launch.command(emulator_port, runtime_port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._launch.function.code_path,
            env=self._launch.environment(),
            start_new_session=True,
        )
        self._transport = transport
        self.is_alive = not self._exited.done()
        if identity := ProcessIdentity.of(transport.get_pid()):
            self._on_process(identity)

    async def _warm_up(self, connection: RieConnection) -> int:
        """Has the function imported, and returns the runtime's process."""
        request_id = str(uuid.uuid4())
        started_at = time.monotonic()
        headers = b"X-Amzn-RequestId: %b\r\n" % request_id.encode()
        status, payload = await connection.post(headers, [b"{}"])
        try:
            return int(json.loads(payload)["pid"])
        except (ValueError, KeyError, TypeError):
            waited_seconds = time.monotonic() - started_at
            is_late = waited_seconds >= self._launch.function.timeout_seconds
            if payload.startswith(b"Task timed out") or (status != 200 and not payload and is_late):
                late = failure("Sandbox.Timedout", "The function took too long to initialise")
                payload = late.payload
            elif not payload:
                payload = _crashed(request_id, _NO_REASON).payload
            raise InitFailed(payload) from None

    async def _exchange(self, event: Event) -> Result:
        if self._connection is None:
            return _crashed(event.request_id, "the environment has ended")
        headers = b"X-Amzn-RequestId: %b\r\n" % event.request_id.encode()
        headers += b"X-Amz-Client-Context: %b\r\n" % self._brought(event)
        try:
            status, payload = await self._connection.post(headers, event.payload)
        except ConnectionError:
            self._die()
            if self._is_overdue:
                return self._timed_out(event)
            reason = _OUT_OF_MEMORY if self._is_out_of_memory else _NO_REASON
            return _crashed(event.request_id, reason)
        if status != 200:
            self._die()
            return emulator_failure(payload, event.request_id)
        if payload.startswith(b"Task timed out after "):
            self._die()
            return self._timed_out(event)
        return Result(payload, is_error=_is_function_error(payload, event.request_id))

    def _brought(self, event: Event) -> bytes:
        """What the emulator does not hand on to the runtime; see runtime/bootstrap.py."""
        brought = {"trace_id": whole_trace_id(event.trace_id)}
        # The rest is as the runtime was started with, as a rule.
        if event.client_context is not None:
            brought["client_context"] = event.client_context
        if event.qualifier is not None:
            brought["qualifier"] = event.qualifier
            brought["version"] = event.version
        return base64.b64encode(json.dumps(brought).encode())

    def _timed_out(self, event: Event) -> Result:
        seconds = self._launch.function.timeout_seconds
        return failure(
            "Sandbox.Timedout",
            f"RequestId: {event.request_id} Error: Task timed out after {seconds:.2f} seconds",
        )

    def _die(self) -> None:
        self.is_alive = False
        if self._watch is not None:
            self._watch.close()
        if self._connection is not None:
            self._connection.close()
        self._kill_runtime()
        # The emulator ends by itself then, and takes what is left of the runtime with it: killed,
        # it would leave a zombie behind wherever process 1 does not collect them.
        self._signal_emulator(signal.SIGTERM)

    def _kill_runtime(self) -> None:
        """With all that it has started: the emulator knows of its own children alone."""
        if self._runtime is not None and not self._runtime.is_alive():
            return
        runtime_pid = self._runtime_pid()
        if runtime_pid is None:
            return
        for pid in (runtime_pid, *descendants(runtime_pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _signal_emulator(self, number: signal.Signals) -> None:
        if self._transport is not None and not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                self._transport.send_signal(number)


def _crashed(request_id: str, reason: str) -> Result:
    return failure("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")


def emulator_failure(payload: bytes, request_id: str) -> Result:
    """What went wrong in its words, where they have the form of Lambda's."""
    with contextlib.suppress(ValueError):
        error = json.loads(payload)
        if isinstance(error, dict) and {"errorType", "errorMessage"} <= error.keys():
            return Result(payload, is_error=True)
    return _crashed(request_id, payload.decode(errors="replace") or _NO_REASON)


def _is_function_error(payload: bytes, request_id: str) -> bool:
    """The emulator does not say whether an answer is an error; the runtime's errors have a form
    of their own, with this invocation's id."""
    if not payload.startswith(b'{"errorMessage":') or request_id.encode() not in payload:
        return False
    answer = json.loads(payload)
    return answer.get("requestId") == request_id and "errorType" in answer


def _cpu_seconds(pid: int) -> float:
    """What a process has used since its start."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # Behind the program's name, which may itself contain spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
