"""How long requests take, as a metric: many at a time, since each would be a line of the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from image_api.observability import write_metrics

# Less than a line of metrics can hold, and how old the first of it is at most when another comes.
_MOST = 99
_SECONDS = 30.0


class RequestTimes:
    """Of one execution environment, which answers one request at a time."""

    def __init__(self, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._now_seconds = now_seconds
        self._seconds: list[float] = []
        self._since = now_seconds()

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)
        if len(self._seconds) >= _MOST or self._now_seconds() - self._since >= _SECONDS:
            write_metrics({"RequestTime": self._seconds}, {})
            self._seconds, self._since = [], self._now_seconds()
