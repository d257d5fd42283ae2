"""When a connection to the database is used again, and when another one is made."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError

from image_api.errors import ServiceUnavailable
from image_api.postgres import database
from image_api.postgres.database import Database, StatementFailed, UniqueViolation


class FakeConnection:
    """pg8000's, to a server that answers `SELECT 1`; any other statement is the SQLSTATE it fails
    with."""

    made: list[FakeConnection]

    def __init__(self, **_: object) -> None:
        self._usock: socket.socket | None
        self._usock, self.server = socket.socketpair()
        self.made.append(self)

    def prepare(self, statement: str) -> FakeStatement:
        return FakeStatement(statement)

    def close(self) -> None:
        if self._usock is not None:
            self._usock.close()
        self._usock = None
        self.server.close()


class FakeStatement:
    def __init__(self, statement: str) -> None:
        self._statement = statement

    def run(self, **_: Any) -> list[list[int]]:
        if self._statement == "SELECT 1":
            return [[1]]
        raise DatabaseError({"C": self._statement, "n": "users_name_key"})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeConnection]]:
    """The connections, in the order in which they were made."""
    monkeypatch.setattr(FakeConnection, "made", [], raising=False)
    monkeypatch.setattr(database, "Connection", FakeConnection)
    yield FakeConnection.made
    for connection in FakeConnection.made:
        connection.close()


@pytest.fixture
def asked(made: list[FakeConnection]) -> Database:
    """Has a connection, which has answered once."""
    asked = Database("postgresql://nobody@localhost/none")
    assert asked.row("SELECT 1") == [1]
    return asked


@pytest.mark.parametrize(
    ("sqlstate", "error", "connections"),
    [
        # The server is being shut down, and has no room: this connection is of no more use.
        ("57P01", ServiceUnavailable, 2),
        ("53300", ServiceUnavailable, 2),
        ("08006", ServiceUnavailable, 2),
        # A deadlock, a lock that did not come free, a statement that took too long.
        ("40P01", ServiceUnavailable, 1),
        ("55P03", ServiceUnavailable, 1),
        ("57014", ServiceUnavailable, 1),
        ("23505", UniqueViolation, 1),
        ("23503", StatementFailed, 1),
    ],
)
def test_an_error_costs_the_connection_only_if_the_server_gave_it_up(
    asked: Database,
    made: list[FakeConnection],
    sqlstate: str,
    error: type[Exception],
    connections: int,
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        asked.rows(sqlstate)
    assert type(raised.value) is error

    assert asked.row("SELECT 1") == [1]
    assert len(made) == connections


@pytest.mark.parametrize("end", ["goodbye", "closed by itself"])
def test_a_connection_that_ended_between_statements_is_replaced(
    asked: Database, made: list[FakeConnection], end: str
) -> None:
    (first,) = made
    if end == "goodbye":
        first.server.close()
    else:
        # As pg8000 leaves it when it was told of a fatal error.
        first.close()

    assert asked.row("SELECT 1") == [1]
    assert len(made) == 2


def test_the_rest_of_a_transaction_is_not_run_on_another_connection(
    monkeypatch: pytest.MonkeyPatch, made: list[FakeConnection]
) -> None:
    monkeypatch.setattr(FakeStatement, "run", lambda *_, **__: [[1]])
    asked = Database("postgresql://nobody@localhost/none")

    def lose_the_connection() -> None:
        with asked.transaction():
            asked.rows("INSERT")
            made[0].close()
            asked.rows("INSERT")

    with pytest.raises(ServiceUnavailable, match=r"^The connection to the database was lost"):
        lose_the_connection()

    assert len(made) == 1
