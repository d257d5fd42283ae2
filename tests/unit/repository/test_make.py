"""What the Makefile and the scripts behind it promise whoever types `make`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.application import ROOT
from tests.commands import output_of
from tests.processes import is_running
from tests.waiting import eventually

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# Each target with the lines of its recipe.
RECIPES: dict[str, str] = dict(
    re.findall(r"^([a-z0-9-]+):(?: ##.*)?\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
)
# A project whose stages take no time; each test changes some of them.
STAGES = [
    *("lint", "types", "lint-template", "unit", "template", "integration", "coverage-floor"),
    *("pooler", "clients", "gallery"),
    *("e2e", "security", "local-cloud", "conformance", "cases", "faults", "deployment"),
]


def test_every_target_is_listed_in_one_column() -> None:
    listed = output_of("make", "help").splitlines()
    assert {line.split()[1] for line in listed} == set(RECIPES)
    assert len({len(line) - len(line.split(maxsplit=2)[2]) for line in listed}) == 1


@pytest.mark.parametrize("target", RECIPES)
def test_a_command_installs_what_it_calls_before_it_calls_it(target: str) -> None:
    recipe = RECIPES[target]
    called = re.findall(r"(?<!wildcard )\$\((DEV|LOCAL|POLICY|WHEEL)\)/", recipe)
    installed = re.search(r"^\t@\$\(NEED\)(.*)$", recipe, re.MULTILINE)
    assert {part.lower() for part in called} <= set(installed[1].split() if installed else ())


@pytest.mark.parametrize("target", ["dead-letters", "redrive", "listen", "poll"])
def test_an_operators_command_wants_no_tests_and_no_services(target: str) -> None:
    assert "\t@$(NEED) local\n" in RECIPES[target]


@pytest.mark.parametrize("target", RECIPES)
def test_what_runs_no_tests_installs_no_environment_that_it_does_not_call(target: str) -> None:
    recipe = RECIPES[target]
    installed = re.search(r"^\t@\$\(NEED\) (.*)$", recipe, re.MULTILINE)
    # Tests, the bench and scripts start others' programs.
    if installed is None or re.search(r"\$\(PYTEST\)| bench |chaos|\$\(MAKE\)|tests/", recipe):
        return
    called = re.findall(r"\$\((DEV|LOCAL|POLICY|WHEEL)\)/", recipe)
    environments = {"dev", "local", "policy", "wheel"} & set(installed[1].split())
    assert environments <= {part.lower() for part in called}


# The system's own programs, and of its Python the standard library.
BARE = {"PATH": "/usr/bin:/bin", "PYTHONNOUSERSITE": "yes"}


@pytest.fixture
def fresh_clone(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__py*"))
    for name in ("Makefile", "template.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_wiping_the_data_installs_nothing(fresh_clone: Path) -> None:
    (fresh_clone / ".local" / "s3").mkdir(parents=True)
    wiped = output_of("make", "reset", cwd=fresh_clone, env=BARE)
    assert wiped == f"wiped {fresh_clone / '.local'}\n"
    assert not [path for path in (".local", ".venvs", ".cache") if (fresh_clone / path).exists()]


def test_the_gradual_template_is_written_without_installing_anything(fresh_clone: Path) -> None:
    output_of("make", "gradual", cwd=fresh_clone, env=BARE)
    assert (fresh_clone / "template.gradual.yaml").exists()
    assert not [path for path in (".venvs", ".cache") if (fresh_clone / path).exists()]


def test_bytecode_is_no_source_to_check(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("unit", "__pycache__"):
        (tmp_path / "tests" / name).mkdir(parents=True)
    shown = output_of("make", "--dry-run", "types", cwd=tmp_path).split()
    assert "tests/unit" in shown
    assert "tests/__pycache__" not in shown


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """In a folder with a space in its name."""
    folder = tmp_path / "my clone"
    (folder / "infra" / "tools").mkdir(parents=True)
    for name in ("test.sh", "failures_at_once.py"):
        shutil.copy(ROOT / "infra" / "tools" / name, folder / "infra" / "tools")
    return folder


def start_all_stages(project: Path, recipes: Mapping[str, str]) -> subprocess.Popen[str]:
    lines = [f"{stage}:\n\t@{recipes.get(stage, 'true')}\n" for stage in STAGES]
    (project / "Makefile").write_text("".join(lines), encoding="utf-8")
    return subprocess.Popen(
        # Where the tests run in the background, they ignore Ctrl-C, and a shell inherits that.
        ["env", "--default-signal=INT", "bash", str(project / "infra" / "tools" / "test.sh")],
        env={**os.environ, "MAKEFLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


PYTEST = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 '{sys.executable}' -m pytest -q -p no:cacheprovider"


def test_every_stage_runs_and_is_in_the_table(project: Path) -> None:
    (project / "test_both.py").write_text("def test_a(): pass\ndef test_b(): assert not 'b'\n")
    with start_all_stages(
        project,
        {
            "lint": "exit 1",
            "e2e": f"{PYTEST} test_both.py",
            "faults": "echo ERROR it broke; exit 1",
        },
    ) as run:
        output, _ = run.communicate()
    assert run.returncode == 1
    rows = [line.split() for line in output[output.index("stage  ") :].splitlines()]
    table = {row[0]: (*row[1:3], "FAILED" in row) for row in rows if row and row[0] in STAGES}
    assert table == {
        **dict.fromkeys(STAGES, ("-", "-", False)),
        "lint": ("-", "-", True),
        "e2e": ("1", "1", True),
        "faults": ("-", "-", True),
    }
    assert output.endswith("\ntests failed: lint e2e faults\n")


def test_a_failure_beside_the_shown_output_is_told_before_the_end(project: Path) -> None:
    with start_all_stages(
        project,
        {
            "local-cloud": "echo ERROR it broke; exit 1",
            "e2e": "until [ -e go ]; do sleep 0.1; done",
        },
    ) as run:
        assert run.stdout is not None
        told = next(line for line in run.stdout if line.startswith("ERROR"))
        (project / "go").touch()
        run.communicate()
    assert told == "ERROR it broke\n"


@pytest.mark.parametrize(
    ("stage", "source", "failed"),
    [
        ("local-cloud", "def test_it(): assert not 'it'\n", "test_1.py::test_it"),
        ("unit", "import nothing\n", "test_1.py"),
    ],
)
def test_a_test_that_fails_is_told_before_its_stage_ends(
    project: Path, stage: str, source: str, failed: str
) -> None:
    (project / "test_1.py").write_text(source)
    (project / "test_2.py").write_text(
        "import pathlib, time\n"
        "def test_that_takes_long():\n"
        "    while not pathlib.Path('go').exists(): time.sleep(0.1)\n"
    )
    with start_all_stages(
        project, {stage: f"{PYTEST} --continue-on-collection-errors test_1.py test_2.py"}
    ) as run:
        assert run.stdout is not None
        told = next(line for line in run.stdout if line.startswith("== FAILED in"))
        (project / "go").touch()
        run.communicate()
    assert told == f"== FAILED in {stage}: {failed}\n"
    assert run.returncode == 1


def test_ctrl_c_ends_all_lanes(project: Path) -> None:
    waiting = "echo $$$$ >$@.pid; exec sleep infinity"
    firsts = ["lint", "local-cloud", "faults"]
    pid_files = [project / f"{stage}.pid" for stage in firsts]
    with start_all_stages(
        project, {**dict.fromkeys(firsts, waiting), "types": "touch went-on"}
    ) as run:
        eventually(
            lambda: all(path.exists() and path.read_text() for path in pid_files),
            "all lanes run",
            watch=lambda: run.poll() is None or pytest.fail("it ended"),
        )
        run.send_signal(signal.SIGINT)
        run.communicate()
    assert run.returncode == 130
    assert not [path for path in pid_files if is_running(int(path.read_text()))]
    assert not (project / "went-on").exists()
