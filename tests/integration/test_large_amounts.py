"""What is rare and large: an account of 100,000 images leaves, and the old rows of a busy hour."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.accounts import closing
from image_api.core.upkeep import expiry
from image_api.postgres.changes import PostgresRelayRecords
from image_api.postgres.closed_accounts import PostgresClosedAccounts
from image_api.postgres.database import Database
from tests.integration.real_services import RealServices
from tests.integration.test_plans import fill_fast, run_each, schema

IMAGES = 100_000
# More than `forgetting` needs in a minute to keep up with a hundred changes a second.
A_MINUTES_CHANGES = 6_000
USER = 1

_AN_ACCOUNT = f"""
INSERT INTO users (username, username_key, password_hash, token_generation)
VALUES ('deleted', 'deleted', '', -1);
INSERT INTO closed_accounts (user_id, correlation_id) VALUES ({USER}, 'r');
INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, size_bytes,
                    width, height, status, applied_sequence, rendered_at)
SELECT {USER}, 'Photo ' || n, 'shared', 'storage/' || n, 'storage/' || n, 'image/png', 1, 1, 1,
       'ready', 1, now()
FROM generate_series(1, {IMAGES}) AS n;
INSERT INTO searchable_titles SELECT id, user_id, visibility, lower(title) FROM images;
INSERT INTO listed_images SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l;
INSERT INTO image_totals VALUES ({USER}, 'shared', 'ready', 0, {IMAGES});
INSERT INTO image_totals SELECT 0, 'shared', 'ready', n, {IMAGES // 16}
FROM generate_series(0, 15) AS n;
INSERT INTO account_usage (user_id, images, bytes) VALUES ({USER}, {IMAGES}, {IMAGES});
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     accepted_at, published_at, settled_at, outcome, attempts, outcome_id,
                     outcome_type, outcome_data, outcome_published_at)
SELECT gen_random_uuid(), {USER}, i.id, 1, 'image.upload.requested', '{{}}', 'r', m.at, m.at, m.at,
       'applied', 1, gen_random_uuid(), 'image.upload.completed', '{{}}', m.at
FROM images AS i, LATERAL (SELECT now() - interval '100 days') AS m (at);
"""


class CountingDatabase(Database):
    statements: Counter[str]

    def rows(self, statement: str, **parameters: Any) -> list[Any]:
        self.statements[" ".join(statement.split()[:4])] += 1
        return super().rows(statement, **parameters)


@pytest.fixture
def large(services: RealServices) -> Iterator[tuple[Connection, CountingDatabase]]:
    with schema(services) as sql:
        fill_fast(sql, _AN_ACCOUNT)
        run_each(sql, "ANALYZE")
        ((name,),) = sql.run("SELECT current_database()")
        database = CountingDatabase(services.with_database(name))
        database.statements = Counter()
        yield sql, database
        database.close()


def test_an_account_of_100_000_images_leaves_in_steps_of_their_size(
    large: tuple[Connection, CountingDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql, database = large
    records = PostgresClosedAccounts(database)
    # A run of a minute has its time; here it has as much as the machine takes.
    monkeypatch.setattr(closing, "SECONDS_FOR_ALL", 1e9)
    closing.remove_closed(records)
    # Each step but the last is full, and one more finds nothing.
    removing = IMAGES // closing.STEP_IMAGES + 1
    forgetting_past = IMAGES // closing.STEP_ROWS + 1
    around = 4
    assert database.statements.total() <= removing + forgetting_past + around
    assert sql.run("SELECT count(*) FROM images WHERE deleted_at IS NULL") == [[0]]
    assert sql.run("SELECT type, count(*) FROM changes GROUP BY 1") == [
        ["image.delete.requested", IMAGES]
    ]
    assert sql.run("SELECT images, unfinished_changes FROM account_usage") == [[0, IMAGES]]

    # What the consumer does with each, and the relay.
    fill_fast(
        sql,
        "DELETE FROM images; UPDATE account_usage SET unfinished_changes = 0;"
        "UPDATE changes SET settled_at = now(), outcome = 'applied', published_at = now(),"
        "outcome_id = gen_random_uuid(), outcome_published_at = now()",
    )
    database.statements.clear()
    closing.remove_closed(records)
    assert database.statements.total() <= around + 2
    assert sql.run("SELECT count(*) FROM closed_accounts") == [[0]]


def test_a_run_forgets_more_changes_than_a_hundred_a_second_make_in_a_minute(
    large: tuple[Connection, CountingDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql, database = large
    records = PostgresRelayRecords(database)
    # A step takes some 20 ms where nothing else runs: here it counts as fifteen times that.
    clock = itertools.count(step=0.3)
    monkeypatch.setattr("image_api.core.upkeep.expiry.time.monotonic", lambda: next(clock))
    expiry.forget_old({"changes": partial(records.forget_old, 90)}, lambda: 50_000)
    ((left,),) = sql.run("SELECT count(*) FROM changes")
    assert IMAGES - left >= A_MINUTES_CHANGES
