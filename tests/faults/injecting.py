"""Faults that come at random moments, the same ones for the same seed."""

from __future__ import annotations

import threading
from random import Random

from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.storage_proxy import FAULTS, Choice, Fault


def kill_consumers(system: BreakableCloud, random: Random, finished: threading.Event) -> int:
    """Until `finished` is set; how many were killed."""
    killed = 0
    # Long enough for a new environment to start and to be in the midst of something.
    while not finished.wait(random.uniform(0.2, 1.5)):
        killed += system.kill_consumer()
    return killed


def hang_up_on_brokers_clients(
    system: BreakableCloud, random: Random, finished: threading.Event
) -> int:
    """Until `finished` is set; how often."""
    count = 0
    while not finished.wait(random.uniform(0.1, 0.8)):
        system.ways["broker"].drop()
        count += 1
    return count


def failing_storage(random: Random, *, share: float = 0.6, max_silences: int = 4) -> Choice:
    """A choice for StorageProxy: this share of the requests meets one of all faults.

    Each silence costs its client a time-out: enough to be met, few enough to be waited for.
    """
    silences = 0

    def choose(_method: str, _path: str) -> Fault | None:
        nonlocal silences
        fault = random.choice(FAULTS) if random.random() < share else None
        if fault == "silence":
            silences += 1
            return fault if silences <= max_silences else "500"
        return fault

    return choose
