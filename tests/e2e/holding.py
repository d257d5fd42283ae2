"""Holding back what happens in the background, to look at what is promised meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pg8000.native import Connection

from tests.e2e.running_cloud import RunningCloud


class Processing:
    """The consumer's work on accepted changes."""

    def __init__(self, cloud: RunningCloud, database: Connection) -> None:
        self._cloud = cloud
        self._database = database

    def waiting_requests(self) -> int:
        """How many requests wait for an image now."""
        ((number,),) = self._database.run(
            "SELECT count(*) FROM waiting_requests WHERE leased_until > now()"
        )
        return int(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is applied inside: the consumer stands still."""
        with self._cloud.held_back("consumer"):
            yield
