"""Who may do what in the database: a role for each purpose, and no role for two of them.

Each function says in template.yaml which purpose its statements serve (DATABASE_PURPOSE). A table
that is not here, or a statement that its purpose may not run, fails a test, which names the line
to add (tests/integration/test_grants.py). As with the schema, the code of the release before still
runs when these are given: what it needs is taken away one release later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

# The same names as in image_api.settings.
ACCOUNTS, IMAGES, PROCESSING = "accounts", "images", "processing"
OPERATIONS, SUPPORT = "operations", "support"
PURPOSES = (ACCOUNTS, IMAGES, PROCESSING, OPERATIONS, SUPPORT)

# What is counted and indexed beside the images is written by triggers, with the rights of whoever
# changed the images.
_OF_TRIGGERS = dict.fromkeys((IMAGES, PROCESSING, OPERATIONS), "SELECT, INSERT, UPDATE, DELETE")

# Privileges by table and purpose, as GRANT takes them. A lock (FOR UPDATE) needs the right to
# change some column.
GRANTS: Mapping[str, Mapping[str, str]] = {
    "users": {
        ACCOUNTS: """SELECT, INSERT, UPDATE (
            username, username_key, password_hash, token_generation)""",
        # Whether somebody is there and signed in, and whose an image is; never a hash. An upload
        # locks its account's row, for which some column has to be writable.
        IMAGES: "SELECT (id, username, token_generation), UPDATE (created_at)",
        # Until the next release: operators of the one before look at accounts with this role.
        OPERATIONS: "SELECT (id, username, username_key, created_at)",
        # Operators lock accounts, and give them passwords; they read no hash.
        SUPPORT: """SELECT (id, username, username_key, created_at, token_generation, locked_at),
            UPDATE (username, username_key, password_hash, token_generation, locked_at)""",
    },
    "refresh_families": {
        ACCOUNTS: "SELECT, INSERT, UPDATE, DELETE",
        OPERATIONS: "SELECT, UPDATE (expires_at), DELETE",
    },
    "used_refresh_tokens": {
        ACCOUNTS: "SELECT, INSERT, DELETE",
        OPERATIONS: "SELECT, UPDATE (used_at), DELETE",
    },
    # Whose images nobody sees any more.
    "closed_accounts": {
        ACCOUNTS: "INSERT",
        IMAGES: "SELECT",
        OPERATIONS: "SELECT, UPDATE (looked_at), DELETE",
        SUPPORT: "INSERT",
    },
    "sign_in_failures": {
        ACCOUNTS: "SELECT, INSERT, UPDATE, DELETE",
        OPERATIONS: "SELECT, DELETE",
        SUPPORT: "SELECT (key), DELETE",
    },
    "sign_in_networks": {
        ACCOUNTS: "SELECT, INSERT, UPDATE (signed_in_at)",
        OPERATIONS: "SELECT, UPDATE (signed_in_at), DELETE",
    },
    "images": {
        IMAGES: "SELECT, INSERT, UPDATE",
        PROCESSING: "SELECT, UPDATE, DELETE",
        # The janitor fails what lacks its file; what a closed account has is deleted.
        OPERATIONS: """SELECT, UPDATE (
            status, error, updated_at, deleted_at, accepted_sequence)""",
    },
    "renditions": {
        IMAGES: "SELECT",
        PROCESSING: "SELECT, INSERT, UPDATE",
        OPERATIONS: "SELECT",
    },
    "requested_renditions": {
        IMAGES: "SELECT, INSERT, UPDATE, DELETE",
        PROCESSING: "SELECT, DELETE",
        OPERATIONS: "SELECT, UPDATE (asked_at), DELETE",
    },
    "new_renditions": {
        IMAGES: "SELECT, INSERT, UPDATE",
        OPERATIONS: "SELECT, UPDATE (begun), DELETE",
    },
    # Triggers note what rows were of that are gone.
    "forgotten_objects": {
        IMAGES: "SELECT, INSERT",
        PROCESSING: "SELECT, INSERT",
        OPERATIONS: "SELECT, INSERT, UPDATE (delete_after), DELETE",
    },
    "image_totals": _OF_TRIGGERS,
    "searchable_titles": _OF_TRIGGERS,
    "listed_images": _OF_TRIGGERS,
    "tag_totals": _OF_TRIGGERS,
    "account_usage": {ACCOUNTS: "SELECT, INSERT", SUPPORT: "SELECT", **_OF_TRIGGERS},
    "direct_uploads": {
        IMAGES: "SELECT, INSERT, DELETE",
        OPERATIONS: "SELECT, UPDATE (expires_at), DELETE",
    },
    "idempotency_keys": {
        IMAGES: "SELECT, INSERT, UPDATE, DELETE",
        OPERATIONS: "SELECT, DELETE",
    },
    "waiting_requests": {IMAGES: "SELECT, INSERT, UPDATE, DELETE"},
    # What was accepted never changes; rows leave when they are old.
    "changes": {
        IMAGES: "SELECT, INSERT, UPDATE (published_at)",
        PROCESSING: """SELECT, INSERT, UPDATE (
            published_at, due_at, begun_for, attempts, failures, settled_at, outcome, reason,
            outcome_id, outcome_type, outcome_data, outcome_published_at, renderer_failures,
            rendering_folder, rendering_until, storing_until)""",
        OPERATIONS: "SELECT, INSERT, UPDATE (published_at, outcome_published_at), DELETE",
        SUPPORT: "SELECT (id, accepted_at, settled_at)",
    },
    # Written when a change is given up; the relay sends what nobody has sent.
    "owed_letters": {
        PROCESSING: "SELECT, INSERT, UPDATE (reason, attempts, due_at), DELETE",
        OPERATIONS: "SELECT, UPDATE (due_at), DELETE",
    },
    # Of the release before the log of changes; see `postgres.legacy_outbox`.
    "outbox": {OPERATIONS: "SELECT, DELETE"},
    "inbox": {PROCESSING: "SELECT, INSERT", OPERATIONS: "SELECT, DELETE"},
    "changes_in_broker": {
        PROCESSING: "SELECT, DELETE",
        OPERATIONS: "SELECT, DELETE",
    },
    "objects_without_row": {OPERATIONS: "SELECT, INSERT, UPDATE, DELETE"},
    "alembic_version": {OPERATIONS: "SELECT", SUPPORT: "SELECT"},
}


def statements(role: str, purposes: Collection[str]) -> Iterator[str]:
    """What gives a role, by its quoted name, what these purposes need, and takes all else."""
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    yield f"GRANT USAGE ON SCHEMA public TO {role}"
    # By name: there may be tables of others in this schema.
    yield f"REVOKE ALL ON {', '.join(GRANTS)} FROM {role}"
    for table, granted in GRANTS.items():
        for purpose in purposes:
            if purpose in granted:
                yield f"GRANT {granted[purpose]} ON {table} TO {role}"
