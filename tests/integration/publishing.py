"""The change log and its sink, put together as by the wiring, over a publisher of the test."""

from __future__ import annotations

from image_api.core.change_log.publishing import EventPublisher, PublishingSink
from image_api.postgres.changes import PostgresPublications
from image_api.postgres.database import Database
from image_api.postgres.processing import PostgresChangeLog


def sink_of(database: Database, publisher: EventPublisher) -> PublishingSink:
    return PublishingSink(PostgresPublications(database), publisher)


def change_log_of(database: Database, publisher: EventPublisher) -> PostgresChangeLog:
    return PostgresChangeLog(database, sink_of(database, publisher))
