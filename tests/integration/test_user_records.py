"""Users and the throttle of sign-ins, in real Postgres."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pg8000.native import Connection

from image_api.core.accounts import passwords, users
from image_api.core.accounts.sessions import Sessions
from image_api.core.accounts.tokens import TokenSigner
from image_api.core.accounts.users import Credentials, Registration
from image_api.errors import TooManyAttempts, UsernameTaken, WrongCredentials
from image_api.postgres.database import Database
from image_api.postgres.users import PostgresUserRecords
from image_api.settings import RegistrationThrottle, SignInThrottle
from tests.fakes import FakeSessionRecords

HOME, OFFICE = "203.0.113.7", "198.51.100.9"
PASSWORD = "analytical!engine"
WINDOW_SECONDS = 15 * 60
SESSIONS = Sessions(
    FakeSessionRecords(),
    TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600),
)


def records_on(
    database: Database,
    *,
    failures_per_address: int = 1000,
    registrations_per_address: int = 100,
) -> PostgresUserRecords:
    """Five failures a name; an address may fail more often unless a test says otherwise."""
    return PostgresUserRecords(
        database,
        SignInThrottle(5, failures_per_address, WINDOW_SECONDS),
        RegistrationThrottle(registrations_per_address, WINDOW_SECONDS),
    )


@pytest.fixture
def records(database: Database) -> PostgresUserRecords:
    return records_on(database)


def fail(records: PostgresUserRecords, name: str = "ada", address: str = HOME) -> int:
    """One wrong guess; the seconds to wait, or 0 when the password was looked at."""
    try:
        users.sign_in(records, SESSIONS, Credentials(username=name, password="wrong"), address)
    except WrongCredentials:
        return 0
    except TooManyAttempts as refused:
        return refused.retry_after_seconds
    raise AssertionError("the wrong password was let in")


def let_time_pass(sql: Connection, minutes: int) -> None:
    """Sets what was written down back in time."""
    sql.run(
        "UPDATE sign_in_failures SET "
        "window_started_at = window_started_at - make_interval(mins => :minutes), "
        "blocked_until = blocked_until - make_interval(mins => :minutes)",
        minutes=minutes,
    )


def test_a_registered_user_signs_in(records: PostgresUserRecords) -> None:
    users.register(records, SESSIONS, Registration(username="Ada", password=PASSWORD), HOME)
    assert users.sign_in(records, SESSIONS, Credentials(username="ADA", password=PASSWORD), HOME)


def test_a_name_is_kept_as_it_was_given(records: PostgresUserRecords, sql: Connection) -> None:
    users.register(records, SESSIONS, Registration(username=" Zoë ", password=PASSWORD), HOME)
    assert sql.run("SELECT username, username_key FROM users") == [["Zoë", "zoë"]]


def test_a_name_is_taken_once_however_many_ask_at_once(
    make_database: Callable[[], Database], sql: Connection
) -> None:
    def register(database: Database) -> bool:
        try:
            records_on(database).add("Ada", "ada", "hash")
        except UsernameTaken:
            return False
        return True

    databases = [make_database() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(register, databases)) == 1
    assert sql.run("SELECT count(*) FROM users") == [[1]]


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_five_failures_are_looked_at_and_then_each_wait_is_longer(
    records: PostgresUserRecords, sql: Connection, name: str
) -> None:
    records.add("Ada", "ada", passwords.hash_of(PASSWORD))
    assert [fail(records, name) for _ in range(5)] == [0] * 5
    waits = []
    for _ in range(9):
        waits.append(fail(records, name))
        # The wait is over, the window is not.
        sql.run("UPDATE sign_in_failures SET blocked_until = least(blocked_until, now())")
        assert fail(records, name) == 0
    minutes = [round(seconds / 60) for seconds in waits]
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_while_it_lasts_a_wait_is_neither_counted_nor_prolonged(
    records: PostgresUserRecords,
) -> None:
    for _ in range(5):
        fail(records)
    first = fail(records)
    assert 0 < first <= 60
    assert all(0 < fail(records) <= first for _ in range(10))


def test_even_the_right_password_waits(records: PostgresUserRecords) -> None:
    users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)
    for _ in range(5):
        fail(records)
    with pytest.raises(TooManyAttempts):
        users.sign_in(records, SESSIONS, Credentials(username="ada", password=PASSWORD), HOME)


def test_the_last_allowed_attempt_may_be_the_right_one(
    records: PostgresUserRecords, sql: Connection
) -> None:
    users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)
    for _ in range(4):
        fail(records)
    assert users.sign_in(records, SESSIONS, Credentials(username="ada", password=PASSWORD), HOME)
    # And clears what was counted, except for the registration.
    assert sql.run("SELECT sum(failures) FROM sign_in_failures") == [[1]]
    assert [fail(records) for _ in range(5)] == [0] * 5


def test_after_the_window_counting_starts_anew(
    records: PostgresUserRecords, sql: Connection
) -> None:
    for _ in range(4):
        fail(records)
    let_time_pass(sql, 16)
    assert [fail(records) for _ in range(5)] == [0] * 5
    assert fail(records) > 0


def test_within_the_window_failures_add_up(records: PostgresUserRecords, sql: Connection) -> None:
    for _ in range(4):
        fail(records)
    let_time_pass(sql, 14)
    assert fail(records) == 0
    assert fail(records) > 0


def test_another_name_and_another_address_are_not_blocked(records: PostgresUserRecords) -> None:
    for _ in range(6):
        fail(records, "ada")
    assert fail(records, "ada", OFFICE) == 0
    assert fail(records, "bob", HOME) == 0


def sign_in(records: PostgresUserRecords, address: str, name: str = "ada") -> int:
    """With the right password; the seconds to wait, or 0."""
    try:
        users.sign_in(records, SESSIONS, Credentials(username=name, password=PASSWORD), address)
    except TooManyAttempts as refused:
        return refused.retry_after_seconds
    return 0


def end_waits(sql: Connection) -> None:
    """The waits are over, the window is not."""
    sql.run("UPDATE sign_in_failures SET blocked_until = least(blocked_until, now())")


def test_whoever_guesses_from_elsewhere_keeps_nobody_out(
    records: PostgresUserRecords, sql: Connection
) -> None:
    users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)
    # As often as its waits allow within the window, and many times while they last.
    looked_at = 0
    for wait_minutes in (0, 1, 2, 4, 8):
        let_time_pass(sql, wait_minutes)
        looked_at += [fail(records, address=OFFICE) for _ in range(30)].count(0)
    assert looked_at == 9
    assert sign_in(records, HOME) == 0
    assert sign_in(records, "192.0.2.1") == 0


def test_guesses_from_many_networks_are_slowed_down_where_the_user_has_never_been(
    records: PostgresUserRecords, sql: Connection
) -> None:
    users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)
    networks = (f"192.0.2.{number}" for number in range(200))

    assert [fail(records, address=next(networks)) for _ in range(25)].count(0) == 20
    # From then on, one a minute.
    for _ in range(3):
        assert 0 < fail(records, address=next(networks)) <= 60
        end_waits(sql)
        assert fail(records, address=next(networks)) == 0
    assert 0 < sign_in(records, next(networks)) <= 60
    assert sign_in(records, HOME) == 0
    # Where the user has been is no way round it either: what is wrong there counts there.
    assert [fail(records, address=HOME) for _ in range(5)] == [0] * 5
    assert fail(records, address=HOME) > 0


def test_a_burst_from_one_network_counts_for_the_name_only_as_far_as_it_is_looked_at(
    make_database: Callable[[], Database],
) -> None:
    many = [records_on(make_database()) for _ in range(20)]
    with ThreadPoolExecutor(20) as threads:
        waits = list(threads.map(lambda records: fail(records, address=OFFICE), many))
    assert waits.count(0) == 5
    networks = [f"192.0.2.{number}" for number in range(20)]
    assert [fail(many[0], address=network) for network in networks].count(0) == 15


def test_signing_in_with_an_account_of_ones_own_wipes_out_no_guesses_at_others(
    database: Database, sql: Connection
) -> None:
    records = records_on(database, failures_per_address=5)
    users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)
    looked_at = 0
    for number in range(12):
        looked_at += fail(records, f"user{number}") == 0
        sign_in(records, HOME)
    assert looked_at == 5
    # Nor does it cost anything where nobody guesses.
    end_waits(sql)
    sql.run("DELETE FROM sign_in_failures")
    assert [sign_in(records, HOME) for _ in range(20)] == [0] * 20
    assert [fail(records, f"user{number}") for number in range(5)] == [0] * 5


def test_networks_from_which_nobody_has_signed_in_for_long_are_forgotten(
    records: PostgresUserRecords, sql: Connection
) -> None:
    users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)
    for address in (HOME, OFFICE, OFFICE):
        sign_in(records, address)
    assert sql.run("SELECT count(*) FROM sign_in_networks") == [[2]]
    sql.run("UPDATE sign_in_networks SET signed_in_at = now() - interval '91 days'")
    sign_in(records, HOME)
    records.forget_old_networks(100)
    assert sql.run("SELECT count(*) FROM sign_in_networks") == [[1]]


def test_an_address_that_tries_many_names_has_to_wait(
    database: Database,
) -> None:
    records = records_on(database, failures_per_address=5)
    assert [fail(records, f"user{number}") for number in range(5)] == [0] * 5
    assert fail(records, "somebody else") > 0
    assert fail(records, "somebody else", OFFICE) == 0


def test_of_twenty_guesses_at_once_at_most_five_are_looked_at(
    make_database: Callable[[], Database],
) -> None:
    databases = [make_database() for _ in range(20)]
    for database in databases:
        database.ping()

    def guess(database: Database) -> bool:
        attempt = records_on(database).begin_sign_in("ada", HOME, "ada")
        return attempt.retry_after_seconds == 0

    with ThreadPoolExecutor(20) as threads:
        looked_at = sum(threads.map(guess, databases))
    assert looked_at == 5


def test_guesses_from_everywhere_at_once_do_not_deadlock(
    make_database: Callable[[], Database],
) -> None:
    databases = [make_database() for _ in range(8)]

    def guess(numbered: tuple[int, Database]) -> None:
        number, database = numbered
        records = records_on(database)
        for turn in range(10):
            # The same two keys in every combination.
            name = f"user{(number + turn) % 2}"
            records.begin_sign_in(name, f"address{turn % 2}", name)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(guess, enumerate(databases)))


def test_an_address_registers_only_so_often(database: Database, sql: Connection) -> None:
    records = records_on(database, registrations_per_address=3)
    assert [records.begin_registration(HOME) for _ in range(3)] == [0, 0, 0]

    assert 890 < records.begin_registration(HOME) <= 900
    with pytest.raises(TooManyAttempts, match="registrations from this address"):
        users.register(records, SESSIONS, Registration(username="ada", password=PASSWORD), HOME)

    assert sql.run("SELECT count(*) FROM users") == [[0]]
    assert records.begin_registration(OFFICE) == 0


def test_an_address_that_keeps_asking_registers_again_after_the_window(
    database: Database, sql: Connection
) -> None:
    records = records_on(database, registrations_per_address=2)
    waits = []
    for _ in range(4):
        waits.append(records.begin_registration(HOME))
        let_time_pass(sql, 4)

    assert [wait > 0 for wait in waits] == [False, False, True, True]
    assert waits[3] <= 3 * 60
    assert records.begin_registration(HOME) == 0


def test_registrations_side_by_side_are_all_counted(
    make_database: Callable[[], Database],
) -> None:
    limited = [records_on(make_database(), registrations_per_address=3) for _ in range(8)]

    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(lambda records: records.begin_registration(HOME), limited))

    assert waits.count(0) == 3


def test_registering_and_signing_in_are_counted_apart(
    database: Database,
) -> None:
    records = records_on(database, registrations_per_address=1)
    for _ in range(5):
        fail(records)
    assert records.begin_registration(HOME) == 0
    assert fail(records, "bob") == 0


def test_what_was_typed_as_a_name_is_not_kept(
    records: PostgresUserRecords, sql: Connection
) -> None:
    fail(records, "hunter2 (a password in the wrong field)")
    ((text,), *_) = sql.run("SELECT string_agg(f::text, ' ') FROM sign_in_failures AS f")
    assert "hunter2" not in text
    assert b"hunter2".hex() not in text
    assert HOME not in text


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 1024, "'; DROP TABLE users; --"])
def test_any_text_can_be_tried_as_a_name(records: PostgresUserRecords, name: str) -> None:
    assert fail(records, name) == 0


def test_old_failures_are_forgotten_and_young_ones_are_not(
    records: PostgresUserRecords, sql: Connection
) -> None:
    fail(records, "ada", HOME)
    let_time_pass(sql, 25 * 60)
    fail(records, "bob", OFFICE)
    # Each for the name, for the network, and for both together.
    assert [records.forget_old_failures(2) for _ in range(3)] == [2, 1, 0]
    assert sql.run("SELECT count(*) FROM sign_in_failures") == [[3]]


def test_a_better_hash_replaces_the_old_one_and_no_other(
    records: PostgresUserRecords, sql: Connection
) -> None:
    user_id = records.add("Ada", "ada", "old")
    assert records.replace_hash(user_id, "old", "new")
    assert not records.replace_hash(user_id, "old", "late")
    assert sql.run("SELECT password_hash FROM users") == [["new"]]
