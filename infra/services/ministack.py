"""MiniStack, an emulator of AWS, with no more of its parts than are asked for."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.services.ports import port_of
from infra.services.process_identity import ProcessIdentity, end_process
from infra.services.processes import Service, ServiceProcess
from infra.services.records import credentials

# Where AWS's emulators listen, so where clients look first.
_USUAL_PORT = 4566
# Given by its path, not in a package: the process can import nothing of this project.
_APPLICATION = f"{Path(__file__).parent / 'asgi' / 'before_ministack.py'}:app"
_WORKER_PATIENCE_SECONDS = 5.0


class MiniStackService(Service):
    """Objects are files in the data folder, on disk before their PUT is answered; one that could
    not be written is answered with 500.

    Everything else is in memory, and with `keeps_state` saved by an orderly stop.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        log_path: Path,
        port: int | None,
        *,
        parts: Sequence[str],
        access_key_id: str,
        keeps_state: bool,
        application: str = _APPLICATION,
    ) -> None:
        """`port`: None keeps last time's port, or 4566, while it is free; 0 takes any free one."""
        self._folder = folder.absolute()
        self._objects = self._folder / "objects"
        self._port = port
        self._parts = parts
        self._keeps_state = keeps_state
        self._application = application
        super().__init__(ServiceProcess(name, self._folder, log_path.absolute(), signal.SIGTERM))
        self.region = "us-east-1"
        self.access_key_id = access_key_id
        self.secret_access_key = ""

    async def start(self) -> None:
        """Return when the server answers. Raises `ServiceFailed`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._process.stop_leftover()
        self._objects.mkdir(mode=0o700, exist_ok=True)
        self._before_start()
        self.access_key_id, self.secret_access_key = credentials(
            self._folder / "credentials.json", user=self.access_key_id
        )
        with self._process.hold_port(self._port, _USUAL_PORT, variable="AWS_ENDPOINT_URL") as held:
            port = port_of(held)
            await self._start_server(port)
        self.url = f"http://localhost:{port}"

    async def stop(self) -> None:
        # Its functions' processes end when they find it gone, and a busy one finds out late.
        workers = [ProcessIdentity.of(pid) for pid in self.pids()[1:]]
        await self._process.stop()
        for worker in filter(None, workers):
            await end_process(worker, signal.SIGTERM, _WORKER_PATIENCE_SECONDS)

    def _before_start(self) -> None:
        """What is to be done with the data folder while nothing uses it."""

    async def _start_server(self, port: int) -> None:
        await self._process.start(
            [
                sys.executable,
                # Nothing of the current folder may be imported.
                "-P",
                *("-m", "hypercorn", self._application),
                *("--bind", f"127.0.0.1:{port}"),
                *("--worker-class", "uvloop"),
                # In this very process: a worker of its own would outlive it.
                *("--workers", "0"),
                *("--keep-alive", "75"),
                *("--log-level", "WARNING"),
            ],
            self._environment(port),
        )

        async def is_ready() -> bool:
            return await _answers(port)

        await self._process.wait_until(is_ready)

    def _environment(self, port: int) -> dict[str, str]:
        temporary = self._folder / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        return {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "TMPDIR": str(temporary),
            "SERVICES": ",".join(self._parts),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._objects),
            "PERSIST_STATE": "1" if self._keeps_state else "0",
            "STATE_DIR": str(self._folder / "state"),
            # Servers for other protocols, which it would start on fixed ports.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": self.region,
            # Presigned URLs are checked against this pair.
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "LOG_LEVEL": "WARNING",
            # Without Docker it has no containers to look after.
            "DOCKER_HOST": f"unix://{temporary}/no-docker.sock",
        }


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    return b" 200 " in status
