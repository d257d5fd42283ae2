"""Node with the gallery's packages, as `make setup` has put them beside each other."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.commands import run
from tests.variables import ROOT

PACKAGES = ROOT / ".venvs" / "gallery" / "node_modules"


def node(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(ROOT / ".venvs" / "gallery" / "bin" / "node", *arguments, cwd=cwd)
