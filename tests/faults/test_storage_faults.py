"""The storage fails, is slow, or hangs up half way: 200 or 503, and never half of an image."""

from __future__ import annotations

from random import Random

from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.conftest import SEED
from tests.faults.injecting import failing_storage
from tests.faults.storage_proxy import FAULTS
from tests.faults.workload import Workload


def test_a_storage_that_fails_in_every_way_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    system.storage.break_with(failing_storage(Random(SEED)))
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
