"""The local cloud as its user runs it: a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import requests

from tests.commands import run
from tests.processes import descendants, has_variable
from tests.variables import ROOT, variables_without_settings
from tests.waiting import eventually

# The first start on a machine installs the layers' third-party code.
_START_PATIENCE_SECONDS = 600.0
_LOG_TAIL_LINES = 60


def local_python() -> str:
    """The interpreter that runs the local cloud."""
    return os.environ.get("LOCAL_PYTHON") or str(ROOT / ".venvs" / "local" / "bin" / "python")


class RunningCloud:
    """`python -m infra.local run` on ports of its own, with a data folder that outlives it."""

    def __init__(
        self,
        data_folder: Path,
        *options: str,
        template: Path = ROOT / "template.yaml",
        command: Literal["run", "services"] = "run",
        variables: Mapping[str, str] = MappingProxyType({}),
        as_json: bool = True,
        is_private: bool = True,
    ) -> None:
        self.data_folder = data_folder
        self._shared_options = (
            *("--data-folder", str(data_folder)),
            *("--template", str(template)),
            # On free ports, so that no two get in each other's way.
            *(("--private",) if is_private else ()),
        )
        self._options = (*options, *(("--json",) if as_json else ()))
        self._command = command
        self.variables = {**variables_without_settings(), **variables}
        self._log_path = data_folder.with_name(f"{data_folder.name}.log")
        self._process: subprocess.Popen[bytes] | None = None
        self._state: dict[str, Any] = {}

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def api_url(self) -> str:
        """By address: a name may stand for several, and clients here choose their own."""
        return str(self._state["api_url"]).replace("localhost", "127.0.0.1")

    @property
    def invoke_url(self) -> str:
        return str(self._state["invoke_url"])

    @property
    def environment(self) -> dict[str, str]:
        """Where the services are, with the names that the functions know them by."""
        return dict(self._state["environment"])

    @property
    def state(self) -> dict[str, Any]:
        """What it has written about itself."""
        return dict(self._state)

    @property
    def service_pids(self) -> set[int]:
        return {pid for service in self._state["services"].values() for pid in service["pids"]}

    @property
    def environment_pids(self) -> set[int]:
        """The processes of all execution environments there have been."""
        path = self.data_folder / "environments.json"
        return {process["pid"] for process in json.loads(path.read_bytes())["processes"]}

    def pids(self) -> set[int]:
        """Every process of it that runs now."""
        assert self._process is not None
        return {self._process.pid, *descendants(self._process.pid)}

    def function_name(self, folder_name: str) -> str:
        """What the function in this folder is called in its own environment."""
        return str(self._state["functions"][folder_name]["name"])

    @property
    def state_path(self) -> Path:
        return self.data_folder / "state.json"

    def log(self) -> str:
        """All lines that are whole."""
        text = self._log_path.read_text(encoding="utf-8", errors="replace")
        return text[: text.rfind("\n") + 1]

    def start(self) -> None:
        """Returns when the API is ready."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(local_python(), "-m", "infra.local", self._command),
                    *(*self._shared_options, *self._options),
                ],
                cwd=ROOT,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(
                self.refresh,
                "the local cloud is up",
                watch=self.assert_alive,
                patience_seconds=_START_PATIENCE_SECONDS,
            )
        except BaseException:
            self.kill()
            raise

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """As Ctrl-C or a shutdown does; nothing may be left behind."""
        assert self._process is not None
        self._process.terminate()
        self.wait_for_end()

    def wait_for_end(self) -> None:
        """Until it has ended in order."""
        assert self._process is not None
        status = self._process.wait()
        self._state = {}
        assert status == 0, f"The local cloud ended with {status}:\n{self._log_tail()}"
        assert not self.state_path.exists(), "state.json was left behind"

    def kill(self) -> None:
        """What a crash or `kill -9` does: no last words."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._state = {}

    def wait_for_failure(self) -> None:
        """Until it ends by itself because one of its parts did."""
        assert self._process is not None
        status = self._process.wait()
        self._state = {}
        assert status == 1, f"The local cloud ended with {status}:\n{self._log_tail()}"

    def invoke(self, function: str, event: Any) -> Any:
        """What a function answers through the Lambda API."""
        answer = requests.post(
            f"{self.invoke_url}/2015-03-31/functions/{function}/invocations",
            json=event,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextmanager
    def held_back(self, folder_name: str) -> Iterator[None]:
        """A function's processes stand still inside: what invokes it waits."""
        name = self.function_name(folder_name)
        pids = [pid for pid in self.pids() if has_variable(pid, "AWS_LAMBDA_FUNCTION_NAME", name)]
        assert pids, f"{folder_name} does not run"
        _send(signal.SIGSTOP, pids)
        try:
            yield
        finally:
            _send(signal.SIGCONT, pids)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of the local cloud, on the same data folder."""
        return run(*self.command(*arguments), env=self.variables)

    def command(self, name: str, *arguments: str) -> list[str]:
        """Another command of the local cloud, to be run from this folder."""
        options = (*self._shared_options, *arguments)
        return [local_python(), "-m", "infra.local", name, *options]

    def refresh(self) -> bool:
        """Reads state.json again; whether it is this process's."""
        assert self._process is not None
        try:
            state = json.loads(self.state_path.read_bytes())
        except FileNotFoundError:
            return False
        if state["pid"] != self._process.pid:
            return False
        self._state = state
        return True

    def assert_alive(self) -> None:
        assert self._process is not None
        status = self._process.poll()
        assert status is None, f"The local cloud ended with {status}:\n{self._log_tail()}"

    def _log_tail(self) -> str:
        return "\n".join(self.log().splitlines()[-_LOG_TAIL_LINES:])


def _send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        # It may have ended meanwhile.
        with suppress(ProcessLookupError):
            os.kill(pid, number)
