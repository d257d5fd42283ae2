"""The consumer dies at any line: what was accepted is done, once, and nothing is left over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.conftest import SEED
from tests.faults.injecting import kill_consumers
from tests.faults.workload import Workload

CHANGES = 200


def test_a_consumer_killed_at_random_moments_leaves_what_the_model_says(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    finished = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        killing = threads.submit(kill_consumers, system, Random(SEED), finished)
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
