"""S3 by MiniStack, with its objects as files in the data folder."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from infra.local.services.ports import PortTaken, choose_port
from infra.local.services.processes import ServiceProcess
from infra.local.services.records import credentials

# Where AWS's emulators listen, so where clients look first.
_USUAL_PORT = 4566
_START_TIMEOUT_SECONDS = 30.0
_STOP_PATIENCE_SECONDS = 10.0


class S3Service:
    """MiniStack with its S3 and nothing else.

    An object is on disk before its PUT is answered, so it outlives a killed process. The settings
    of a bucket (policy, CORS, life cycle) are saved by an orderly stop only, and a bucket that is
    still empty may be forgotten: whoever starts this creates and configures the buckets anew.
    """

    def __init__(self, data_folder: Path, log_folder: Path, port: int | None = None) -> None:
        """`port`: None keeps last time's port, or 4566, while it is free; 0 takes any free one."""
        self._folder = data_folder.absolute() / "s3"
        self._objects = self._folder / "objects"
        self._port = port
        self._process = ServiceProcess(
            "S3", self._folder, log_folder.absolute() / "s3.log", signal.SIGTERM
        )
        self.url = ""
        self.region = "us-east-1"
        self.access_key_id = ""
        self.secret_access_key = ""

    async def start(self) -> None:
        """Return when the server answers. Raises `ServiceFailed`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._process.stop_leftover(_STOP_PATIENCE_SECONDS)
        self._objects.mkdir(mode=0o700, exist_ok=True)
        self._remove_unfinished_writes()
        try:
            port = choose_port(self._folder / "port.json", self._port, _USUAL_PORT)
        except PortTaken as taken:
            raise self._process.failed(
                f"{taken}. To use the S3 that runs there, set AWS_ENDPOINT_URL"
            ) from taken
        self.access_key_id, self.secret_access_key = credentials(
            self._folder / "credentials.json", user="LOCALCLOUD"
        )
        await self._process.start(
            [
                sys.executable,
                # Nothing of the current folder may be imported.
                "-P",
                *("-m", "hypercorn", "ministack.app:app"),
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

        await self._process.wait_until(is_ready, _START_TIMEOUT_SECONDS)
        self.url = f"http://localhost:{port}"

    async def stop(self) -> None:
        await self._process.stop(_STOP_PATIENCE_SECONDS)

    async def wait(self) -> int:
        """The server's exit status, once it has ended."""
        return await self._process.wait()

    def pids(self) -> list[int]:
        return self._process.pids()

    def _remove_unfinished_writes(self) -> None:
        """Remove the temporary files of writes that were cut off.

        MiniStack would list them as objects. A real object whose name ends the same way has its
        metadata beside it.
        """
        for folder, _, names in os.walk(self._objects):
            for name in names:
                path = Path(folder, name)
                if name.endswith(".tmp") and not path.with_name(f"{name}.meta.json").exists():
                    path.unlink()

    def _environment(self, port: int) -> dict[str, str]:
        temporary = self._folder / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        return {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "TMPDIR": str(temporary),
            "SERVICES": "s3",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._objects),
            "PERSIST_STATE": "1",
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
