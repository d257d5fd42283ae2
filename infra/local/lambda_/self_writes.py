"""Tells what a function writes into its own folder from what its developer does.

On AWS the folder is read-only. Here a function that writes there would be loaded anew for each of
its own files, and for ever where it writes while it is loaded.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

# So many in a row, within so long, are no developer's.
_ENOUGH = 5
_WITHIN_SECONDS = 60.0
_KEPT_PERIODS = 256
# The clock of file systems ticks more slowly.
_TICK_SECONDS = 0.01


class BusyTimes:
    """When a function ran or was being loaded, by the clock of files."""

    def __init__(self) -> None:
        self._depth = 0
        self._since = 0.0
        self._periods: deque[tuple[float, float]] = deque(maxlen=_KEPT_PERIODS)

    def begin(self) -> None:
        if not self._depth:
            self._since = time.time()
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._periods.append((self._since, time.time()))

    def include(self, seconds: float) -> bool:
        """Whether the function could have done what was done at this time."""
        if self._depth and seconds >= self._since - _TICK_SECONDS:
            return True
        return any(
            begin - _TICK_SECONDS <= seconds <= end + _TICK_SECONDS for begin, end in self._periods
        )


class SelfWrites:
    """For one function. `say` is told, once, in words."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._times: dict[tuple[Path, str], list[float]] = {}
        self._contents: dict[Path, bytes] = {}
        self._ignored: set[tuple[Path, str]] = set()

    def are_all(self, paths: list[Path], busy: BusyTimes) -> bool:
        """Whether none of these changes is to be heeded."""
        suspected = [path for path in paths if self._may_be_own(path, busy)]
        if len(suspected) < len(paths):
            # Somebody works on it.
            self._times.clear()
            self._ignored.clear()
            return False
        kinds = {(path.parent, path.suffix) for path in paths}
        for kind in kinds - self._ignored:
            self._count(kind)
        return kinds <= self._ignored

    def _count(self, kind: tuple[Path, str]) -> None:
        now = time.monotonic()
        recent = [at for at in self._times.get(kind, []) if now - at < _WITHIN_SECONDS]
        self._times[kind] = [*recent, now]
        if len(recent) + 1 >= _ENOUGH:
            self._ignored.add(kind)
            self._say(
                f"writes into its own folder ({kind[0]}), which is read-only on AWS: "
                "such files are not looked at any more until its code is edited"
            )

    def _may_be_own(self, path: Path, busy: BusyTimes) -> bool:
        try:
            written_at = path.lstat().st_mtime
            content = path.read_bytes() if path.suffix == ".py" else b""
        except OSError:
            # Removed, or a folder that was.
            return path.suffix != ".py" and busy.include(time.time())
        is_same = self._contents.get(path) == content
        self._contents[path] = content
        return busy.include(written_at) and (path.suffix != ".py" or is_same)
