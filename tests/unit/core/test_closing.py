"""What is left of deleted accounts leaves in steps, a little in each run."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from image_api.core.accounts import closing
from image_api.errors import ServiceUnavailable


@dataclass
class Accounts:
    """How many images and rows each has left, in the order in which they are looked at."""

    left: dict[int, list[int]]
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    looked_at: set[int] = field(default_factory=set)
    down_after: int = 1_000_000

    def now(self) -> str:
        return "now"

    def next_closed(self, run_started_at: str) -> int | None:
        waiting = [user_id for user_id in self.left if user_id not in self.looked_at]
        self.looked_at.update(waiting[:1])
        return waiting[0] if waiting else None

    def remove_images(self, user_id: int, batch_size: int) -> int:
        return self._step("images", user_id, 0, batch_size)

    def forget(self, user_id: int, batch_size: int) -> int:
        return self._step("rows", user_id, 1, batch_size)

    def finish(self, user_id: int) -> bool:
        return self.left[user_id] == [0, 0]

    def _step(self, what: str, user_id: int, number: int, batch_size: int) -> int:
        if len(self.steps) >= self.down_after:
            raise ServiceUnavailable("The database did not answer")
        done = min(batch_size, self.left[user_id][number])
        self.left[user_id][number] -= done
        self.steps.append((what, user_id, done))
        return done


def test_everything_goes_step_by_step() -> None:
    accounts = Accounts({7: [500, 600], 8: [0, 3]})
    closing.remove_closed(accounts)
    assert accounts.left == {7: [0, 0], 8: [0, 0]}
    assert [done for _, user_id, done in accounts.steps if user_id == 7] == [
        *(200, 200, 100, 0),
        *(500, 100, 0),
    ]


def test_a_run_ends_in_time_and_has_looked_at_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "SECONDS_FOR_ALL", 0.0)
    accounts = Accounts({7: [10_000, 0], 8: [10_000, 0]})
    moments = iter([0.0, -1.0, *[1.0] * 20])
    monkeypatch.setattr("image_api.core.accounts.closing.time.monotonic", lambda: next(moments))
    closing.remove_closed(accounts)
    assert accounts.left == {7: [9_800, 0], 8: [10_000, 0]}


def test_a_database_that_is_away_holds_up_nothing_else() -> None:
    accounts = Accounts({7: [1_000, 0]}, down_after=2)
    closing.remove_closed(accounts)
    assert accounts.left == {7: [600, 0]}
