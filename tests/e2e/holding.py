"""Holding back what happens in the background, to look at what is promised meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pg8000.native import Connection


class Processing:
    """The consumer's work on accepted changes."""

    def __init__(self, database: Connection) -> None:
        self._database = database

    def waiting_requests(self) -> int:
        """How many requests wait for an image now."""
        ((number,),) = self._database.run(
            "SELECT count(*) FROM waiting_requests WHERE leased_until > clock_timestamp()"
        )
        return int(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is applied inside: the consumer waits for a table that only it writes to."""
        self._database.run("BEGIN")
        self._database.run("LOCK TABLE renditions IN EXCLUSIVE MODE")
        try:
            yield
        finally:
            self._database.run("ROLLBACK")
