"""The consumer dies at any line: what was accepted is done, once, and nothing is left over."""

from __future__ import annotations

from random import Random

from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.conftest import SEED
from tests.faults.injecting import Repeatedly
from tests.faults.workload import Workload
from tests.waiting import eventually

CHANGES = 200


def test_a_consumer_killed_at_random_moments_leaves_what_the_model_says(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    def kill() -> int:
        # What ends its process a third time is given up, as it is meant to be.
        with audit.database() as database:
            is_last = database.run(
                "SELECT FROM changes WHERE settled_at IS NULL AND attempts - failures >= 2"
            )
        return 0 if is_last else int(system.kill_consumer())

    # Time enough in between for a new environment to start and to be in the midst of something.
    with Repeatedly(kill, Random(SEED), (0.2, 1.2)) as killing:
        workload.run(lambda count: count >= CHANGES and killing.count >= 3)
        # It dies also while it works off what has piled up.
        eventually(lambda: killing.count >= 8, "the consumer was killed often enough")

    assert workload.unexpected == []
    assert workload.answers.keys() == {200}
    audit.settle()
    assert workload.differences() == []
    outcomes = audit.hear()
    assert outcomes.duplicated == []
    for image in workload.images:
        assert len(outcomes.of_image(image.image_id)) == image.accepted
    assert audit.stuck() == []
    assert audit.missing() == set()
    audit.sweep()
    assert audit.orphans() == set()
    assert audit.missing() == set()
    assert workload.differences() == []
