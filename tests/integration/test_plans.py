"""No statement of the log reads more than it has to, whatever the planner knows of the table.

As after a thousand executions, when Postgres no longer looks at the parameters; with statistics
of an hour in which nothing waited, and with those of a rush.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pg8000.native import Connection, literal

import image_migrations
from image_api.postgres import before_the_log, changes, processing
from tests.integration.real_services import RealServices, connect

_FILL = """
INSERT INTO users (username, username_key, password_hash)
SELECT n, n, 'h' FROM generate_series(1, 1001) AS n;

INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, size_bytes,
                    width, height, status, applied_sequence)
SELECT 1 + n % 1001, 't', 'shared', n, n, 'image/png', 1, 1, 1, 'ready', 1
FROM generate_series(1, 40000) AS n;

INSERT INTO inbox SELECT gen_random_uuid() FROM generate_series(1, 20000);

INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     published_at, settled_at, outcome, attempts, outcome_id, outcome_type,
                     outcome_data, outcome_published_at)
SELECT gen_random_uuid(), 1, n, 1, 'image.upload.requested', '{}', 'r', now(), now(), 'applied', 1,
       gen_random_uuid(), 'image.upload.completed', '{}', now()
FROM generate_series(1, 40000) AS n;
"""

# The first user's are begun in part; all others wait, each for one message that was not published.
_RUSH = """
UPDATE images SET accepted_sequence = 2 WHERE id <= 11000;
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     published_at)
SELECT gen_random_uuid(), 1, n, 2, 'image.update.requested', '{"changes": {"title": "a"}}', 'r',
       now()
FROM generate_series(1, 10000) AS n;
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id)
SELECT gen_random_uuid(), 1 + n, 10000 + n, 2, 'image.update.requested', '{}', 'r'
FROM generate_series(1, 1000) AS n;
UPDATE changes
SET attempts = 1, begun_for = change_id, due_at = now() + interval '1 hour'
WHERE user_id = 1 AND outcome IS NULL AND image_id <= 20;
"""


@pytest.fixture(scope="module", params=["of a quiet hour", "of a rush"])
def full(services: RealServices, request: pytest.FixtureRequest) -> Iterator[Connection]:
    name = f"plans_{uuid4().hex}"
    services.administer(f"CREATE DATABASE {name} OWNER {services.owner}")
    image_migrations.upgrade(services.with_database(name))
    sql = connect(services.administrator_of(name))
    tables = ("changes", "images", "inbox", "outbox", "renditions", "users")
    for table in tables:
        # Whatever it finds out meanwhile is not to decide this.
        sql.run(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    steps = [_FILL, "ANALYZE", _RUSH] if "quiet" in request.param else [_FILL, _RUSH, "ANALYZE"]
    for step in steps:
        for statement in step.split(";"):
            if statement.strip():
                sql.run(statement)
    sql.run("SET plan_cache_mode = force_generic_plan")
    yield sql
    sql.close()
    services.administer(f"DROP DATABASE {name} WITH (FORCE)")


def rows_read(sql: Connection, statement: str, parameters: dict[str, Any]) -> int:
    """Those of tables, found and passed over; nothing is kept of what the statement does."""
    names: list[str] = []

    def number_of(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    numbered = re.sub(r"(?<!:):([a-z_]+)", number_of, statement)
    values = ", ".join(literal(parameters[name]) for name in names)
    sql.run("BEGIN")
    try:
        sql.run(f"PREPARE looked_at AS {numbered}")
        execute = f"EXECUTE looked_at({values})" if names else "EXECUTE looked_at"
        ((plan,),) = sql.run(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
        return _read_by((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
    finally:
        sql.run("ROLLBACK")
        sql.run("DEALLOCATE ALL")


def _read_by(node: dict[str, Any]) -> int:
    below: int = sum(_read_by(inner) for inner in node.get("Plans", []))
    if "Relation Name" not in node or "Scan" not in node["Node Type"]:
        return below
    passed_over = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows = node["Actual Rows"] + sum(node.get(name, 0) for name in passed_over)
    return below + int(rows * node["Actual Loops"])


NOBODY = "00000000-0000-0000-0000-000000000001"
# Each with how many rows it may read where it works on one change, or on so many.
STATEMENTS: dict[str, tuple[str, dict[str, Any], int]] = {
    **{
        f"begin after {user_id}": (
            processing._BEGIN,
            {"message_id": NOBODY, "after_user_id": user_id, "renderers": 3},
            20,
        )
        for user_id in (0, 1, 500, 1001)
    },
    "begin crashed": (
        processing._BEGIN_CRASHED,
        {"message_id": NOBODY, "after_user_id": 1, "renderers": 3},
        30,
    ),
    "look up": (processing._LOOK_UP, {"event_ids": [NOBODY, "{id}"]}, 2),
    # Perhaps all that are begun: these are few.
    "free": (processing._FREE, {"message_ids": [NOBODY, "{id}"]}, 20),
    "reopen": (processing._REOPEN, {"event_id": "{id}", "sequence": 2}, 3),
    "postpone": (
        processing._POSTPONE,
        {"change_id": "{id}", "delay_seconds": 1, "reason": "r", "renderer_failures": 1},
        1,
    ),
    "leave": (
        processing._LEAVE,
        {"change_id": "{id}", "delay_seconds": 1, "folder": "f", "busy_seconds": 90},
        1,
    ),
    **{
        name: (
            statement,
            {
                "change_id": "{id}",
                "image_id": 7,
                "sequence": 2,
                "outcome_id": NOBODY,
                "outcome_type": "x",
                "reason": "r",
                "title": "a",
                "visibility": "shared",
                "is_asked": True,
                "fit": "cover",
                "renditions": "[]",
                "void_reason": "v",
            },
            6,
        )
        for name, statement in (
            ("complete", processing._COMPLETE),
            ("fail", processing._FAIL),
            ("remove", processing._REMOVE),
        )
    },
    "is deleted": (processing._IS_DELETED, {"image_id": 7}, 1),
    "mark request": (changes._MARK_REQUEST, {"event_id": "{id}"}, 1),
    "mark outcome": (
        changes._MARK_OUTCOME,
        {"event_id": NOBODY, "image_id": 7, "sequence": 1},
        1,
    ),
    "unpublished requests": (
        changes._UNPUBLISHED_REQUESTS,
        {"grace_seconds": 0, "batch_size": 100},
        100,
    ),
    "unpublished outcomes": (
        changes._UNPUBLISHED_OUTCOMES,
        {"grace_seconds": 0, "batch_size": 100},
        100,
    ),
    "overdue": (changes._OVERDUE, {"overdue_seconds": 0, "batch_size": 100}, 120),
    "mark requests": (changes._MARK_REQUESTS, {"event_ids": [NOBODY, "{id}"]}, 2),
    "mark outcomes": (
        changes._MARK_OUTCOMES,
        {"event_ids": [NOBODY], "image_ids": [7], "sequences": [1]},
        1,
    ),
    # The rows to delete, found and then looked up.
    "forget": (changes._FORGET_OLD, {"kept_days": 0, "batch_size": 100}, 200),
    "oldest": (changes._OLDEST_UNSETTLED, {}, 1),
    **{
        name: (
            statement,
            {
                "event_id": NOBODY,
                "image_id": 7,
                "sequence": 2,
                "event_type": "x",
                "data": "{}",
                "correlation_id": "c",
            },
            3,
        )
        for name, statement in (
            ("believe", before_the_log._BELIEVE),
            ("reopen before", before_the_log._REOPEN),
            ("was applied", before_the_log._WAS_APPLIED),
        )
    },
    "outbox": (before_the_log._OUTBOX, {"grace_seconds": 0}, 0),
    "give up lost": (before_the_log._GIVE_UP_LOST, {}, 0),
    "forget inbox": (before_the_log._FORGET_INBOX, {}, 0),
}


def test_every_statement_of_the_log_is_here() -> None:
    known = {statement for statement, _, _ in STATEMENTS.values()}
    for module in (processing, changes, before_the_log):
        for name, value in vars(module).items():
            if isinstance(value, str) and re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)\b", value):
                assert value in known or name in ("_EMPTY_OUTBOX",), name


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_reads_what_it_has_to(full: Connection, name: str) -> None:
    statement, parameters, limit = STATEMENTS[name]
    ((change_id,),) = full.run(
        "SELECT change_id::text FROM changes WHERE image_id = 7 AND sequence = 2"
    )

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(each) for each in value]
        return change_id if value == "{id}" else value

    parameters = {key: filled(value) for key, value in parameters.items()}
    assert rows_read(full, statement, parameters) <= limit
