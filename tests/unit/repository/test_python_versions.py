"""One range of Python versions is said in many places, and the set-up finds one within it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.application import ROOT
from tests.commands import run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RANGE = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["project"]["requires-python"])
assert RANGE is not None
VERSIONS = [f"3.{minor}" for minor in range(int(RANGE[1]), int(RANGE[2]))]
OWN = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"


def text_of(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text("utf-8")


def test_all_tools_work_for_the_oldest_version() -> None:
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{VERSIONS[0].replace('.', '')}"
    assert PROJECT["tool"]["mypy"]["python_version"] == VERSIONS[0]


def test_requirements_and_workflows_are_for_every_version() -> None:
    pinned_for = re.findall(r"PYTHONS=\((.*)\)", text_of("infra", "tools", "lock.sh"))
    assert pinned_for == [" ".join(VERSIONS)]
    workflow = yaml.safe_load(text_of(".github", "workflows", "test.yml"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == VERSIONS


def test_what_runs_on_aws_and_in_containers_is_the_newest_version() -> None:
    runtimes = set(re.findall(r"\bpython3\.\d+", text_of("template.yaml")))
    assert runtimes == {f"python{VERSIONS[-1]}"}
    for name in ("infra/local/Dockerfile", "docker-compose.yml", ".env.example"):
        assert set(re.findall(r"python:([\d.]+)", text_of(name))) == {VERSIONS[-1]}, name


# --- which Python the set-up takes --------------------------------------------------------------


def python_in(folder: Path, name: str, version: str = OWN, lacks: str = "") -> Path:
    """A Python that says it is of some version, and that lacks a module."""
    folder.mkdir(exist_ok=True)
    major, minor, micro = version.split(".")
    said = f"import sys; sys.version_info = ({major}, {minor}, {micro}, 'final', 0)"
    hidden = f"sys.modules['{lacks}'] = None" if lacks else "pass"
    program = folder / name
    program.write_text(
        f"#!/bin/sh\nshift; code=$1; shift\n"
        f"exec '{sys.executable}' -c \"{said}; sys.executable = '{program}'; {hidden}\n$code\" "
        '"$@"\n'
    )
    program.chmod(0o755)
    return program


def found(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the set-up finds where only these programs, and those of the system, are."""
    for name in ("bash", "env", "sh"):
        (path / name).symlink_to(f"/bin/{name}" if name != "env" else "/usr/bin/env")
    return run(ROOT / "infra" / "tools" / "find_python.sh", env={"PATH": str(path), **variables})


def test_the_python_that_the_machine_means_by_the_name_is_taken(tmp_path: Path) -> None:
    own = python_in(tmp_path / "bin", "python3", "3.12.1")
    python_in(tmp_path / "bin", "python3.11", "3.11.2")
    assert found(tmp_path / "bin").stdout == f"{own} 3.12.1\n"


@pytest.mark.parametrize("version", ["3.10.12", f"3.{int(VERSIONS[-1][2:]) + 1}.0", "4.12.0"])
def test_one_outside_of_the_range_is_passed_over(tmp_path: Path, version: str) -> None:
    python_in(tmp_path / "bin", "python3", version)
    other = python_in(tmp_path / "bin", "python3.12", "3.12.1")
    assert found(tmp_path / "bin").stdout == f"{other} 3.12.1\n"


def test_one_without_a_part_of_its_library_is_passed_over(tmp_path: Path) -> None:
    python_in(tmp_path / "bin", "python3", "3.13.5", lacks="sqlite3")
    other = python_in(tmp_path / "bin", "python3.11", "3.11.2")
    assert found(tmp_path / "bin").stdout == f"{other} 3.11.2\n"


def test_a_python_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    python_in(tmp_path / "bin", "python3", "3.13.5")
    named = python_in(tmp_path / "elsewhere", "python", "3.11.9", lacks="ensurepip")
    assert found(tmp_path / "bin", PYTHON=str(named)).stdout == f"{named} 3.11.9 ensurepip\n"


def test_a_named_python_outside_of_the_range_is_refused_in_words(tmp_path: Path) -> None:
    python_in(tmp_path / "bin", "python3", "3.13.5")
    named = python_in(tmp_path / "elsewhere", "python", "3.10.1")
    refused = found(tmp_path / "bin", PYTHON=str(named))
    assert (refused.returncode, refused.stdout) == (1, "")
    first, last = VERSIONS[0], VERSIONS[-1]
    assert refused.stderr == f"PYTHON={named} does not run as Python {first} to {last}.\n"
