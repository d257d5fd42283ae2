"""Postgres restarts under load: what was accepted is there, everything else was told to return."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.workload import Workload
from tests.waiting import eventually


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_restart_of_the_database_under_load_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, workload: Workload, end: str
) -> None:
    restarted_at = 0

    def is_enough(count: int) -> bool:
        # A good while before, during and after.
        return bool(restarted_at) and count >= restarted_at + 60

    with ThreadPoolExecutor(1) as threads:
        load = threads.submit(workload.run, is_enough)
        eventually(lambda: workload.asked >= 30, "the load is on")
        if end == "stop":
            system.stop("database")
        else:
            system.crash("database")
        eventually(lambda: workload.answers[503] >= 3 or load.done(), "the database is missed")
        system.start("database")
        eventually(_answers(workload), "the cloud works again")
        restarted_at = workload.asked
        load.result()

    # Every answer that was no 200 is a 503 that says when to come back.
    assert workload.unexpected == []
    assert workload.answers.keys() == {200, 503}
    audit.settle()
    assert workload.differences() == []
    assert audit.hear().duplicated == []
    assert audit.stuck() == []
    assert audit.missing() == set()


def _answers(workload: Workload) -> Callable[[], bool]:
    before = workload.accepted
    return lambda: workload.accepted >= before + 5
