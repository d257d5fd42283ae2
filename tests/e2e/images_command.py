"""`images`, the command line, as a program of its own with a home of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.api_client import PASSWORD
from tests.variables import ROOT, variables_without_settings


class ImagesCommand:
    """Somebody's shell: what it remembers is below `home`."""

    def __init__(self, home: Path, server: str) -> None:
        self._variables = {
            **variables_without_settings(),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "IMAGES_TOKEN_STORE": "file",
            "IMAGES_SERVER": server,
            "PYTHONPATH": str(ROOT / "client" / "src"),
            # Completion is for the shell that is named, whichever the tests are run from.
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        }
        self.home = home

    def start(
        self, *arguments: str, stdin: int | None = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "image_api_client", *arguments],
            env=self._variables,
            cwd=self.home,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        output, remarks = process.communicate(text)
        assert "Traceback" not in remarks, remarks
        return process.returncode, output, remarks

    def json(self, *arguments: str, text: str = "", status: int = 0) -> list[Any]:
        """Every line of what it prints with --json."""
        got, output, remarks = self.run("--json", *arguments, text=text)
        assert got == status, (got, output, remarks)
        return [json.loads(line) for line in output.splitlines()]

    def sign_up(self, username: str) -> None:
        status, _, remarks = self.run(
            "register", "--username", username, "--password-stdin", text=f"{PASSWORD}\n"
        )
        assert status == 0, remarks
