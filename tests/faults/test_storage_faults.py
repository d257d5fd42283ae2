"""The storage fails, is slow, or hangs up half way: 200 or 503, and never half of an image."""

from __future__ import annotations

from random import Random

from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.conftest import SEED
from tests.faults.storage_proxy import FAULTS, Fault
from tests.faults.workload import Workload

_MAX_SILENCES = 4


def test_a_storage_that_fails_in_every_way_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    random, silences = Random(SEED), 0

    def choose(_method: str, _path: str) -> Fault | None:
        nonlocal silences
        fault = random.choice(FAULTS) if random.random() < 0.6 else None
        if fault == "silence":
            # Each costs its client a time-out: enough to be met, few enough to be waited for.
            silences += 1
            return fault if silences <= _MAX_SILENCES else "500"
        return fault

    system.storage.break_with(choose)
    workload.run(
        lambda count: count >= 60 and all(system.storage.injected[fault] for fault in FAULTS)
    )
    system.storage.heal()

    assert workload.unexpected == []
    assert workload.answers.keys() == {200, 503}
    audit.settle()
    assert workload.differences() == []
    assert audit.hear().duplicated == []
    # Not even of uploads that were refused, or whose answer was lost on the way.
    assert audit.stuck() == []
    assert audit.missing() == set()
    audit.sweep()
    assert audit.orphans() == set()
    assert workload.differences() == []
