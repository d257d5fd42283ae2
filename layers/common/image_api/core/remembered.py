"""What is the same for a while, so that it is made once: signatures of URLs and links."""

from __future__ import annotations

from collections.abc import Callable, Hashable

_MOST = 10_000


class Remembered:
    """Strings by what they are made of. Nothing outlives its window of time, and whoever asks for
    ever other ones makes no more be kept than `_MOST`.
    """

    def __init__(self) -> None:
        self._window = -1
        self._made: dict[Hashable, str] = {}

    def __len__(self) -> int:
        return len(self._made)

    def get(self, window: int, key: Hashable, make: Callable[[], str]) -> str:
        if window != self._window or len(self._made) >= _MOST:
            self._window, self._made = window, {}
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = make()
        return found
