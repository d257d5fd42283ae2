"""How long the request under way may still take: what is accepted has to be answered in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeLeft:
    """Of one execution environment, which answers one request at a time."""

    def __init__(self) -> None:
        self._remaining_milliseconds: Callable[[], int] | None = None

    @contextmanager
    def during(self, remaining_milliseconds: Callable[[], int]) -> Iterator[None]:
        """A request, which ends at the latest when nothing remains."""
        self._remaining_milliseconds = remaining_milliseconds
        try:
            yield
        finally:
            self._remaining_milliseconds = None

    def is_enough_for(self, seconds: float) -> bool:
        """Also where no request is under way: then nobody waits for an answer."""
        remaining = self._remaining_milliseconds
        return remaining is None or remaining() >= seconds * 1000


time_left = TimeLeft()
