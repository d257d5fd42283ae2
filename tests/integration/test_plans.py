"""No statement reads more than it has to, whatever the planner knows of the table.

As after a thousand executions, when Postgres no longer looks at the parameters: the log's with
statistics of an hour in which nothing waited, and with those of a rush, and all with those of a
million images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from itertools import product
from pkgutil import iter_modules
from typing import Any, cast, get_args
from uuid import uuid4

import pytest
from pg8000.native import Connection, literal

import image_migrations
from image_api import postgres
from image_api.core.change_log.changes import StoredRendition
from image_api.core.library.listing import Filters, ListQuery, Position, Sort
from image_api.postgres import (
    backfill,
    changes,
    closed_accounts,
    database,
    dead_letters,
    history,
    idempotency,
    images,
    janitor,
    legacy_outbox,
    listing,
    operator_commands,
    processing,
    renditions,
    rerendering,
    revocation,
    sessions,
    tags,
    users,
    waiting_requests,
)
from tests.integration.real_services import RealServices, connect

_FILL = """
INSERT INTO users (username, username_key, password_hash)
SELECT n, n, 'h' FROM generate_series(1, 1001) AS n;

INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, size_bytes,
                    width, height, status, applied_sequence, rendered_at, created_at, taken_at,
                    tags, tag_keys, exposed_key, frames)
SELECT 1 + n % 1001,
       CASE n % 20000 WHEN 10 THEN 'Holiday photo' ELSE chr(97 + n % 26) || ' photo' END,
       CASE n % 10 WHEN 0 THEN 'shared' ELSE 'private' END, n, n,
       CASE n % 500 WHEN 30 THEN 'image/bmp' ELSE 'image/png' END, 1 + n % 1000, 1, 1,
       CASE n % 100 WHEN 90 THEN 'failed' ELSE 'ready' END, 1, now(), now() - n * interval '1 s',
       CASE WHEN n % 3 > 0 THEN '2020-01-01'::timestamp + n % 1000000 * interval '1 h' END,
       g.tags, g.tags,
       CASE n % 2000 WHEN 7 THEN n END, CASE WHEN n % 2000 <> 7 THEN 1 END
FROM generate_series(1, {images}) AS n,
     LATERAL (SELECT CASE WHEN n % 20000 = 20 THEN ARRAY['rare']
                          WHEN n % 4 = 0 THEN ARRAY['common'] ELSE '{{}}' END AS tags) AS g;

INSERT INTO inbox SELECT gen_random_uuid() FROM generate_series(1, 20000);

INSERT INTO direct_uploads SELECT 1 + n % 1001, n, now() + interval '1 day'
FROM generate_series(1, 5000) AS n;
INSERT INTO sign_in_networks SELECT 1 + n % 1001, sha256(n::text::bytea)
FROM generate_series(1, 20000) AS n;
INSERT INTO sign_in_failures SELECT sha256(n::text::bytea), 5, 1, now(), '-infinity'
FROM generate_series(1, 20000) AS n;
INSERT INTO closed_accounts SELECT n, 'c' FROM generate_series(12, 21) AS n;
INSERT INTO refresh_families
SELECT md5(n::text)::uuid, 1 + abs(n) % 1001, 0, sha256(n::text::bytea), now() + n * interval '1 s'
FROM generate_series(-20000, 20000) AS n;
INSERT INTO used_refresh_tokens
SELECT sha256(n::text::bytea), md5(n::text)::uuid, now() - n * interval '1 s', ''
FROM generate_series(1, 20000) AS n;

INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     accepted_at, published_at, settled_at, outcome, attempts, outcome_id,
                     outcome_type, outcome_data, outcome_published_at)
SELECT gen_random_uuid(), 1, n, 1, 'image.upload.requested', '{{}}', 'r', m.moment, m.moment,
       m.moment, 'applied', 1, gen_random_uuid(), 'image.upload.completed', '{{}}', m.moment
FROM generate_series(1, {changes}) AS n, LATERAL (SELECT now() - n * interval '1 s') AS m (moment);

INSERT INTO owed_letters
SELECT change_id, 'r', 1, settled_at FROM changes WHERE image_id <= 20000;
"""

# What triggers do one by one, and the tables beside the log.
_FILL_THE_REST = """
INSERT INTO searchable_titles SELECT id, user_id, visibility, lower(title) FROM images;
INSERT INTO listed_images SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l;
INSERT INTO tag_totals
SELECT u.user_id, t.tag_key, t.tag_key, 1000 - t.n, 500
FROM generate_series(0, 1000) AS u (user_id),
     (SELECT n, 'tag ' || n FROM generate_series(1, 100) AS n) AS t (n, tag_key);
INSERT INTO image_totals
SELECT u.id, v.visibility, 'ready', 0, 1000
FROM users AS u, (VALUES ('shared'), ('private')) AS v (visibility);
INSERT INTO image_totals SELECT 0, 'shared', 'ready', s, 6250 FROM generate_series(0, 15) AS s;
INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, width, height,
                        animated)
SELECT id, 'thumbnail', 'storage/' || original_key, 'image/webp', 1, 1, 1, false FROM images;
INSERT INTO idempotency_keys (user_id, key, request_hash, claim_id, claimed_at, leased_until)
SELECT 1 + n % 1001, n, ''::bytea, gen_random_uuid(), now() - interval '2 days', now()
FROM generate_series(1, 50000) AS n;
INSERT INTO objects_without_row
SELECT 'nobody/' || n, now() - interval '1 day', now() + interval '1 day'
FROM generate_series(1, 20000) AS n;
INSERT INTO sign_in_failures
SELECT sha256(n::text::bytea), 5, 1, now() - interval '2 days', '-infinity'
FROM generate_series(20001, 50000) AS n;
INSERT INTO account_usage (user_id) SELECT id FROM users;
INSERT INTO requested_renditions (image_id, width, ratio, format, source_key, making_until,
                                  object_key)
SELECT 1 + n % 100000, 64 + n % 4, '', 'webp', n, now(), 'storage/' || n
FROM generate_series(1, 400000) AS n ON CONFLICT DO NOTHING;
INSERT INTO requested_renditions (image_id, width, ratio, format, source_key, making_until)
SELECT n, 99, '', 'webp', n, now() - interval '2 days' FROM generate_series(1, 20000) AS n;
INSERT INTO new_renditions
SELECT sha256(n::text::bytea), now() - interval '1 hour' FROM generate_series(1, 20000) AS n;
INSERT INTO forgotten_objects
SELECT 'nobody/' || n, now() - interval '1 hour' FROM generate_series(1, 20000) AS n;
INSERT INTO waiting_requests
SELECT n, 1 + n % 1001, gen_random_uuid(), now() + interval '1 hour'
FROM generate_series(1, 500) AS n;
INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, width, height,
                        animated, considered_version)
SELECT id, 'image', 'image/' || id, 'image/webp', 1, 1, 1, false, CASE id % 1000 WHEN 1 THEN 0
       ELSE 1 END
FROM images;
"""

_AN_ALBUM = """
INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, size_bytes,
                    width, height, status, applied_sequence, rendered_at, created_at)
SELECT 1, 'Album', 'shared', 'album ' || n, 'album ' || n, 'image/png', 1, 1, 1, 'ready', 1, now(),
       now() + n * interval '1 s'
FROM generate_series(1, 300) AS n
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


A_MILLION = "of a million images"


@pytest.fixture(scope="module", params=["of a quiet hour", "of a rush", A_MILLION])
def full(services: RealServices, request: pytest.FixtureRequest) -> Iterator[Connection]:
    with schema(services) as sql:
        if request.param == A_MILLION:
            fill_fast(sql, _FILL.format(images=1_000_000, changes=250_000) + _FILL_THE_REST)
            steps = ["ANALYZE", _RUSH]
        elif "quiet" in request.param:
            steps = [_FILL.format(images=40_000, changes=40_000), "ANALYZE", _RUSH]
        else:
            steps = [_FILL.format(images=40_000, changes=40_000), _RUSH, "ANALYZE"]
        for step in steps:
            run_each(sql, step)
        yield sql


@contextmanager
def schema(services: RealServices) -> Iterator[Connection]:
    name = f"plans_{uuid4().hex}"
    services.administer(f"CREATE DATABASE {name} OWNER {services.owner}")
    image_migrations.upgrade(services.with_database(name))
    sql = connect(services.administrator_of(name))
    for ((table),) in sql.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        # Whatever it finds out meanwhile is not to decide this.
        sql.run(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    sql.run("SET plan_cache_mode = force_generic_plan")
    try:
        yield sql
    finally:
        sql.close()
        services.administer(f"DROP DATABASE {name} WITH (FORCE)")


def run_each(sql: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            sql.run(statement)


def fill_fast(sql: Connection, statements: str) -> None:
    """Without triggers, and with the indexes made at the end."""
    indexes = sql.run(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index AS i "
        "JOIN pg_class AS t ON t.oid = i.indrelid "
        "WHERE t.relnamespace = 'public'::regnamespace AND NOT EXISTS ("
        "SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)"
    )
    sql.run(f"DROP INDEX {', '.join(name for name, _ in indexes)}")
    sql.run("SET session_replication_role = replica")
    run_each(sql, statements)
    sql.run("RESET session_replication_role")
    sql.run("SET maintenance_work_mem = '256MB'")
    for _, definition in indexes:
        sql.run(definition)


def rows_read(sql: Connection, statement: str, parameters: dict[str, Any]) -> int:
    """Those of tables, found and passed over."""
    return _read_by(plan_of(sql, statement, parameters))


def plan_of(sql: Connection, statement: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """As it was run; nothing is kept of what the statement does."""
    names: list[str] = []

    def number_of(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    parameters = {"token_generation": 0, **parameters}
    numbered = re.sub(r"(?<!:):([a-z_]+)", number_of, statement)
    values = ", ".join(literal(parameters[name]) for name in names)
    sql.run("BEGIN")
    try:
        sql.run(f"PREPARE looked_at AS {numbered}")
        execute = f"EXECUTE looked_at({values})" if names else "EXECUTE looked_at"
        ((plan,),) = sql.run(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
        explained = plan if isinstance(plan, list) else json.loads(plan)
        return cast(dict[str, Any], explained[0]["Plan"])
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


def _most_found_by_terms(node: dict[str, Any]) -> int:
    """By an index that says where all of them are before any is read."""
    has_terms = str(node.get("Index Name")).endswith("_by_term")
    found = int(node["Actual Rows"]) if has_terms else 0
    return max([found, *map(_most_found_by_terms, node.get("Plans", []))])


NOBODY = "00000000-0000-0000-0000-000000000001"
ACCEPTED: dict[str, Any] = {
    "user_id": 7,
    "image_id": 6,
    "image_ids": [6, 1007],
    "event_ids": [NOBODY, NOBODY[:-1] + "2"],
    "refused": "{}",
    "claim_ids": [NOBODY],
    "event_id": NOBODY,
    "event_type": "x",
    "data": "{}",
    "correlation_id": "c",
    "traceparent": None,
    "client_correlation_id": None,
    "hides": True,
    "trashes": True,
    "versions": [1],
    "renders": True,
    "description": "",
    "tags": "[]",
    "tag_keys": "[]",
    "upload_id": "u",
    "title": "t",
    "visibility": "public",
    "original_key": "k",
    "content_type": "image/png",
    "size_bytes": 1,
    "width": 1,
    "height": 1,
    "frames": 1,
    "taken_at": None,
    "ttl_seconds": 1,
    "limit_images": 1000,
    "limit_bytes": 10**9,
    "limit_unfinished_changes": 10**6,
    "limit_open": 20,
}
ACCEPTING = {
    "accept upload": images._ACCEPT_UPLOAD,
    "accept update": images._ACCEPT_UPDATE,
    "accept delete": images._ACCEPT_DELETE,
    "admission": images._ADMISSION,
    "lock usage": images._LOCK_USAGE,
    "offer": images._OFFER,
    "movements": images._MOVEMENTS,
    "update all": images._UPDATE_ALL,
    "delete all": images._DELETE_ALL,
}
SIGNING_IN: dict[str, Any] = {
    **{f"{what}_key": what for what in ("pair", "network", "name")},
    **{f"per_{what}": 5 for what in ("pair", "network", "name")},
    "username_key": "7",
    "typed_key": "7 ",
    "user_id": 7,
    "network": "n",
    "window_seconds": 900,
}
SIGN_IN = {"begin sign-in": users._BEGIN_SIGN_IN, "succeed": users._SUCCEED}
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
    # For each of the fifty: its user, its change and its image, found, locked and written.
    **{
        f"apply plain after {user_id}": (
            processing._APPLY_PLAIN,
            {"after_user_id": user_id, "most": 50, "outcome_type": "x"},
            700,
        )
        for user_id in (0, 1)
    },
    "look up": (processing._LOOK_UP, {"event_ids": [NOBODY, "{id}"]}, 2),
    # Perhaps all that are begun: these are few.
    "free": (processing._FREE, {"message_ids": [NOBODY, "{id}"]}, 21),
    "reopen": (processing._REOPEN, {"event_id": "{id}", "sequence": 2}, 3),
    "postpone": (
        processing._POSTPONE,
        {
            "change_id": "{id}",
            "delay_seconds": 1,
            "reason": "r",
            "renderer_failures": 1,
            "attempts": 1,
            "owes_letter": True,
        },
        1,
    ),
    "leave": (
        processing._LEAVE,
        {"change_id": "{id}", "delay_seconds": 1, "folder": "f", "busy_seconds": 90},
        1,
    ),
    "lose a renderer": (
        processing._LOSE_RENDERER,
        {"change_id": "{id}", "storing_seconds": 95},
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
                "restores": True,
                "description": "d",
                "tags": '["a"]',
                "tag_keys": '["a"]',
                "asked_width": 10,
                "asked_height": 10,
                "fit": "cover",
                "renditions": "[]",
                "void_reason": "v",
                "attempts": 1,
                "owes_letter": True,
            },
            6,
        )
        for name, statement in (
            ("complete", processing._COMPLETE),
            ("fail", processing._FAIL),
            ("remove", processing._REMOVE),
        )
    },
    "move": (
        revocation._MOVE,
        {"image_id": 7, "folder": "a/", "new_folder": "b/"},
        3,
    ),
    "unexpose": (revocation._UNEXPOSE, {"image_id": 7, "exposed_key": "a"}, 1),
    **{name: (statement, ACCEPTED, 9) for name, statement in ACCEPTING.items()},
    **{name: (statement, SIGNING_IN, 6) for name, statement in SIGN_IN.items()},
    "is deleted": (processing._IS_DELETED, {"image_id": 7}, 1),
    "mark request": (changes._MARK_REQUEST, {"event_id": "{id}"}, 1),
    "mark outcome": (
        changes._MARK_OUTCOME,
        {"event_id": NOBODY, "image_id": 7, "sequence": 1},
        1,
    ),
    "unpublished requests": (
        changes._UNPUBLISHED_REQUESTS,
        {"after_id": 0, "grace_seconds": 0, "batch_size": 100},
        100,
    ),
    "unpublished outcomes": (
        changes._UNPUBLISHED_OUTCOMES,
        {"after_id": 0, "grace_seconds": 0, "batch_size": 100},
        100,
    ),
    "overdue": (changes._OVERDUE, {"overdue_seconds": 0, "batch_size": 100}, 120),
    # What is locked is looked up again.
    "mark requests": (changes._MARK_REQUESTS, {"event_ids": [NOBODY, "{id}"]}, 2),
    "mark outcomes": (
        changes._MARK_OUTCOMES,
        {"event_ids": [NOBODY], "image_ids": [7], "sequences": [1]},
        2,
    ),
    # The rows to delete, found and then looked up.
    "forget": (changes._FORGET_OLD, {"kept_days": 0, "batch_size": 100}, 200),
    # Each found, its change, and each written.
    "due letters": (dead_letters._DUE, {"most": 10}, 40),
    "letter sent": (dead_letters._SENT, {"event_id": "{id}"}, 1),
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
            ("believe", legacy_outbox._BELIEVE),
            ("reopen before", legacy_outbox._REOPEN),
            ("was applied", legacy_outbox._WAS_APPLIED),
        )
    },
    "outbox": (
        legacy_outbox._OUTBOX,
        {"after_id": 0, "grace_seconds": 0, "batch_size": 100},
        0,
    ),
    "give up lost": (legacy_outbox._GIVE_UP_LOST, {}, 0),
    "forget inbox": (legacy_outbox._FORGET_INBOX, {"batch_size": 100}, 0),
}


THE_LOG = frozenset(STATEMENTS)

USER, CLOSED, KEY = 7, 13, "\\x00"
ACCEPTED = {
    "user_id": USER,
    "image_id": 7,
    "claim_ids": [],
    "event_id": NOBODY,
    "event_type": "image.update.requested",
    "data": "{}",
    "correlation_id": "c",
    "traceparent": "",
    "client_correlation_id": "",
}
UPLOADED = {
    "title": "t",
    "visibility": "shared",
    "original_key": "k",
    "content_type": "image/png",
    "size_bytes": 1,
    "width": 1,
    "height": 1,
}
CLAIM = {
    "kept_seconds": 86_400,
    "user_id": USER,
    "key": "7",
    "request_hash": KEY,
    "claim_id": NOBODY,
    "lease_seconds": 60,
}
RENDITION = {
    "user_id": USER,
    "image_id": 7,
    "generation": None,
    "public_secret": None,
    "width": 64,
    "across": 1,
    "down": 1,
    "ratio": "1:1",
    "still": "webp",
    "moving": "webp",
    "format": "webp",
    "claim_id": NOBODY,
    "source_key": "7",
    "key": KEY,
    "per_minute": 120,
    "reason": "r",
    "is_final": False,
    "object_key": "k",
    "per_image": 2,
    "batch_size": 100,
    "keys": ["k"],
    "min_age_seconds": 0,
}
MADE = StoredRendition("image", "k", "image/png", 1, 1, 1, animated=False, renderer_version=1)
RENDITIONS = json.dumps([asdict(MADE)])
# A page's scans, its images and what is shown with them; what is found is counted as well, what is
# common is read from the newest on, and in the order that is asked for.
PAGE, UNCOUNTED, FEW, COUNTED, MANY = 1_300, 2_000, 2_500, 35_000, 140_000
SINGLE = {
    "nothing": (Filters(), PAGE),
    "owner me": (Filters(owner_id=USER), PAGE),
    "another owner": (Filters(owner_id=USER + 1), PAGE),
    # What is public is kept as shared, so that each of the two is counted.
    "shared": (Filters(visibility="shared"), COUNTED),
    "private": (Filters(visibility="private"), PAGE),
    "the trash": (Filters(trashed=True), PAGE),
    "ids": (Filters(ids=tuple(range(1, 1000, 10))), PAGE),
    "a rare type": (Filters(content_type="image/bmp"), COUNTED),
    "a common type": (Filters(content_type="image/png"), COUNTED),
    "a type that none has": (Filters(content_type="image/avif"), PAGE),
    "a rare title": (Filters(title="Holiday"), FEW),
    "a rare title of common parts": (Filters(title="holiday photo"), FEW),
    "a title that none has": (Filters(title="photo of"), PAGE),
    "a common title": (Filters(title="b"), MANY),
    "a rare word": (Filters(q="holiday"), FEW),
    "a common word": (Filters(q="b"), MANY),
    "a rare tag": (Filters(tag_keys=("rare",)), FEW),
    "a common tag": (Filters(tag_keys=("common",)), MANY),
    # Each of them costs a look at its image.
    "processing": (Filters(status="processing"), COUNTED),
    "failed": (Filters(status="failed"), COUNTED),
    "ready": (Filters(status="ready"), COUNTED),
    "after long ago": (Filters(created_after="2001-01-01T00:00:00Z"), COUNTED + MANY),
    "before now": (Filters(created_before="2101-01-01T00:00:00Z"), COUNTED + MANY),
    "after now": (Filters(created_after="2101-01-01T00:00:00Z"), PAGE),
}
# In any order the next ones are near.
COMMON = ("a common type", "a common tag")
SORTS: tuple[Sort, ...] = get_args(Sort)
AFTER = {
    "created_at": Position("2026-01-01T00:00:00Z", 1),
    "title": Position("m", 1),
    "size": Position("500", 1),
    "taken_at": Position("2040-01-01T00:00:00", 1),
}


def _pages() -> Iterator[tuple[str, tuple[str, dict[str, Any], int]]]:
    for (name, (filters, limit)), sort, continues in product(SINGLE.items(), SORTS, (False, True)):
        after = AFTER[sort.removeprefix("-")] if continues else None
        if sort == "-taken_at":
            filters = replace(filters, owner_id=USER)
        query = ListQuery(filters, sort, 100, after)
        parameters = listing.parameters_of(USER, query)
        statement = listing.page_statement(
            listing.shape_of(USER, query), images._USER_EXISTS, images._IMAGE_JSON
        )
        yield f"page of {name}, by {sort}, {continues}", (statement, parameters, limit)
        if name in COMMON and sort != "-taken_at":
            known = listing.shape_of(USER, query, frozenset({0}))
            statement = listing.page_statement(known, images._USER_EXISTS, images._IMAGE_JSON)
            name = f"page of {name}, known to be many, by {sort}, {continues}"
            yield name, (statement, parameters, UNCOUNTED)


SESSION = {
    "user_id": USER,
    "generation": 0,
    "family_id": NOBODY,
    "token_hash": KEY,
    "successor_hash": "\\x01",
    "sealed_successor": KEY,
    "ttl_seconds": 60,
    "repeat_seconds": 30,
    "batch_size": 100,
}
STATEMENTS |= {
    "user exists": (images._USER_EXISTS, {"user_id": USER}, 1),
    "find": (images._FIND, {"user_id": USER, "image_id": 7}, 5),
    "original": (images._ORIGINAL, {"user_id": USER, "image_id": 7}, 3),
    **{
        name: (
            statement,
            {
                "user_id": USER,
                "owner_id": 9,
                "after_images": 950,
                "after_key": "t",
                "row_limit": 101,
            },
            limit,
        )
        for name, statement, limit in (
            *(("own tags", tags._OWN, 350), ("another's tags", tags._OF_ANOTHER, 350)),
            # Of each of a hundred, what ten accounts had that are on their way out.
            ("tags", tags._SEEN, 1_350),
        )
    },
    **dict(_pages()),
    "history": (
        history._HISTORY,
        {"user_id": 1, "image_id": 7, "kept_days": 90, "row_limit": 1000},
        5,
    ),
    "events": (
        history._EVENTS,
        {
            "since": "2020-01-01",
            "until": "now",
            "after_moment": "2020-01-01",
            "after_kind": 0,
            "after_id": 0,
            "batch_size": 100,
        },
        500,
    ),
    "claim": (idempotency._CLAIM, CLAIM, 4),
    "answer claims as before": (
        idempotency._ANSWER_AS_BEFORE,
        {"claim_ids": [NOBODY], "image_id": 1, "version": 1},
        1,
    ),
    "release": (idempotency._RELEASE, {"claim_id": NOBODY}, 1),
    "forget keys": (idempotency._FORGET_OLD, {"batch_size": 100}, 200),
    **{
        name: (statement, RENDITION, limit)
        for name, statement, limit in (
            # Ten of these are the accounts that are being deleted.
            ("find rendition", renditions._FIND, 15),
            ("touch rendition", renditions._TOUCH, 2),
            ("claim rendition", renditions._CLAIM, 4),
            ("count rendition", renditions._COUNT, 3),
            ("release rendition", renditions._RELEASE, 1),
            ("fail rendition", renditions._FAIL, 1),
            ("finish rendition", renditions._FINISH, 4),
            ("evict renditions", renditions._EVICT, 20),
            ("forget unmade", renditions._FORGET_UNMADE, 200),
            ("forget counts", renditions._FORGET_COUNTS, 200),
            ("forgotten objects", janitor._FORGOTTEN, 100),
            ("forget forgotten", janitor._DROP_FORGOTTEN, 1),
            ("forget lost", janitor._FORGET_LOST, 1),
        )
    },
    "backlog": (operator_commands._BACKLOG, {}, 20_000),
    "user id": (operator_commands._USER_ID, {"username_key": "7", "typed_key": "8"}, 4),
    **{
        name: (statement, {"user_id": USER}, 2)
        for name, statement in (
            ("account", operator_commands._ACCOUNT),
            ("lock", operator_commands._LOCK),
            ("unlock", operator_commands._UNLOCK),
            ("end tokens", operator_commands._END_TOKENS),
        )
    },
    "set password": (operator_commands._SET_PASSWORD, {"user_id": USER, "password_hash": "h"}, 2),
    "close for an operator": (
        closed_accounts.CLOSE_FOR_OPERATOR,
        {"user_id": USER, "correlation_id": "c"},
        2,
    ),
    "expected keys": (
        janitor._EXPECTED_KEYS,
        {"after": "storage/4", "until": "storage/4001", "min_age_seconds": 0},
        3_000,
    ),
    "now": (database._NOW, {}, 0),
    "note": (janitor._NOTE, {"after": "k", "until": "l", "keys": ["k1"]}, 5),
    "noted": (
        janitor._NOTED,
        {"run_started_at": "now", "min_age_seconds": -1, "batch_size": 100},
        400,
    ),
    "forget noted": (janitor._FORGET_NOTED, {"keys": ["k1"]}, 5),
    "fail for a missing file": (janitor._FAIL, {"image_id": 7}, 1),
    "add user": (
        users._INSERT,
        {"username": "x", "username_key": "x", "password_hash": "h", "network": KEY},
        0,
    ),
    "begin registration": (
        users._BEGIN_REGISTRATION,
        {"address_key": KEY, "allowed": 5, "window_seconds": 900},
        2,
    ),
    **{
        name: (statement, {"user_id": USER, "old_hash": "h", "new_hash": "n"}, 2)
        for name, statement in (
            ("replace hash", users._REPLACE_HASH),
            ("change the password", users._RENEW),
            ("username key", users._USERNAME_KEY),
            ("profile", users._PROFILE),
        )
    },
    "forget the failures of a name": (users._FORGET_FAILURES, {"name_key": KEY}, 1),
    "close": (
        closed_accounts.CLOSE,
        {"user_id": USER, "password_hash": "h", "correlation_id": "c"},
        2,
    ),
    "next closed": (closed_accounts._NEXT, {"run_started_at": "now"}, 50),
    # Each with its entry in the table of the closed, which are few.
    "remove images": (
        closed_accounts._REMOVE_IMAGES,
        {"user_id": CLOSED, "batch_size": 100},
        250,
    ),
    "forget a closed account": (
        closed_accounts._FORGET,
        {"user_id": CLOSED, "batch_size": 100},
        1_000,
    ),
    "finish": (closed_accounts._FINISH, {"user_id": CLOSED}, 30),
    **{
        name: (statement, SESSION, limit)
        for name, statement, limit in (
            ("begin a session", sessions._BEGIN, 1),
            ("rotate", sessions._ROTATE, 4),
            ("repeat", sessions._REPEAT, 6),
            ("end a session", sessions._END, 2),
            ("forget used refresh tokens", sessions._FORGET_USED, 200),
            ("forget expired sessions", sessions._FORGET_EXPIRED, 200),
        )
    },
    "forget networks": (users._FORGET_OLD_NETWORKS, {"batch_size": 100}, 200),
    "forget offers": (images._FORGET_OLD_OFFERS, {"batch_size": 100}, 200),
    "delete trashed": (images._DELETE_TRASHED, {"trash_days": 30, "batch_size": 100}, 0),
    "forget failures": (users._FORGET_OLD_FAILURES, {"batch_size": 100}, 200),
    # Those are passed over that something is about to change.
    "begin rendering anew": (rerendering._BEGIN, {"version": 1, "max_attempts": 3}, 40),
    "next exposed": (revocation._NEXT_EXPOSED, {"after_image_id": 0}, 4),
    "next unmeasured": (backfill._NEXT, {}, 1),
    "measured": (backfill._MEASURED, {"image_id": 7, "frames": 1, "size_bytes": 1}, 1),
    **{
        name: (
            statement,
            {"image_id": 7, "sequence": 1, "renditions": RENDITIONS, "taken_at": None},
            4,
        )
        for name, statement in (("replace", rerendering._REPLACE), ("add", rerendering._ADD))
    },
    "lock who waits": (waiting_requests._LOCK_USER, {"user_id": USER}, 0),
    "wait": (
        waiting_requests._TAKE,
        {"user_id": USER, "lease_id": NOBODY, "at_once": 500, "per_account": 3},
        1_100,
    ),
    "wait no more": (waiting_requests._GIVE_BACK, {"lease_id": NOBODY}, 500),
}


# The last is tried by those that write events.
STATEMENT = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b")
PARTS_OF_OTHERS = (
    *("INSERT_ACCEPTED", "INSERT_ALL_ACCEPTED", "ANSWER_CLAIMS", "HOLD_CLAIMS", "OWE_LETTER"),
    *("_EMPTY_OUTBOX", "_USAGE_OF_USER", "_OWN_IMAGE", "_USER_EXISTS"),
)


def test_every_statement_is_here() -> None:
    known = {statement for statement, _, _ in STATEMENTS.values()}
    modules = [
        import_module(f"{postgres.__name__}.{found.name}")
        for found in iter_modules(postgres.__path__)
    ]
    assert {processing, users} <= set(modules)
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, str) and STATEMENT.match(value):
                assert value in known or name in PARTS_OF_OTHERS, name


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_reads_what_it_has_to(
    full: Connection, name: str, request: pytest.FixtureRequest
) -> None:
    if name not in THE_LOG and request.node.callspec.params["full"] != A_MILLION:
        return
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


@pytest.mark.parametrize("full", [A_MILLION], indirect=True)
@pytest.mark.parametrize("filters", [Filters(title="photo"), Filters(q="photo")])
def test_what_is_common_is_read_in_its_order_though_the_newest_images_are_of_another_kind(
    full: Connection, filters: Filters
) -> None:
    query = ListQuery(filters)
    statement = listing.page_statement(
        listing.shape_of(USER, query), images._USER_EXISTS, images._IMAGE_JSON
    )
    try:
        full.run(_AN_ALBUM)
        plan = plan_of(full, statement, listing.parameters_of(USER, query))
    finally:
        full.run("DELETE FROM images WHERE title = 'Album'")
    assert _most_found_by_terms(plan) <= listing.MOST_COUNTED
    assert _read_by(plan) <= COUNTED + MANY


def test_where_all_are_of_one_type_another_is_not_sought_among_them(
    services: RealServices,
) -> None:
    with schema(services) as sql:
        fill_fast(sql, _FILL.format(images=100_000, changes=1) + _FILL_THE_REST)
        sql.run("UPDATE listed_images SET content_type = 'image/png'")
        sql.run("ANALYZE")
        query = ListQuery(Filters(content_type="image/avif"))
        statement = listing.page_statement(
            listing.shape_of(USER, query), images._USER_EXISTS, images._IMAGE_JSON
        )
        assert rows_read(sql, statement, listing.parameters_of(USER, query)) <= PAGE
