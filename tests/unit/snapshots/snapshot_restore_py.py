"""What Lambda's runtimes have of this name from Python 3.12 on, as far as it is called."""

from __future__ import annotations

from collections.abc import Callable

before: list[Callable[[], object]] = []
after: list[Callable[[], object]] = []


def register_before_snapshot(function: Callable[[], object]) -> None:
    # The runtime calls the last first.
    before.insert(0, function)


def register_after_restore(function: Callable[[], object]) -> None:
    after.append(function)
