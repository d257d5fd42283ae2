"""Environments that Lambda makes of a snapshot (SnapStart): what all of them would share otherwise.

A function does what it does at its start once, when its version is published, and the copies go on
from there, days later and side by side. What holds a secret, credentials or a connection says here
how to take it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType

from image_api import settings

_SEED_BYTES = 32


def after_restore(renew: Callable[[], object]) -> None:
    """Calls it in each copy, before the first request; where no snapshot is taken, never.

    In the order in which they were named; what one raises ends the copy, as at a start.
    """
    if settings.is_kept_as_a_snapshot():
        _prepare()
        _hooks().register_after_restore(renew)


@cache
def _prepare() -> None:
    """Before all others."""
    # A connection would be one for all copies, and dead in each; what was read is read again.
    _hooks().register_before_snapshot(settings.forget_secrets)
    _hooks().register_after_restore(_take_other_numbers)


def _take_other_numbers() -> None:
    """What the operating system draws differs anyway; these two go on from where they were."""
    # Imported here: every function loads this module, and few of them are copied.
    import os
    import random
    import ssl

    random.seed(os.urandom(_SEED_BYTES))
    ssl.RAND_add(os.urandom(_SEED_BYTES), _SEED_BYTES)


@cache
def _hooks() -> ModuleType:
    # Part of Lambda's runtimes from Python 3.12 on, which alone take snapshots.
    return import_module("snapshot_restore_py")
