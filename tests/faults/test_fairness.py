"""However much one account has waiting, nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from image_api.core.change_log.changes import LEASE_SECONDS
from image_api.core.consumer import settling
from tests import samples
from tests.e2e.api_client import ApiClient
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud

# More than are settled while one upload comes in, on the fastest machine.
WAITING = 10_000
# Those in work, those that are begun while the upload's own transaction ends, and what the batch in
# which it came applies in steps, a fifth of a second's work.
PASSED_AT_MOST = 20 + settling._PLAIN_STEP * settling._PLAIN_STEPS

_IMAGES = """
INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, size_bytes,
                    width, height, applied_sequence, accepted_sequence, rendered_at)
SELECT :user_id, 't', 'shared', 'storage/waiting/' || n, 'k', 'image/png', 1, 1, 1, 1, 2, now()
FROM generate_series(1, :count) AS n
"""
# The upload of each was told long ago.
_CHANGES = """
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     accepted_at, due_at, published_at, settled_at, outcome, outcome_published_at)
SELECT gen_random_uuid(), i.user_id, i.id, c.sequence, c.type, '{"changes": {"title": "new"}}',
       c.correlation_id, now() - interval '1 minute', now(), c.told_at, c.told_at, c.outcome,
       c.told_at
FROM images AS i,
     (VALUES (1, 'image.upload.requested', 'told', now(), 'applied'),
             (2, 'image.update.requested', 'waiting', NULL, NULL))
     AS c (sequence, type, correlation_id, told_at, outcome)
WHERE i.original_key LIKE 'storage/waiting/%' ORDER BY i.id, c.sequence
"""

# What the account had waiting when the upload was begun, and what of it was settled since that was
# accepted: `due_at` is the end of the lease.
_PASSED = """
SELECT count(*) FILTER (WHERE c.settled_at IS NULL OR c.settled_at > u.begun_at),
       count(*) FILTER (WHERE c.settled_at BETWEEN u.accepted_at AND u.begun_at)
FROM changes AS c,
     (SELECT b.accepted_at, b.due_at - make_interval(secs => :lease_seconds) AS begun_at
      FROM changes AS b WHERE b.image_id = :image_id) AS u
WHERE c.correlation_id = 'waiting'
"""


@pytest.fixture
def others(system: BreakableCloud, audit: Audit, user: ApiClient) -> Iterator[ApiClient]:
    """Somebody else, while `user` has thousands of accepted changes that wait."""
    user_id = user.uploaded(samples.gif())["user_id"]
    connection = system.database()
    connection.run(_IMAGES, user_id=user_id, count=WAITING)
    connection.run(_CHANGES)
    connection.close()
    with ApiClient(system.cloud.api_url) as client:
        client.token = client.register().json()["access_token"]
        yield client
    # What came of them is told while there are images to tell it of, or nobody would ever be quiet.
    audit.settle()
    # A message whose change is gone would be a dead letter, which other tests count.
    audit.empty_queue()
    connection = system.database()
    connection.run("DELETE FROM images WHERE original_key LIKE 'storage/waiting/%'")
    connection.run("DELETE FROM changes WHERE correlation_id IN ('told', 'waiting')")
    connection.close()


def test_an_upload_behind_thousands_of_changes_of_another_account_has_its_turn_at_once(
    system: BreakableCloud, audit: Audit, others: ApiClient
) -> None:
    system.relay()
    image_id = others.uploaded(samples.gif())["id"]
    with audit.database() as database:
        ((waiting, passed),) = database.run(_PASSED, image_id=image_id, lease_seconds=LEASE_SECONDS)
    # It is no question of time: there was much left to do when it was begun.
    assert waiting > WAITING / 2
    assert passed <= PASSED_AT_MOST


def test_of_many_sizes_that_wait_only_the_last_is_rendered(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    image_id = user.uploaded(samples.png())["id"]
    # Until it has ended the batch of the upload would begin the first sizes as well.
    audit.settle()
    system.ways["broker"].cut()
    for number in range(30):
        answer = user.update(image_id, resolution=f"{100 + number}x100", title=f"{number}")
        assert answer.status_code == 200
    with audit.database() as database:
        ((original,),) = database.run("SELECT original_key FROM images WHERE id = :i", i=image_id)
    reads: list[str] = []

    def look(method: str, path: str) -> None:
        if method == "GET" and original in path:
            reads.append(path)

    # Before anything is told: the clock's relay may come first.
    system.storage.break_with(look)
    system.ways["broker"].restore()
    system.relay()
    audit.settle()

    image = user.image(image_id).json()
    assert (image["resolution"], image["title"], image["status"]) == ("129x100", "29", "ready")
    assert len(reads) == 1
