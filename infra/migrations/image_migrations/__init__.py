"""The database schema, as Alembic revisions with plain SQL inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool


class RoleNotMade(Exception):
    """The owner of the schema lacks the right to create roles."""


# Reading and writing rows, and nothing that changes the schema.
_GRANTS = """
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON
    users, sign_in_failures, images, renditions, image_totals, outbox, inbox,
    changes_in_broker, idempotency_keys, account_usage, direct_uploads, sign_in_networks,
    searchable_titles, objects_without_row, listed_images, tag_totals, refresh_families,
    used_refresh_tokens, closed_accounts, requested_renditions, new_renditions,
    forgotten_objects, waiting_requests TO {role};
-- What was accepted never changes; rows leave when they are old.
REVOKE UPDATE ON changes FROM {role};
GRANT SELECT, INSERT, DELETE, UPDATE (
    published_at, due_at, begun_for, attempts, failures, settled_at, outcome, reason,
    outcome_id, outcome_type, outcome_data, outcome_published_at, renderer_failures,
    rendering_folder, rendering_until
) ON changes TO {role};
"""

# The API gives up after 8 s: what it no longer waits for must not wait for a lock, and be done
# later, and a transaction that it left must not hold any. On the role, since an RDS Proxy passes no
# settings of a connection on.
_TIME_OUTS = {
    "lock_timeout": "4s",
    "statement_timeout": "6s",
    "idle_in_transaction_session_timeout": "6s",
}
# A migration may build an index; but while it waits for a table, everybody waits behind it.
_MAY_TAKE_LONG = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = 0;
SELECT pg_advisory_xact_lock(7314201986);
SET LOCAL lock_timeout = '20s';
"""


def upgrade(database_url: str, revision: str = "head") -> str:
    """Brings the schema up to a revision in one transaction; returns the revision reached.

    A lock in the database lets one of several deployments through at a time. A schema that is newer
    than this code stays as it is: that is what a deployment finds that is rolled back, and every
    revision keeps what the code before it needs.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with _transaction(database_url) as connection:
        connection.exec_driver_sql(_MAY_TAKE_LONG)
        present = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if present is not None and present not in known:
            return present
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        reached = MigrationContext.configure(connection).get_current_revision()
    return reached or "none"


def grant(admin_url: str, api_url: str) -> None:
    """Makes the API's role, which `api_url` names with its password, and lets it use the tables.

    Where the API connects as the owner of the schema, only its time-outs are set.
    """
    admin, api = make_url(admin_url), make_url(api_url)
    if api.username is None:
        return
    with _transaction(admin_url) as connection:
        quote = connection.dialect.identifier_preparer.quote_identifier
        role = quote(api.username)
        database = quote(connection.execute(text("SELECT current_database()")).scalar_one())
        if api.username != admin.username:
            _make_role(connection, admin, api, role)
            connection.exec_driver_sql(_GRANTS.format(role=role))
        for name, value in _TIME_OUTS.items():
            connection.exec_driver_sql(
                f"ALTER ROLE {role} IN DATABASE {database} SET {name} = '{value}'"
            )


def _make_role(connection: Connection, admin: URL, api: URL, role: str) -> None:
    """Raises RoleNotMade."""
    exists = connection.execute(
        text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": api.username}
    ).scalar()
    verb = "ALTER" if exists else "CREATE"
    # A password cannot be a parameter of this statement, so Postgres itself quotes it.
    quoted = connection.execute(
        text("SELECT quote_literal(:password)"), {"password": api.password or ""}
    ).scalar_one()
    try:
        connection.exec_driver_sql(f"{verb} ROLE {role} LOGIN PASSWORD {quoted}")
    except DBAPIError:
        # The error quotes the statement, and the statement holds the password.
        raise RoleNotMade(f"{admin.username} may not {verb} the role {role}") from None


@contextmanager
def _transaction(database_url: str) -> Iterator[Connection]:
    url = make_url(database_url).set(drivername="postgresql+pg8000")
    sslmode = url.query.get("sslmode", "prefer")
    url = url.difference_update_query(["sslmode"])
    connect_args = {} if sslmode in ("disable", "allow", "prefer") else {"ssl_context": True}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    with engine.begin() as connection:
        yield connection
