"""Where no Chromium is, and none can be installed, as on Ubuntu, where it is a snap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run
from tests.variables import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Everything that this system has, but for a browser."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for directory in os.get_exec_path():
        for program in Path(directory).glob("*"):
            if not (folder / program.name).is_symlink() and "chrom" not in program.name:
                (folder / program.name).symlink_to(program)
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def use_the_gallery(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    # What `make test` adds would tell of failures that are wanted here.
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTEST_ADDOPTS")}
    return run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/gallery"),
        *("-k", "password", "-o", "addopts="),
        env={**kept, "PATH": str(path), **variables},
    )


def test_its_tests_say_so_and_are_skipped(path: Path) -> None:
    ran = use_the_gallery(path)
    assert ran.returncode == 0, ran.stdout
    assert "there is no Chromium: nothing of the gallery is tried in a browser" in ran.stdout
    assert "passed" not in ran.stdout and "skipped" in ran.stdout


def test_in_ci_they_fail(path: Path) -> None:
    ran = use_the_gallery(path, CI="true")
    assert ran.returncode == 1, ran.stdout
    assert "there is no Chromium" in ran.stdout and "skipped" not in ran.stdout


@pytest.mark.parametrize(("system", "asks_for"), [("debian", ["chromium"]), ("ubuntu", [])])
def test_set_up_installs_it_where_the_system_has_a_package(
    tmp_path: Path, path: Path, system: str, asks_for: list[str]
) -> None:
    (tmp_path / "os-release").write_text(f"ID={system}\n", encoding="utf-8")
    real_grep = (path / "grep").resolve()
    put(path, "grep", f'exec {real_grep} "${{@/#\\/etc\\/os-release/{tmp_path}/os-release}}"')
    put(path, "sudo", '[[ $1 == -* ]] || exec "$@"')
    put(path, "apt-cache", "echo '  Candidate: 1.0'")
    put(path, "apt-get", f'echo "${{@: -1}}" >>{tmp_path}/asked')
    ran = run(ROOT / "infra/tools/setup.sh", "chromium", env={**os.environ, "PATH": str(path)})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    asked = tmp_path / "asked"
    assert (asked.read_text(encoding="utf-8").split() if asked.exists() else []) == asks_for
