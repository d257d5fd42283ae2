"""What the API's roles in the database and its users of the broker may do, by trying it; what each
may not of the others' in tests/integration/test_grants.py and test_broker_users.py.

That each function has just the rights in AWS that it uses is in tests/integration/test_rights.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from image_api.core.change_log.events import EXCHANGE
from image_api.rabbitmq.users import by_purpose
from image_migrations.grants import GRANTS, PURPOSES
from tests.amqp import open_channel
from tests.e2e.running_cloud import RunningCloud
from tests.integration.real_services import connect


@pytest.fixture(params=PURPOSES)
def api_role(cloud: RunningCloud, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """What somebody has who took over a function."""
    url = cloud.environment["DATABASE_URL"].replace("{purpose}", request.param)
    with closing(connect(url)) as connection:
        yield connection


def test_each_purpose_and_the_migrations_have_roles_of_their_own(cloud: RunningCloud) -> None:
    url = cloud.environment["DATABASE_URL"]
    roles = {urlsplit(url.replace("{purpose}", purpose)).username for purpose in PURPOSES}
    owner = urlsplit(cloud.environment["DATABASE_ADMIN_URL"]).username
    assert len(roles) == len(PURPOSES)
    assert owner and owner not in roles


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER TABLE users ADD COLUMN mine text",
        "ALTER TABLE images DISABLE TRIGGER ALL",
        "ALTER TABLE users OWNER TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE INDEX mine ON images (title)",
        "DROP TABLE images",
        "DROP INDEX IF EXISTS users_pkey",
        "TRUNCATE users CASCADE",
        "COPY users TO '/tmp/users'",
        "COPY users FROM PROGRAM 'id'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "UPDATE alembic_version SET version_num = 'mine'",
    ],
)
def test_the_apis_role_cannot_change_the_schema(api_role: Connection, statement: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        api_role.run(statement)

    # insufficient_privilege: not that the statement was wrong.
    assert refused.value.args[0]["C"] == "42501", refused.value


def test_the_apis_role_cannot_hand_its_rights_on(api_role: Connection) -> None:
    # Where it has some right itself, Postgres only warns.
    for table in GRANTS:
        with suppress(DatabaseError):
            api_role.run(f"GRANT ALL ON {table} TO PUBLIC")

    assert api_role.run(
        "SELECT count(*) FROM pg_class, aclexplode(relacl) AS granted "
        "WHERE relnamespace = 'public'::regnamespace AND (granted.grantee = 0 "
        "OR granted.is_grantable AND granted.grantee = current_user::regrole)"
    ) == [[0]]


def test_the_apis_role_is_no_superuser_and_in_no_other(api_role: Connection) -> None:
    ((superuser, creates_roles, creates_databases, bypasses),) = api_role.run(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles "
        "WHERE rolname = current_user"
    )
    assert not (superuser or creates_roles or creates_databases or bypasses)
    assert api_role.run(
        "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
    ) == [[0]]


ACTS: dict[str, Callable[[BlockingChannel], object]] = {
    "make a queue of its own": lambda channel: channel.queue_declare("mine"),
    "make an exchange": lambda channel: channel.exchange_declare("mine"),
    "read what is to be done": lambda channel: channel.basic_get("image_events"),
    "hear every event": lambda channel: channel.queue_bind("image_events", EXCHANGE, "#"),
    "read the dead letters": lambda channel: channel.basic_get("image_events.dead"),
    "delete the work queue": lambda channel: channel.queue_delete("image_events"),
}
REFUSED = {
    "publishing": set(ACTS),
    "processing": set(ACTS) - {"read what is to be done"},
    "operations": {"make a queue of its own", "make an exchange"},
}


@pytest.mark.parametrize(
    ("purpose", "act"),
    [(purpose, act) for purpose, acts in REFUSED.items() for act in ACTS if act in acts],
)
def test_no_user_of_the_broker_may_more_than_its_purpose_needs(
    cloud: RunningCloud, purpose: str, act: str
) -> None:
    url = cloud.environment["RABBITMQ_URL"].replace("{purpose}", purpose)
    with open_channel(url) as channel, pytest.raises(ChannelClosedByBroker) as refused:
        ACTS[act](channel)
    assert refused.value.reply_code == 403, refused.value


def test_each_purpose_and_the_tools_are_users_of_the_broker_of_their_own(
    cloud: RunningCloud,
) -> None:
    url = cloud.environment["RABBITMQ_URL"]
    users = {urlsplit(url.replace("{purpose}", purpose)).username for purpose in by_purpose()}
    assert by_purpose().keys() == REFUSED.keys()
    assert len(users) == len(REFUSED)
    assert urlsplit(cloud.environment["RABBITMQ_ADMIN_URL"]).username not in users
