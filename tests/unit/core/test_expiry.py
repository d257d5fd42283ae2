"""Old rows leave step by step, and what cannot leave holds up nothing."""

from __future__ import annotations

import pytest

from image_api.core.upkeep.expiry import SECONDS_FOR_EACH, STEP_ROWS, forget_old
from image_api.errors import ServiceUnavailable


def enough() -> int:
    return 50_000


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
    forget_old({name: table.forget for name, table in tables.items()}, enough)
    assert [table.rows for table in tables.values()] == [0, 0]
    assert [table.steps for table in tables.values()] == [7, 1]


def test_a_table_has_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(1000))
    monkeypatch.setattr("image_api.core.upkeep.expiry.time.monotonic", lambda: next(clock))
    endless, next_one = Table(10**9), Table(3)
    forget_old({"endless": endless.forget, "next": next_one.forget}, enough)
    assert endless.steps == SECONDS_FOR_EACH + 1
    assert next_one.rows == 0


@pytest.mark.parametrize(
    "fault",
    [ServiceUnavailable("The database cannot answer just now; try again"), KeyError("odd")],
    ids=["away", "odd"],
)
def test_what_cannot_be_forgotten_holds_up_nothing(fault: Exception) -> None:
    def away(_batch_size: int) -> int:
        raise fault

    table = Table(3)
    forget_old({"away": away, "there": table.forget}, enough)
    assert table.rows == 0


def test_when_the_time_is_over_the_rest_is_left_to_the_next_run() -> None:
    table = Table(3)
    forget_old({"there": table.forget}, lambda: 5_000)
    assert table.steps == 0
