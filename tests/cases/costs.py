"""What the functions of a local cloud cost: processor time, and memory at its peak."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running_cloud import RunningCloud
from tests.processes import descendants, read

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"


@dataclass
class Cost:
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def cost_of(cloud: RunningCloud) -> Iterator[Cost]:
    """Filled in at the end with what all execution environments took together.

    Of processes that ended meanwhile the processor time counts, as their parents collect it.
    """
    cost = Cost()
    before = _cpu_seconds(cloud)
    for pid in _processes(cloud):
        with suppress(FileNotFoundError, ProcessLookupError):
            Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    yield cost
    after = _cpu_seconds(cloud)
    cost.cpu_seconds = sum(after.values()) - sum(before.get(pid, 0.0) for pid in after)
    cost.peak_mb = max(map(_peak_mb, _processes(cloud)), default=0.0)


def _processes(cloud: RunningCloud) -> set[int]:
    found = set(cloud.environment_pids)
    for pid in cloud.environment_pids:
        found |= descendants(pid)
    return found


def _cpu_seconds(cloud: RunningCloud) -> dict[int, float]:
    seconds = {}
    for pid in _processes(cloud):
        if stat := read(pid, "stat"):
            # utime, stime, and both of the children that it waited for.
            fields = stat.rpartition(b")")[2].split()[11:15]
            seconds[pid] = sum(map(int, fields)) / _TICKS_PER_SECOND
    return seconds


def _peak_mb(pid: int) -> float:
    for line in (read(pid, "status") or b"").splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0.0
