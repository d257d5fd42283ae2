"""A local cloud of the bench's own: private ports, a fresh data folder, one more function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import descendants, read
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent
# The first start on a machine installs the layers' third-party code.
_START_PATIENCE_SECONDS = 600.0

_HELLO = """
  HelloFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: bench/hello
      Events:
        Http:
          Type: Api
          Properties: {RestApiId: !Ref Api, Path: /hello, Method: get}
        Large:
          Type: Api
          Properties: {RestApiId: !Ref Api, Path: /hello/large, Method: get}
"""


@dataclass
class LocalCloud:
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    state: dict[str, Any] = field(default_factory=dict)

    def start(self) -> float:
        """Starts it as `make run` does; returns the seconds until the first answered request."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data_folder = self.folder / "data"
        state_path = data_folder / "state.json"
        state_path.unlink(missing_ok=True)
        started_at = time.perf_counter()
        with (self.folder / "cloud.log").open("ab") as log:
            process = self.process = subprocess.Popen(
                [
                    str(local_python()),
                    *("-m", "infra.local", "run", "--private", "--json", "--no-watch"),
                    *("--data-folder", str(data_folder)),
                    *("--template", str(_template(self.folder))),
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "JWT_EXPIRATION_MINUTES": "600",
                    # Its template is a copy elsewhere, and so a foreign one.
                    "LAMBDA_PYTHON": str(ROOT / ".venvs" / "lambda" / "bin" / "python"),
                },
                stdout=log,
                stderr=log,
            )

        def is_alive() -> None:
            if process.poll() is not None:
                raise RuntimeError(f"the local cloud did not start: see {log.name}")

        eventually(
            state_path.exists,
            "the local cloud is up",
            watch=is_alive,
            patience_seconds=_START_PATIENCE_SECONDS,
        )
        self.state = json.loads(state_path.read_text())
        _first_answer(self.url)
        return time.perf_counter() - started_at

    @property
    def url(self) -> str:
        return str(self.state["api_url"])

    @property
    def environment(self) -> dict[str, str]:
        environment: dict[str, str] = self.state["environment"]
        return environment

    @property
    def database_url(self) -> str:
        """The owner's: the API's role may not ANALYZE what the bench fills in."""
        return self.environment.get("DATABASE_ADMIN_URL") or self.environment["DATABASE_URL"]

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Through the Lambda API, without gateway or queue."""
        request = urllib.request.Request(
            f"{self.state['invoke_url']}/2015-03-31/functions/{function}/invocations",
            json.dumps(event).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            if answer.headers.get("X-Amz-Function-Error"):
                raise RuntimeError(f"{function} failed: {answer.read()[:500]!r}")
            return json.loads(answer.read())

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def log_lines(self) -> list[dict[str, Any]]:
        text = (self.folder / "cloud.log").read_text(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def memory_bytes(self) -> dict[str, int]:
        """Proportional set size of each process below the local cloud, summed by program."""
        assert self.process is not None
        sizes: dict[str, int] = {}
        for pid in {self.process.pid, *descendants(self.process.pid)}:
            size = _pss_bytes(pid)
            if size is not None:
                name = _program(pid)
                sizes[name] = sizes.get(name, 0) + size
        return sizes


def local_python() -> Path:
    return Path(os.environ.get("LOCAL_PYTHON") or ROOT / ".venvs" / "local" / "bin" / "python")


def _template(folder: Path) -> Path:
    """The project's template and the hello function, beside links to the code it names."""
    base = folder / "project"
    base.mkdir(exist_ok=True)
    for name in ("functions", "layers", "infra", "bench"):
        link = base / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    text = (ROOT / "template.yaml").read_text()
    path = base / "template.yaml"
    path.write_text(text.replace("\nOutputs:\n", f"{_HELLO}\nOutputs:\n"))
    return path


def _first_answer(url: str) -> None:
    with urllib.request.urlopen(f"{url}/health") as answer:
        if answer.status != 200:
            raise RuntimeError(f"/health answered {answer.status}")


def _pss_bytes(pid: int) -> int | None:
    for line in (read(pid, "smaps_rollup") or b"").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None


def _program(pid: int) -> str:
    command = (read(pid, "cmdline") or b"").replace(b"\0", b" ").decode()
    for mark, name in (
        ("awslambdaric", "Lambda runtimes"),
        ("aws-lambda-rie", "Runtime Interface Emulators"),
        ("ministack", "S3 (MiniStack)"),
        ("infra.local", "gateway and supervisor"),
        ("postgres", "Postgres"),
        ("beam", "RabbitMQ"),
        ("rabbit", "RabbitMQ"),
        ("epmd", "RabbitMQ"),
        ("erl", "RabbitMQ"),
    ):
        if mark in command:
            return name
    return "other"
