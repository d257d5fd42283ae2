"""Sessions in real Postgres: what holds while many ask at once, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pg8000.native import Connection

from image_api.core.accounts.sessions import RefreshToken, Sessions
from image_api.core.accounts.tokens import AccessClaims, TokenSigner
from image_api.errors import RefreshTokenRefused
from image_api.postgres.database import Database
from image_api.postgres.sessions import PostgresSessionRecords

SIGNER = TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600)


def sessions_on(database: Database) -> Sessions:
    return Sessions(PostgresSessionRecords(database), SIGNER)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return sessions_on(database)


@pytest.fixture
def ada(add_user: Callable[[str], int]) -> int:
    return add_user("Ada")


def begun(sessions: Sessions, user_id: int) -> str:
    return str(sessions.begin(user_id, 0).refresh_token)


def refreshed(sessions: Sessions, token: str) -> str:
    return str(sessions.refresh(token).refresh_token)


def is_refused(sessions: Sessions, token: str) -> bool:
    try:
        sessions.refresh(token)
    except RefreshTokenRefused:
        return True
    return False


def let_time_pass(sql: Connection, interval: str) -> None:
    sql.run(f"UPDATE used_refresh_tokens SET used_at = used_at - interval '{interval}'")
    sql.run(f"UPDATE refresh_families SET expires_at = expires_at - interval '{interval}'")


def test_twenty_refreshes_at_once_give_one_successor(
    make_database: Callable[[], Database], sessions: Sessions, ada: int, sql: Connection
) -> None:
    many = [sessions_on(make_database()) for _ in range(20)]
    token = begun(sessions, ada)
    # Not only at the first use, when each has to connect.
    for _ in range(3):
        with ThreadPoolExecutor(20) as threads:
            successors = set(threads.map(lambda each, token=token: refreshed(each, token), many))
        assert len(successors) == 1
        (token,) = successors
    assert sql.run("SELECT count(*) FROM refresh_families") == [[1]]
    assert sql.run("SELECT count(*) FROM used_refresh_tokens") == [[3]]


def test_whoever_waited_while_the_session_went_on_twice_gets_the_successor_all_the_same(
    make_database: Callable[[], Database], ada: int, sql: Connection
) -> None:
    """The one that waits for the row sees a token that is neither good nor, to its snapshot, used:
    that must not look like theft.
    """
    first, second = (sessions_on(make_database()) for _ in range(2))
    token = begun(first, ada)
    sql.run("BEGIN")
    sql.run("SELECT FROM refresh_families FOR UPDATE")
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(refreshed, each, token) for each in (first, second)]
        sql.run("COMMIT")
        successors = {future.result() for future in waiting}
    assert len(successors) == 1
    third = refreshed(first, *successors)
    assert refreshed(second, token) == successors.pop()
    assert refreshed(first, third)


def test_within_half_a_minute_a_used_token_gives_the_same_successor_and_later_ends_the_family(
    sessions: Sessions, ada: int, sql: Connection
) -> None:
    first, other = begun(sessions, ada), begun(sessions, ada)
    second = refreshed(sessions, first)
    let_time_pass(sql, "29 seconds")
    assert refreshed(sessions, first) == second
    let_time_pass(sql, "2 seconds")

    assert is_refused(sessions, first)
    assert is_refused(sessions, second)
    assert refreshed(sessions, other)


def test_a_token_of_long_ago_ends_its_family_although_nothing_is_kept_of_it(
    database: Database, sessions: Sessions, ada: int, sql: Connection
) -> None:
    first = begun(sessions, ada)
    latest = refreshed(sessions, refreshed(sessions, first))
    let_time_pass(sql, "20 days")
    records = PostgresSessionRecords(database)
    assert [records.forget_used(1) for _ in range(3)] == [1, 1, 0]

    assert is_refused(sessions, first)
    assert is_refused(sessions, latest)


def test_a_session_lasts_as_long_as_it_is_used_within_thirty_days(
    sessions: Sessions, ada: int, sql: Connection
) -> None:
    token = begun(sessions, ada)
    for _ in range(3):
        let_time_pass(sql, "29 days")
        token = refreshed(sessions, token)
    let_time_pass(sql, "30 days")
    assert is_refused(sessions, token)


def test_expired_sessions_are_forgotten_and_others_are_not(
    database: Database, sessions: Sessions, ada: int, sql: Connection
) -> None:
    for _ in range(3):
        refreshed(sessions, begun(sessions, ada))
    let_time_pass(sql, "31 days")
    good = begun(sessions, ada)

    records = PostgresSessionRecords(database)
    assert [records.forget_expired(2) for _ in range(3)] == [2, 1, 0]
    assert [records.forget_used(2) for _ in range(1)] == [0]
    assert refreshed(sessions, good)


def test_an_expired_token_that_is_not_forgotten_yet_is_refused(
    sessions: Sessions, ada: int, sql: Connection
) -> None:
    token = begun(sessions, ada)
    let_time_pass(sql, "31 days")
    assert is_refused(sessions, token)


def test_a_token_of_another_generation_is_good_no_longer_and_ends_nothing(
    sessions: Sessions, ada: int, sql: Connection
) -> None:
    before = begun(sessions, ada)
    used = begun(sessions, ada)
    successor = refreshed(sessions, used)
    sql.run("UPDATE users SET token_generation = 1")
    tokens = sessions.begin(ada, 1)

    for token in (before, used, successor):
        assert is_refused(sessions, token)
    again = sessions.refresh(str(tokens.refresh_token))
    assert SIGNER.verify(f"Bearer {again.access_token}") == AccessClaims(ada, 1)


def test_signing_out_ends_one_session_at_once(
    sessions: Sessions, ada: int, sql: Connection
) -> None:
    first, other = begun(sessions, ada), begun(sessions, ada)
    second = refreshed(sessions, first)
    sessions.end(first)

    assert is_refused(sessions, second)
    assert refreshed(sessions, other)
    # Its own row went with it.
    assert sql.run("SELECT count(*) FROM used_refresh_tokens") == [[1]]
    sessions.end(first)
    sessions.end(RefreshToken.of_new_family().text)


def test_a_dump_of_the_tables_holds_no_token(sessions: Sessions, ada: int, sql: Connection) -> None:
    first = begun(sessions, ada)
    second = refreshed(sessions, first)
    ((dump,),) = sql.run(
        "SELECT string_agg(t, ' ') FROM (SELECT f::text FROM refresh_families AS f "
        "UNION ALL SELECT u::text FROM used_refresh_tokens AS u) AS t (t)"
    )
    for token in (first, second):
        assert token not in dump
        assert RefreshToken.parsed(token).secret.hex() not in dump
