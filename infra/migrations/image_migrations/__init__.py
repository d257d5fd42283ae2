"""The database schema, as Alembic revisions with plain SQL inside."""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import Iterator, Mapping
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

from . import grants


class RoleNotMade(Exception):
    """The owner of the schema lacks the right to create roles."""


# The API gives up after 8 s: what it no longer waits for must not wait for a lock, and be done
# later, and a transaction that it left must not hold any. On the role, since an RDS Proxy passes no
# settings of a connection on. Workers, which start anew for each statement, take longer than any of
# ours; and planning it takes longer than most: it is done once, for any parameters, which the tests
# of plans look at.
_OF_ROLES = {
    "lock_timeout": "4s",
    "statement_timeout": "6s",
    "idle_in_transaction_session_timeout": "6s",
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",
}
# A migration may build an index; but while it waits for a table, everybody waits behind it. For
# another deployment's it waits half as long as its function may take, so that it ends in words; and
# one whose function is no more ends, too, so that a roll-back need not wait for it.
_MAY_TAKE_LONG = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL client_connection_check_interval = '10s';
SET LOCAL lock_timeout = '300s';
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


def grant(admin_url: str, urls: Mapping[str, str]) -> None:
    """Makes each purpose's role, which its URL names with its password, with the rights it needs.

    Purposes may share a role. Where the API connects as the owner of the schema, only its settings
    are. Raises RoleNotMade.
    """
    admin = make_url(admin_url)
    roles: dict[str, URL] = {}
    purposes_of: defaultdict[str, list[str]] = defaultdict(list)
    for purpose, url in urls.items():
        api = make_url(url)
        if api.username is not None:
            roles[api.username] = api
            purposes_of[api.username].append(purpose)
    with _transaction(admin_url) as connection:
        quote = connection.dialect.identifier_preparer.quote_identifier
        database = quote(connection.execute(text("SELECT current_database()")).scalar_one())
        for name, api in roles.items():
            role = quote(name)
            if name != admin.username:
                _make_role(connection, admin, api, role)
                for statement in grants.statements(role, purposes_of[name]):
                    connection.exec_driver_sql(statement)
            for setting, value in _OF_ROLES.items():
                connection.exec_driver_sql(
                    f"ALTER ROLE {role} IN DATABASE {database} SET {setting} = '{value}'"
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
    sslmode, roots = (str(url.query.get(name, "")) for name in ("sslmode", "sslrootcert"))
    url = url.difference_update_query(["sslmode", "sslrootcert"])
    is_plain = sslmode in ("", "disable", "allow", "prefer")
    connect_args = {} if is_plain else {"ssl_context": _ssl_context(sslmode, roots)}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    with engine.begin() as connection:
        yield connection


def _ssl_context(sslmode: str, roots: str) -> ssl.SSLContext:
    """libpq's modes: `require` encrypts, `verify-ca` and `verify-full` check who answers."""
    context = ssl.create_default_context()
    if not sslmode.startswith("verify-"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif roots:
        context.load_verify_locations(roots)
    return context
