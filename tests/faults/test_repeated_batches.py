"""The same batch again and again, in any order: one effect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.faults import batches
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.conftest import SEED
from tests.faults.workload import Workload
from tests.waiting import eventually


def test_a_batch_delivered_three_times_in_any_order_has_one_effect(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    # Without the broker nobody has applied the accepted changes yet.
    system.ways["broker"].cut()
    workload.run(lambda count: count >= 40)
    with audit.held_back() as accepted:
        records = [batches.record(event) for event in accepted]
    system.ways["broker"].restore()
    assert len(records) == workload.accepted >= 40
    random = Random(SEED)

    def deliver(order: list[int]) -> dict[str, int]:
        """As Lambda does: a batch that fails comes again."""
        event = batches.batch(system.queue, [records[index] for index in order])

        def invoke() -> dict[str, int] | None:
            counts: dict[str, int] = system.cloud.invoke("consumer", event)
            return None if "errorMessage" in counts else counts

        return eventually(invoke, "the batch is taken")

    orders = [random.sample(range(len(records)), len(records)) for _ in range(3)]
    # Two of them at once, which even Lambda does not do, and one more behind them.
    with ThreadPoolExecutor(2) as threads:
        counted = [*threads.map(deliver, orders[:2]), deliver(orders[2])]

    # And once more: the relay publishes what was never published.
    audit.settle()
    settled = [sum(counts.get(how, 0) for how in ("applied", "failed")) for counts in counted]
    # A message whose change was in work went round through a delay queue.
    assert 0 < sum(settled) <= len(records)
    assert sum(counts.get("duplicate", 0) for counts in counted) > 0
    assert workload.differences() == []
    outcomes = audit.hear()
    assert outcomes.duplicated == []
    assert len(outcomes.of_changes) == len(records)
    assert audit.missing() == set()
