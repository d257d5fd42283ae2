"""Faults that come at random moments, the same ones for the same seed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Self

from tests.faults.storage_proxy import FAULTS, Choice, Fault


class Repeatedly:
    """Causes a fault again and again while it is open, after pauses between two lengths."""

    def __init__(
        self, cause: Callable[[], int | None], random: Random, pauses_seconds: tuple[float, float]
    ) -> None:
        """`cause` returns how often it broke something, or None for once."""
        self._cause = cause
        self._random = random
        self._pauses_seconds = pauses_seconds
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._problem: Exception | None = None
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            while not self._finished.wait(self._random.uniform(*self._pauses_seconds)):
                count = self._cause()
                self.count += 1 if count is None else count
        except Exception as problem:
            # Raised where the faults are ended, by the thread that waits for it.
            self._problem = problem


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
