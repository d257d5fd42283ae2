"""What the code needs of a database, when a pooler stands before it: with POOLER alone."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from pg8000.native import Connection

from image_api.errors import ServiceUnavailable
from image_api.postgres import database as database_module
from image_api.postgres.database import Database, PasswordRefused
from image_api.postgres.waiting_requests import PostgresWaitingPlaces
from image_api.settings import WaiterLimits
from tests.integration.pooler import CONNECTIONS
from tests.waiting import eventually

CLIENTS, ROUNDS = 12, 30


def test_nobody_gets_in_without_tls_and_a_trusted_certificate(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.row("SELECT 1") == [1]
    without_tls = Database(database_url.replace("verify-full", "disable"))
    with pytest.raises(ServiceUnavailable):
        without_tls.row("SELECT 1")
    # To whom the system's issuers are all there are.
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(
        database_module, "_verifying_context", lambda _roots: ssl.create_default_context()
    )
    with pytest.raises(ServiceUnavailable):
        Database(database_url).row("SELECT 1")


def test_a_password_that_was_changed_is_asked_for_anew_at_the_pooler_too(database_url: str) -> None:
    """It says in a way of its own that a password is wrong, as RDS Proxy does."""
    stale = database_url.replace(urlsplit(database_url).password or "", "another")
    with pytest.raises(PasswordRefused):
        Database(stale).row("SELECT 1")
    database = Database(stale, lambda: database_url)
    assert database.row("SELECT 1") == [1]
    database.close()


def test_clients_share_connections_and_each_finds_its_prepared_statements(
    make_database: Callable[[], Database],
) -> None:
    """Each statement is prepared once a client, and may run on any connection."""
    databases = [make_database() for _ in range(CLIENTS)]

    def ask(number: int) -> set[int]:
        backends = set()
        for round_number in range(ROUNDS):
            asked = number * ROUNDS + round_number
            # The same text from all, and one that is this client's alone.
            shared = databases[number].row("SELECT pg_backend_pid(), :asked::int", asked=asked)
            own = databases[number].row(f"SELECT :asked::int + {number}", asked=asked)
            assert shared is not None
            assert (shared[1], own) == (asked, [asked + number])
            backends.add(int(shared[0]))
        return backends

    with ThreadPoolExecutor(CLIENTS) as threads:
        used = set[int]().union(*threads.map(ask, range(CLIENTS)))
    assert len(used) <= CONNECTIONS


def test_a_transaction_keeps_its_connection_and_leaves_nothing_on_it(
    make_database: Callable[[], Database],
) -> None:
    databases = [make_database() for _ in range(CONNECTIONS)]
    for database in databases:
        with database.transaction():
            backends = {database.number("SELECT pg_backend_pid()") for _ in range(5)}
            database.rows("SELECT set_config('synchronous_commit', 'off', true)")
        assert len(backends) == 1
    for _ in range(5):
        assert databases[0].row("SHOW synchronous_commit") == ["on"]


def test_what_the_code_sets_and_locks_for_a_transaction_ends_with_it(
    make_database: Callable[[], Database], sql: Connection
) -> None:
    """A session's settings and locks would stay on a connection that others are lent."""
    databases = [make_database() for _ in range(CONNECTIONS)]
    for user_id, database in enumerate(databases):
        assert PostgresWaitingPlaces(database, WaiterLimits(10, 10)).take(user_id) is not None

    locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    locks += "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    assert sql.run(locks) == [[0]]
    settings = [database.row("SHOW synchronous_commit") for database in databases for _ in range(5)]
    assert settings == [["on"]] * len(settings)


def test_the_roles_time_outs_hold_on_shared_connections(deployed_database: Database) -> None:
    """A pooler passes no settings of a connection on."""
    assert deployed_database.row("SHOW statement_timeout") == ["6s"]
    assert deployed_database.row("SHOW idle_in_transaction_session_timeout") == ["6s"]


def test_a_connection_of_the_poolers_that_ended_is_nobodys_affair_for_long(
    database: Database, sql: Connection
) -> None:
    """As when RDS Proxy goes on with the standby."""
    database.rows("SELECT 1")

    def ended() -> bool:
        (count,) = sql.run(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )[0]
        return bool(count)

    def answered() -> bool:
        try:
            return database.row("SELECT 1") == [1]
        except ServiceUnavailable:
            return False

    assert ended()
    eventually(answered, "the database answers again")
