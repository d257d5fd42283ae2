"""Node, and the packages that `make setup` has put beside it in an environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.commands import run
from tests.variables import ROOT


class Node:
    def __init__(self, environment: str) -> None:
        self._folder = ROOT / ".venvs" / environment

    @property
    def packages(self) -> Path:
        return self._folder / "node_modules"

    def run(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        return run(self._folder / "bin" / "node", *arguments, cwd=cwd)

    def make_types(self, document: Path, target: str, *, cwd: Path) -> None:
        """TypeScript's, of an OpenAPI document."""
        generator = "node_modules/openapi-typescript/bin/cli.js"
        made = self.run(generator, document, "--output", target, cwd=cwd)
        assert made.returncode == 0, made.stdout + made.stderr
