"""Waiting for what happens elsewhere: however busy the machine is, and not when it hangs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

# How long something may take on a machine that does nothing else. What is waited for needs a few
# seconds there: a wait that ends by this has waited for what does not come. Above it there is only
# the time-out of a whole test, in the Makefile.
PATIENCE_SECONDS = 120.0

_INTERVAL_SECONDS = 0.02
# What lies between two looks counts for no more: nobody looked.
_LONGEST_STEP_SECONDS = 1.0

T = TypeVar("T")


def eventually(
    look: Callable[[], T | None],
    what: str,
    *,
    watch: Callable[[], object] = lambda: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> T:
    """What `look` finds, as soon as it is true.

    `watch` fails when nobody is left who could bring it about, such as a process that ended.
    """
    wait = _Wait(what, patience_seconds)
    while True:
        watch()
        if found := look():
            return found
        wait.go_on()
        time.sleep(_INTERVAL_SECONDS)


async def until(
    look: Callable[[], T | None],
    what: str = "what was waited for",
    *,
    watch: Callable[[], object] = lambda: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> T:
    """The same while the event loop goes on."""
    wait = _Wait(what, patience_seconds)
    while True:
        watch()
        if found := look():
            return found
        wait.go_on()
        await asyncio.sleep(_INTERVAL_SECONDS)


class _Wait:
    """Counts the seconds that an idle machine would have had to do it in.

    Where ten processes want each core, ten seconds count as one.
    """

    def __init__(self, what: str, patience_seconds: float) -> None:
        self._what = what
        self._patience_seconds = patience_seconds
        self._waited_seconds = 0.0
        self._looked_at = time.monotonic()

    def go_on(self) -> None:
        """Fails when it has taken too long."""
        now = time.monotonic()
        passed_seconds = min(now - self._looked_at, _LONGEST_STEP_SECONDS)
        self._looked_at = now
        self._waited_seconds += passed_seconds / _processes_per_core()
        assert self._waited_seconds < self._patience_seconds, (
            f"{self._what}: not within {self._patience_seconds:g} s"
        )


def _processes_per_core() -> float:
    """How many want to run, now or in the last minute; at least 1."""
    average, _, _, entities, _ = Path("/proc/loadavg").read_text(encoding="ascii").split()
    wanted = max(float(average), int(entities.partition("/")[0]))
    return max(1.0, wanted / _usable_cores())


def _usable_cores(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """As many as this process may run on, and no more than a container's quota is worth."""
    cores = float(len(os.sched_getaffinity(0)))
    for quota, period in _quotas(groups):
        # "max" and -1 stand for none.
        if quota.isdigit():
            cores = min(cores, int(quota) / int(period))
    return cores


def _quotas(groups: Path) -> Iterator[tuple[str, str]]:
    """Microseconds of each period, of the second version of control groups and of the first."""
    with suppress(FileNotFoundError):
        quota, period = (groups / "cpu.max").read_text(encoding="ascii").split()
        yield quota, period
    with suppress(FileNotFoundError):
        quota, period = (
            (groups / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
            for name in ("quota", "period")
        )
        yield quota, period
