"""The connection: reused, renewed, rolled back, and never waited for without end."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import pytest
from pg8000.native import Connection

import image_migrations
from image_api.errors import ConfigurationError, ServiceUnavailable
from image_api.postgres import database as database_module
from image_api.postgres.database import Database, StatementFailed, UniqueViolation
from image_migrations import grants
from tests.e2e.cuttable_proxy import CuttableProxy
from tests.integration.real_services import connect
from tests.waiting import eventually

T = TypeVar("T")


@contextmanager
def through(proxy_port: int, url: str) -> Iterator[Database]:
    """A database that is reached over a port that the test controls."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    database = Database(urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy_port}")))
    yield database
    database.close()


@pytest.fixture
def proxy(database_url: str) -> Iterator[CuttableProxy]:
    with CuttableProxy(urlsplit(database_url).port or 5432) as made:
        yield made


def backend(database: Database) -> int:
    row = database.row("SELECT pg_backend_pid()")
    assert row is not None
    return int(row[0])


def in_time(ask: Callable[[], T]) -> T | None:
    """What the database answers within the time that there is."""
    try:
        return ask()
    except ServiceUnavailable:
        return None


def users(sql: Connection) -> int:
    return int(sql.run("SELECT count(*) FROM users")[0][0])


ADD_USER = "INSERT INTO users (username, username_key, password_hash) VALUES (:n, :n, 'h')"


def test_one_connection_is_used_again_and_again(database: Database) -> None:
    assert len({backend(database) for _ in range(5)}) == 1


def test_a_statement_is_prepared_once(database: Database, sql: Connection) -> None:
    for number in range(5):
        assert database.rows("SELECT :number::integer + 1", number=number) == [[number + 1]]
    row = database.row(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE :pattern",
        pattern="%::integer + 1",
    )
    assert row == [1]


def test_a_connection_that_the_server_ended_is_replaced_unnoticed(
    database: Database, sql: Connection
) -> None:
    before = backend(database)
    sql.run("SELECT pg_terminate_backend(:pid, 600000)", pid=before)
    assert database.rows("SELECT 1") == [[1]]
    assert backend(database) != before


def test_a_connection_that_died_without_a_word_is_replaced_unnoticed(
    proxy: CuttableProxy, database_url: str
) -> None:
    with through(proxy.port, database_url) as database:
        before = backend(database)
        proxy.cut()
        proxy.restore()
        assert backend(database) != before


def test_while_the_server_is_away_every_statement_says_so_and_later_ones_work(
    proxy: CuttableProxy, database_url: str
) -> None:
    with through(proxy.port, database_url) as database:
        database.ping()
        proxy.cut()
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                database.ping()
        proxy.restore()
        database.ping()


def test_a_statement_that_is_cut_off_is_not_repeated(
    database: Database, sql: Connection, make_database: Callable[[], Database]
) -> None:
    pid = backend(database)
    with pytest.raises(ServiceUnavailable):
        database.rows("SELECT pg_terminate_backend(:pid::integer)", pid=pid)
    assert backend(database) != pid


def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "SOCKET_TIMEOUT_SECONDS", 0.3)
        before = eventually(lambda: in_time(lambda: backend(database)), "it is let in in time")
        with pytest.raises(ServiceUnavailable, match="did not answer"):
            database.rows("SELECT pg_sleep(600)")
    # The answer to the statement before must not be taken for that of the next.
    assert database.rows("SELECT 7") == [[7]]
    assert backend(database) != before


def test_a_server_that_takes_connections_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "SOCKET_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = Database(f"postgresql://ada:secret@127.0.0.1:{port}/images")
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            database.ping()


@pytest.mark.parametrize("part", ["password", "database", "port"])
def test_a_server_that_does_not_let_in_is_an_outage_that_reveals_nothing(
    database_url: str, part: str
) -> None:
    parts = urlsplit(database_url)
    wrong = {
        "password": parts._replace(netloc=f"{parts.username}:wrong@{parts.netloc.split('@')[1]}"),
        "database": parts._replace(path="/nowhere"),
        "port": parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:1"),
    }[part]
    with pytest.raises(ServiceUnavailable) as refused:
        Database(urlunsplit(wrong)).ping()
    assert refused.value.detail == "The database cannot be reached; try again"


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql:///images", "images"])
def test_a_url_of_another_kind_is_refused_in_words(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL must look like"):
        Database(url).ping()


def test_a_transaction_commits_when_its_block_ends(database: Database, sql: Connection) -> None:
    with database.transaction():
        database.rows(ADD_USER, n="ada")
        assert users(sql) == 0
    assert users(sql) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_transaction_rolls_back_whatever_ends_its_block(
    database: Database, sql: Connection, error: type[BaseException]
) -> None:
    def interrupted() -> None:
        with database.transaction():
            database.rows(ADD_USER, n="ada")
            raise error

    with pytest.raises(error):
        interrupted()
    assert users(sql) == 0
    # And the connection is good for the next.
    database.rows(ADD_USER, n="bob")
    assert users(sql) == 1


def test_a_failed_statement_rolls_its_transaction_back(database: Database, sql: Connection) -> None:
    def conflicting() -> None:
        with database.transaction():
            database.rows(ADD_USER, n="ada")
            database.rows(ADD_USER, n="ada")

    with pytest.raises(UniqueViolation):
        conflicting()
    assert users(sql) == 0


def test_a_transaction_whose_connection_dies_leaves_nothing(
    database: Database, sql: Connection
) -> None:
    def cut_off() -> None:
        with database.transaction():
            database.rows(ADD_USER, n="ada")
            sql.run("SELECT pg_terminate_backend(:pid, 600000)", pid=backend(database))
            database.rows(ADD_USER, n="bob")

    with pytest.raises(ServiceUnavailable):
        cut_off()
    assert users(sql) == 0


def test_a_broken_unique_rule_is_named(database: Database) -> None:
    database.rows(ADD_USER, n="ada")
    with pytest.raises(UniqueViolation) as refused:
        database.rows(ADD_USER, n="ada")
    assert refused.value.constraint == "users_username_key_unique"


def test_another_broken_rule_is_nobodys_fault_and_escapes_without_the_row(
    database: Database,
) -> None:
    secret = "x" * 65
    with pytest.raises(StatementFailed) as refused:
        database.rows(ADD_USER, n=secret)
    assert (refused.value.sqlstate, refused.value.constraint) == ("23514", "users_username_check")
    # As a log would show it.
    shown = "".join(traceback.format_exception(refused.value))
    assert "SQLSTATE 23514 users_username_check" in shown
    assert secret not in shown
    assert database.rows("SELECT 1") == [[1]]


def test_a_server_that_shuts_down_is_an_outage(database: Database, sql: Connection) -> None:
    # 57014: the administrator, or a time-out, cancelled the statement.
    database.rows("SET statement_timeout = '50ms'")
    with pytest.raises(ServiceUnavailable, match="cannot answer just now"):
        database.rows("SELECT pg_sleep(600)")


def test_what_is_no_text_for_postgres_does_not_break_the_connection(database: Database) -> None:
    with pytest.raises(StatementFailed):
        database.rows("SELECT :text::text", text="a\x00b")
    assert database.rows("SELECT 1") == [[1]]


@pytest.mark.parametrize(
    ("query", "host", "encrypted"),
    [
        ("prefer", "localhost", False),
        ("prefer", "127.0.0.1", False),
        ("disable", "db.example.com", False),
        ("prefer", "db.example.com", True),
        ("require", "localhost", True),
        ("require", "db.example.com", True),
        ("verify-full", "db.example.com", True),
    ],
)
def test_what_crosses_a_network_is_encrypted(query: str, host: str, encrypted: bool) -> None:
    assert bool(database_module._ssl_context(query, host)) is encrypted


def test_verify_full_checks_certificate_and_name() -> None:
    context = database_module._ssl_context("verify-full", "db.example.com")
    assert not isinstance(context, bool)
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


def test_the_server_gives_up_before_the_client_does(deployed_database: Database) -> None:
    """What the client no longer waits for is not done later."""
    for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        row = deployed_database.row(
            "SELECT extract(epoch FROM current_setting(:name)::interval)::float8", name=name
        )
        assert row is not None
        assert 1 < row[0] < 8, name


@pytest.mark.parametrize(
    ("name", "value"),
    [("plan_cache_mode", "force_generic_plan"), ("max_parallel_workers_per_gather", "0")],
)
def test_a_statement_is_planned_once_and_needs_no_workers(
    database: Database, name: str, value: str
) -> None:
    assert database.rows("SELECT current_setting(:name)", name=name) == [[value]]


@pytest.mark.usefixtures("deployed_roles")
def test_the_owner_of_the_schema_has_the_time_outs_too_but_not_its_migrations(
    empty_database_url: str,
) -> None:
    image_migrations.upgrade(empty_database_url)
    image_migrations.grant(empty_database_url, dict.fromkeys(grants.PURPOSES, empty_database_url))
    connection = connect(empty_database_url)
    assert connection.run("SHOW statement_timeout") == [["6s"]]
    connection.close()
    with image_migrations._transaction(empty_database_url) as migrating:
        migrating.exec_driver_sql(image_migrations._MAY_TAKE_LONG)
        shown = migrating.exec_driver_sql("SHOW statement_timeout").scalar_one()
        assert shown == "0"
        # One whose function is no more ends, and one that waits for it does, too.
        for name in ("client_connection_check_interval", "lock_timeout"):
            shown = migrating.exec_driver_sql(
                f"SELECT extract(epoch FROM current_setting('{name}')::interval)::float8"
            ).scalar_one()
            assert 1 <= shown <= 30, name


def test_a_statement_that_waits_for_a_lock_gives_up_and_is_never_done(
    database: Database, sql: Connection
) -> None:
    database.rows(ADD_USER, n="ada")
    database.rows("SET lock_timeout = '50ms'")
    before = backend(database)
    sql.run("BEGIN")
    sql.run("SELECT id FROM users FOR UPDATE")
    with pytest.raises(ServiceUnavailable):
        database.rows("UPDATE users SET password_hash = 'late'")
    waiting = sql.run("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = :pid", pid=before)
    assert waiting == [[0]]
    sql.run("COMMIT")
    assert database.rows("SELECT password_hash FROM users") == [["h"]]
    assert backend(database) == before


def test_a_statement_that_takes_too_long_gives_up_and_is_not_done(database: Database) -> None:
    before = backend(database)
    database.rows("SET statement_timeout = '300ms'")
    with pytest.raises(ServiceUnavailable):
        database.rows(
            "WITH added AS (INSERT INTO users (username, username_key, password_hash) "
            "VALUES ('a', 'a', 'h')) SELECT pg_sleep(600)"
        )
    # That, too, may take longer than it may.
    unlimited = "SELECT set_config('statement_timeout', '0', false)"
    eventually(lambda: in_time(lambda: database.rows(unlimited)), "it may take its time again")
    assert database.rows("SELECT count(*) FROM users") == [[0]]
    assert backend(database) == before


def test_a_transaction_that_is_left_open_holds_its_locks_only_so_long(
    database: Database, sql: Connection
) -> None:
    database.rows(ADD_USER, n="ada")
    database.rows("BEGIN")
    database.rows("UPDATE users SET password_hash = 'half'")
    database.rows("SET idle_in_transaction_session_timeout = '50ms'")
    # It waits for the lock, and gets it without anybody's help.
    sql.run("UPDATE users SET password_hash = 'whole'")
    assert database.rows("SELECT password_hash FROM users") == [["whole"]]


def test_a_password_that_was_changed_is_asked_for_anew(database_url: str) -> None:
    parts = urlsplit(database_url)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:old@{parts.hostname}:{parts.port}"))
    asked = 0

    def url_now() -> str:
        nonlocal asked
        asked += 1
        return database_url

    database = Database(wrong, url_now)
    database.ping()
    database.close()
    # It knows from now on.
    database.ping()
    database.close()
    assert asked == 1

    still_wrong = Database(wrong, lambda: wrong)
    with pytest.raises(ServiceUnavailable):
        still_wrong.ping()
    with pytest.raises(ServiceUnavailable):
        Database(wrong).ping()
