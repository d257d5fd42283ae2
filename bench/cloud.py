"""A local cloud of the bench's own: private ports, a fresh data folder, one more function."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import requests

from tests.e2e.running_cloud import RunningCloud
from tests.processes import read
from tests.variables import ROOT

# One user does it all, and for long.
_SETTINGS = {
    "JWT_EXPIRATION_MINUTES": "600",
    "LIMIT_IMAGES": "0",
    "LIMIT_BYTES": "0",
    "LIMIT_UNFINISHED_CHANGES": "0",
}

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
        Body:
          Type: Api
          Properties: {RestApiId: !Ref Api, Path: /hello/body, Method: post}
"""


class LocalCloud(RunningCloud):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder / "data",
            "--no-watch",
            template=_template(folder),
            variables={
                **_SETTINGS,
                # A copy of the template may be anybody's: it says on what its functions run.
                "LAMBDA_PYTHON": str(ROOT / ".venvs" / "lambda" / "bin" / "python"),
            },
        )

    def started_in_seconds(self) -> float:
        """Starts it as `make run` does; how long it took until the first answered request."""
        started_at = time.perf_counter()
        self.start()
        requests.get(f"{self.api_url}/health").raise_for_status()
        return time.perf_counter() - started_at

    @property
    def database_url(self) -> str:
        """The owner's: the API's role may not ANALYZE what the bench fills in."""
        return self.environment.get("DATABASE_ADMIN_URL") or self.environment["DATABASE_URL"]

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def memory_bytes(self) -> dict[str, int]:
        """Proportional set size of each of its processes, summed by program."""
        sizes: dict[str, int] = {}
        for pid in self.pids():
            size = _pss_bytes(pid)
            if size is not None:
                name = _program(pid)
                sizes[name] = sizes.get(name, 0) + size
        return sizes


def _template(folder: Path) -> Path:
    """The project's template and the hello function, beside links to the code it names."""
    base = folder / "project"
    base.mkdir()
    for name in ("functions", "layers", "infra", "bench"):
        (base / name).symlink_to(ROOT / name)
    text = (ROOT / "template.yaml").read_text()
    path = base / "template.yaml"
    path.write_text(text.replace("\nOutputs:\n", f"{_HELLO}\nOutputs:\n"))
    return path


def _pss_bytes(pid: int) -> int | None:
    for line in (read(pid, "smaps_rollup") or b"").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None


def _program(pid: int) -> str:
    command = (read(pid, "cmdline") or b"").replace(b"\0", b" ").decode()
    for mark, name in (
        ("lambda_/runtime/bootstrap.py", "Lambda runtimes"),
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
