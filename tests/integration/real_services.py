"""Postgres, RabbitMQ and S3 as the local cloud runs them, for the time of the tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pg8000.native import Connection

from tests.e2e.running_cloud import RunningCloud

TABLES = (
    "account_usage",
    "changes",
    "changes_in_broker",
    "closed_accounts",
    "direct_uploads",
    "forgotten_objects",
    "images",
    "idempotency_keys",
    "image_totals",
    "inbox",
    "listed_images",
    "new_renditions",
    "objects_without_row",
    "outbox",
    "owed_letters",
    "refresh_families",
    "requested_renditions",
    "renditions",
    "searchable_titles",
    "sign_in_failures",
    "sign_in_networks",
    "tag_totals",
    "used_refresh_tokens",
    "users",
    "waiting_requests",
)


@dataclass(frozen=True)
class RealServices:
    """Where they answer; `administrator_url` is of a role that may create databases."""

    database_url: str
    administrator_url: str
    rabbitmq_url: str
    endpoint_url: str
    access_key_id: str
    secret_access_key: str

    def with_database(self, name: str) -> str:
        """The URL of the role that owns the schema."""
        return _with_database(self.database_url, name)

    def administrator_of(self, database: str) -> str:
        return _with_database(self.administrator_url, database)

    def with_role(self, database: str, role: str, password: str) -> str:
        parts = urlsplit(self.with_database(database))
        return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))

    @property
    def owner(self) -> str:
        return str(urlsplit(self.database_url).username)

    def administer(self, *statements: str, database: str = "postgres") -> None:
        connection = connect(self.administrator_of(database))
        try:
            for statement in statements:
                connection.run(statement)
        finally:
            connection.close()


def connect(url: str) -> Connection:
    """A connection of the test's own, beside those of the application."""
    parts = urlsplit(url)
    return Connection(
        unquote(parts.username or ""),
        host=parts.hostname,
        port=parts.port or 5432,
        password=unquote(parts.password or ""),
        database=parts.path.removeprefix("/"),
        ssl_context=False,
    )


@contextmanager
def running_services(data_folder: Path) -> Iterator[RealServices]:
    """Starts them, or uses those that SERVICES_STATE (a state.json) tells of: quicker to repeat."""
    running = os.environ.get("SERVICES_STATE")
    if running:
        yield _services(Path(running))
        return
    cloud = RunningCloud(data_folder, command="services")
    cloud.start()
    try:
        yield _services(cloud.state_path)
    finally:
        cloud.stop()


def _services(state_path: Path) -> RealServices:
    environment: dict[str, str] = json.loads(state_path.read_bytes())["environment"]
    database_url = environment["DATABASE_URL"]
    return RealServices(
        database_url=database_url,
        administrator_url=_administrator_url(state_path.parent, database_url),
        rabbitmq_url=environment["RABBITMQ_URL"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def _administrator_url(data_folder: Path, database_url: str) -> str:
    """The application's own role owns its database and may create no other."""
    path = data_folder / "postgres" / "superuser.json"
    record: dict[str, Any] = json.loads(path.read_bytes())
    parts = urlsplit(database_url)
    return urlunsplit(
        parts._replace(
            netloc=f"{record['user']}:{record['password']}@{parts.hostname}:{parts.port}"
        )
    )


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
