"""The consumer dies at any line: what was accepted is done, once, and nothing is left over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.conftest import SEED
from tests.faults.workload import Workload

CHANGES = 200


def test_a_consumer_killed_at_random_moments_leaves_what_the_model_says(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    random, finished, kills = Random(SEED), threading.Event(), 0

    def kill_now_and_then() -> int:
        count = 0
        # Long enough for a new environment to start and to be in the midst of something.
        while not finished.wait(random.uniform(0.2, 1.5)):
            count += system.kill_consumer()
        return count

    with ThreadPoolExecutor(1) as threads:
        killing = threads.submit(kill_now_and_then)
        try:
            workload.run(lambda count: count >= CHANGES)
        finally:
            finished.set()
        kills = killing.result()

    assert kills >= 3
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
