"""What is the same for a while, so that it is made or found out once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_MOST = 10_000


class WindowedCache(Generic[Value]):
    """Values by what they are made of. Nothing outlives its window of time, and whoever asks for
    ever other ones makes no more be kept than `_MOST`.
    """

    def __init__(self) -> None:
        self._window = -1
        self._made: dict[Hashable, Value] = {}

    def __len__(self) -> int:
        return len(self._made)

    def get(self, window: int, key: Hashable, make: Callable[[], Value]) -> Value:
        found = self.find(window, key)
        return self.keep(window, key, make()) if found is None else found

    def find(self, window: int, key: Hashable) -> Value | None:
        return self._made.get(key) if window == self._window else None

    def keep(self, window: int, key: Hashable, value: Value) -> Value:
        if window != self._window or len(self._made) >= _MOST:
            self._window, self._made = window, {}
        self._made[key] = value
        return value
