"""The tests' own waiting, and their looks at processes of others."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests import processes, waiting
from tests.waiting import eventually


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only sleeping lets pass."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return now


@pytest.mark.parametrize("processes_per_core", [1.0, 10.0])
def test_a_wait_ends_later_the_more_processes_want_the_machine(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, processes_per_core: float
) -> None:
    monkeypatch.setattr(waiting, "_processes_per_core", lambda: processes_per_core)
    with pytest.raises(AssertionError, match="it comes: not within 5 s"):
        eventually(lambda: None, "it comes", patience_seconds=5)
    assert clock[0] == pytest.approx(5 * processes_per_core, rel=0.05)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
    ],
)
def test_only_the_cores_that_the_tests_may_use_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: float
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    assert waiting._usable_cores(tmp_path) == cores


def test_a_wait_for_what_nobody_can_bring_about_any_more_ends_at_once(clock: list[float]) -> None:
    def watch() -> None:
        assert clock[0] < 1, "it has ended"

    with pytest.raises(AssertionError, match="it has ended"):
        eventually(lambda: None, "it comes", watch=watch)
    assert clock[0] == pytest.approx(1, rel=0.05)


def test_a_process_that_ended_does_not_run_even_before_it_is_collected() -> None:
    with subprocess.Popen(["sleep", "infinity"]) as process:
        assert processes.is_running(process.pid)
        process.kill()
        eventually(lambda: not processes.is_running(process.pid), "it has ended")
        assert processes.descendants(process.pid) == set()
    assert processes.read(process.pid, "stat") is None
