"""Postgres restarts under load: what was accepted is there, everything else was told to return."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.faults import batches
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


def test_a_row_that_somebody_locks_holds_up_its_own_image_and_no_other(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    locked, free = (user.uploaded(samples.gif())["id"] for _ in range(2))

    def rename(number: int) -> int:
        return user.update(locked, title=f"title {number}").status_code

    with audit.database() as database, ThreadPoolExecutor(2) as threads:
        database.run("BEGIN")
        database.run("SELECT FROM images WHERE id = :id FOR UPDATE", id=locked)
        refused = [threads.submit(rename, number) for number in range(2)]
        eventually(lambda: _waiting_for_locks(audit) >= 1, "somebody waits for the row")
        # Meanwhile everything else is accepted and processed, for the same user as well.
        assert user.updated(free, title="meanwhile")["title"] == "meanwhile"
        assert user.uploaded(samples.gif())["status"] == "ready"
        answers = [each.result() for each in refused]
        # What was answered is over, and does not happen once the row is free.
        eventually(lambda: _waiting_for_locks(audit) == 0, "nobody waits any more")
        database.run("ROLLBACK")
    assert answers == [503, 503]
    assert user.update(locked, title="after").status_code == 200
    audit.settle()
    assert user.image(locked).json()["title"] == "after"
    with audit.database() as database:
        accepted = batches.logged_events(database, locked)
    assert [event.data.get("changes") for event in accepted] == [None, {"title": "after"}]
    assert audit.hear().duplicated == []
    assert audit.stuck() == []


def test_a_row_that_is_locked_while_its_change_is_settled_delays_only_that(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    locked, free = (user.uploaded(samples.gif())["id"] for _ in range(2))
    # Until it has ended the batch of the uploads would take the change before its row is locked.
    audit.settle()
    system.ways["broker"].cut()
    assert user.update(locked, title="new").status_code == 200
    with audit.database() as database:
        database.run("BEGIN")
        database.run("SELECT FROM images WHERE id = :id FOR UPDATE", id=locked)
        system.ways["broker"].restore()
        system.relay()
        assert user.updated(free, title="meanwhile")["title"] == "meanwhile"
        assert user.image(locked).json()["status"] == "processing"
        database.run("ROLLBACK")
    audit.make_overdue()
    audit.settle()
    assert user.image(locked).json()["title"] == "new"
    assert audit.hear().duplicated == []


def test_what_is_given_up_while_its_row_is_locked_has_one_dead_letter(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    """However often its batch comes again before the verdict can be written."""
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    system.ways["broker"].cut()
    image_id = user.upload(damaged).json()["id"]
    with audit.database() as database, audit.database() as beside:
        database.run("BEGIN")
        database.run("SELECT FROM images WHERE id = :id FOR UPDATE", id=image_id)
        system.ways["broker"].restore()
        system.relay()

        def attempts() -> int:
            # One that could not be written is taken for a crash, and has its pause.
            ((number,),) = beside.run(
                "UPDATE changes SET due_at = least(due_at, CASE WHEN begun_for IS NULL "
                "THEN now() ELSE due_at END) WHERE image_id = :id RETURNING attempts",
                id=image_id,
            )
            return int(number)

        eventually(lambda: attempts() >= 4, "the batch has come again and again")
        assert audit.letters_of(image_id) == 0
        database.run("ROLLBACK")
    audit.make_overdue()
    audit.settle()
    image = user.image(image_id).json()
    assert image["status"] == "failed" and "damaged" in image["error"]
    eventually(lambda: audit.letters_of(image_id), "its letter is there")
    system.relay()
    assert audit.letters_of(image_id) == 1
    assert audit.hear().duplicated == []


def _waiting_for_locks(audit: Audit) -> int:
    with audit.database() as database:
        ((count,),) = database.run(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
    return int(count)
