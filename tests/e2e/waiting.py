"""Waiting for what happens in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_INTERVAL_SECONDS = 0.02

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, *, timeout_seconds: float = 20.0) -> T:
    """What `look` finds, as soon as it is neither None nor False; fails at the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {timeout_seconds:g} s")
        time.sleep(_INTERVAL_SECONDS)
