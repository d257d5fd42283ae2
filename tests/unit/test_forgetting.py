"""Old rows leave step by step, and what cannot leave holds up nothing."""

from __future__ import annotations

import pytest

from image_api.core.forgetting import SECONDS_FOR_EACH, STEP_ROWS, forget_old
from image_api.errors import ServiceUnavailable


class Table:
    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.steps = 0

    def forget(self, batch_size: int) -> int:
        self.steps += 1
        forgotten = min(self.rows, batch_size)
        self.rows -= forgotten
        return forgotten


def test_steps_go_on_until_nothing_old_is_left() -> None:
    tables = {"a": Table(5 * STEP_ROWS + 1), "b": Table(0)}
    forget_old({name: table.forget for name, table in tables.items()})
    assert [table.rows for table in tables.values()] == [0, 0]
    assert [table.steps for table in tables.values()] == [7, 1]


def test_a_table_has_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(1000))
    monkeypatch.setattr("image_api.core.forgetting.time.monotonic", lambda: next(clock))
    endless, next_one = Table(10**9), Table(3)
    forget_old({"endless": endless.forget, "next": next_one.forget})
    assert endless.steps == SECONDS_FOR_EACH + 1
    assert next_one.rows == 0


def test_what_cannot_be_forgotten_holds_up_nothing() -> None:
    def away(_batch_size: int) -> int:
        raise ServiceUnavailable("The database cannot answer just now; try again")

    table = Table(3)
    forget_old({"away": away, "there": table.forget})
    assert table.rows == 0
