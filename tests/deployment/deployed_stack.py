"""The stack deployed to an emulated AWS, as a process of its own: for tests in any environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import descendants, is_running
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]

# A first build fetches the layers' third-party code.
_START_PATIENCE_SECONDS = 1200.0
_LOG_TAIL_LINES = 60


class DeployedStack:
    """What `deployment.json` says of a running `make deploy-local KEEP=1`.

    `functions` are the names that the Lambda API at `lambda_url` knows them by, by folder name.
    `aws_variables` are what an AWS SDK needs to talk to it; `target` is what
    `infra.deploy_local.target.Target` is made of.
    """

    def __init__(self, state: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.api_url = str(state["api_url"])
        self.lambda_url = str(state["lambda_url"])
        self.stack_name = str(state["stack_name"])
        self.outputs: dict[str, str] = state["outputs"]
        self.functions: dict[str, str] = state["functions"]
        self.aws_variables: dict[str, str] = state["aws_variables"]
        self.target: dict[str, Any] = state["target"]

    def pids(self) -> set[int]:
        """Every process of it that runs now."""
        return {self._process.pid, *descendants(self._process.pid)}


@contextmanager
def deployed_stack(data_folder: Path) -> Iterator[DeployedStack]:
    """Deploys; afterwards, no process and no file of it may be left.

    `data_folder` must not exist yet, and has the log beside it.
    """
    log_path = data_folder.with_name(f"{data_folder.name}.log")
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig=TERM", "--"),
                str(ROOT / ".venvs" / "local" / "bin" / "python"),
                *("-m", "infra.deploy_local", "--keep", "--data-folder", str(data_folder)),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def is_alive() -> None:
        status = process.poll()
        assert status is None, f"The deployment ended with {status}:\n{_tail(log_path)}"

    try:
        state_path = data_folder / "deployment.json"
        eventually(
            state_path.exists,
            "it is deployed",
            watch=is_alive,
            patience_seconds=_START_PATIENCE_SECONDS,
        )
        stack = DeployedStack(json.loads(state_path.read_bytes()), process)
        yield stack
        left_over = stack.pids()
    finally:
        process.terminate()
        status = process.wait()
    assert status == 0, f"The deployment ended with {status}:\n{_tail(log_path)}"
    # A process that was told to end does so when it gets its turn.
    eventually(
        lambda: not {pid for pid in left_over if is_running(pid)}, "its processes have ended"
    )
    assert not data_folder.exists(), f"{data_folder} was left behind"


def _tail(log_path: Path) -> str:
    return "\n".join(log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
