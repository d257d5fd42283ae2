"""What ends the process that works on it is given up alone; nobody else pays for it."""

from __future__ import annotations

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.storage_proxy import Fault
from tests.waiting import eventually


def test_a_picture_that_ends_its_process_fails_alone_after_three_attempts(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    system.ways["broker"].cut()
    ids = [user.upload(samples.png()).json()["id"] for _ in range(60)]
    system.ways["broker"].restore()
    killer = ids.pop(10)
    with audit.database() as database:
        ((key,),) = database.run("SELECT original_key FROM images WHERE id = :id", id=killer)
    ends = 0

    def kill(method: str, path: str) -> Fault | None:
        nonlocal ends
        if method == "GET" and path.endswith(key):
            ends += 1
            assert system.kill_consumer()
            return "cut before"
        return None

    system.storage.break_with(kill)
    system.relay()

    def is_given_up() -> bool:
        return bool(user.image(killer).json()["status"] == "failed")

    eventually(is_given_up, "the killer is given up", patience_seconds=300)
    assert user.image(killer).json()["error"] == "3 attempts ended the process that made them"
    assert ends == 3
    audit.settle()
    ready = {image["id"] for image in user.images(owner="me", status="ready", limit=100).json()}
    assert ready == set(ids)
    with audit.database() as database:
        crashed = database.run(
            "SELECT image_id, attempts FROM changes "
            "WHERE image_id = ANY(:ids) AND attempts - failures > 2",
            ids=ids,
        )
    # Nobody who was in work beside it was so more than once.
    assert crashed == []
    assert audit.hear().duplicated == []
    assert audit.missing() == set()
