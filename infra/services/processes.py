"""One supervised child process per service: started, recorded, watched and stopped.

Linux only: `setpriv` (util-linux) ties a service's life to its supervisor's.
"""

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import psutil

from infra.entry_point import Explained
from infra.services import ports
from infra.services.process_identity import ProcessIdentity, end_process
from infra.services.records import read_record, write_record

# These two are for what hangs, and far beyond what a machine needs that has twenty things to do at
# once: a service that is killed while it stops may lose what it saves only then.
START_TIMEOUT_SECONDS = 300.0
STOP_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.02
_LOG_LIMIT_BYTES = 10 * 1024 * 1024


class ServiceFailed(Explained):
    """A service did not start; the text says why, and where its log is."""

    def __init__(self, name: str, reason: str, log_path: Path) -> None:
        super().__init__(f"{name}: {reason} (log: {log_path})")
        self.name = name
        self.reason = reason
        self.log_path = log_path


class ServiceProcess:
    """The process of one service, with the record that lets the next supervisor clean up after
    one that was killed."""

    def __init__(
        self, name: str, folder: Path, log_path: Path, stop_signal: signal.Signals
    ) -> None:
        self._name = name
        self._record_path = folder / "process.json"
        self._log_path = log_path
        self._stop_signal = stop_signal
        self._process: asyncio.subprocess.Process | None = None

    async def stop_leftover(self) -> None:
        """Stop what a killed supervisor of the same data folder left running.

        Raises `ServiceFailed` when that supervisor is alive: two may not share a data folder.
        """
        record = read_record(self._record_path)
        if record is None:
            return
        process = ProcessIdentity(**record["process"])
        supervisor = ProcessIdentity(**record["supervisor"])
        if process.is_alive():
            if supervisor.is_alive() and supervisor.pid != os.getpid():
                raise self.failed(
                    f"already runs for the data folder {self._record_path.parent.parent}, "
                    f"started by process {supervisor.pid}. Stop that one first, "
                    "or choose another folder with --data-folder"
                )
            await end_process(process, self._stop_signal, STOP_PATIENCE_SECONDS)
        self._record_path.unlink()

    async def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        privileges: Sequence[str] = (),
    ) -> None:
        """Start the command with exactly this environment, in a session of its own.

        `privileges` are options for setpriv(1) that the process runs under.
        """
        # Ctrl-C reaches a whole foreground group: in its own session the service hears only from
        # the supervisor, which stops things in order. Should the supervisor be killed, the kernel
        # sends the stop signal in its place.
        with self._open_log() as log:
            self._process = await asyncio.create_subprocess_exec(
                self.setpriv(),
                f"--pdeathsig={self._stop_signal.name.removeprefix('SIG')}",
                *privileges,
                "--",
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )
        process = ProcessIdentity.of(self._process.pid)
        supervisor = ProcessIdentity.of(os.getpid())
        if process is not None and supervisor is not None:
            write_record(
                self._record_path,
                {"process": asdict(process), "supervisor": asdict(supervisor)},
            )

    async def wait_until(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Return when the service is ready; fail when it ended or hangs."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not await is_ready():
            if self._process is None or self._process.returncode is not None:
                raise self.failed(f"ended while starting: {self._last_log_line()}")
            if time.monotonic() > deadline:
                await self.stop(patience_seconds=5)
                raise self.failed(f"did not become ready within {START_TIMEOUT_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def wait(self) -> int:
        """The exit status, once the process has ended."""
        if self._process is None:
            return 0
        return await self._process.wait()

    async def stop(self, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """Ask the process to end, and end it when it has not after `patience_seconds`."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(self._stop_signal)
            try:
                await asyncio.wait_for(self._process.wait(), patience_seconds)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
            self._process = None
        self._record_path.unlink(missing_ok=True)

    def pids(self) -> list[int]:
        """The process and all its descendants; empty when it does not run."""
        if self._process is None or self._process.returncode is not None:
            return []
        try:
            process = psutil.Process(self._process.pid)
            return [process.pid, *(child.pid for child in process.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def setpriv(self) -> str:
        """Where setpriv(1) is."""
        path = shutil.which("setpriv")
        if path is None:
            raise self.failed("needs setpriv, from the package util-linux")
        return path

    def hold_port(
        self, wanted: int | None, preferred: int | None = None, *, variable: str
    ) -> socket.socket:
        """The port to listen on, as `ports` chooses it. Raises `ServiceFailed`, which names the
        variable that leads to a service elsewhere."""
        try:
            return ports.hold_port(self._record_path.with_name("port.json"), wanted, preferred)
        except ports.PortTaken as taken:
            raise self.failed(f"{taken}. To use what runs there, set {variable}") from taken

    def failed(self, reason: str) -> ServiceFailed:
        return ServiceFailed(self._name, reason, self._log_path)

    def _open_log(self) -> BinaryIO:
        self._log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        return self._log_path.open("ab")

    def _last_log_line(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote no log")


class Service:
    """One supervised process; `url` is where it answers, once it has started."""

    def __init__(self, process: ServiceProcess) -> None:
        self._process = process
        self.url = ""

    async def start(self) -> None:
        """Return when clients are answered. Raises `ServiceFailed`."""
        raise NotImplementedError

    async def stop(self) -> None:
        await self._process.stop()

    async def wait(self) -> int:
        """The process's exit status, once it has ended."""
        return await self._process.wait()

    def pids(self) -> list[int]:
        return self._process.pids()


async def run_once(
    service: ServiceProcess, command: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> None:
    """Run a short command to its end; a failure is the service's, with the command's own words."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        cwd="/",
    )
    output, _ = await process.communicate(stdin.encode())
    if process.returncode != 0:
        words = output.decode(errors="replace").strip()
        raise service.failed(f"{Path(command[0]).name} ended with {process.returncode}: {words}")
