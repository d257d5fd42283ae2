"""Holding back what happens in the background, to look at what is promised meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pg8000.native import Connection


class Processing:
    """The consumer's work on accepted changes."""

    def __init__(self, database: Connection) -> None:
        self._database = database

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is applied inside: the consumer waits for a table that only it writes to."""
        self._database.run("BEGIN")
        self._database.run("LOCK TABLE renditions IN EXCLUSIVE MODE")
        try:
            yield
        finally:
            self._database.run("ROLLBACK")
