"""The table `outbox`: events that were accepted and are not known to be published."""

from __future__ import annotations

from typing import Any, Protocol

from image_api.core.events import Event
from image_api.errors import ServiceUnavailable
from image_api.observability import logger
from image_api.postgres.database import Database

# Left to the request that wrote them: it is about to publish them itself.
GRACE_SECONDS = 10
BATCH_SIZE = 200

_FORGET = """
DELETE FROM outbox WHERE event_id = :event_id
"""

# The last step of every statement that an event comes of, so that both are there or neither: what
# its step `changed` yields (image_id, sequence, data) becomes the event.
INSERT_EVENT = """
    INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
    SELECT coalesce(:event_id::uuid, gen_random_uuid()), :event_type::text,
           c.image_id, c.sequence, c.data, :correlation_id::text
    FROM changed AS c
    RETURNING image_id, sequence, data, rfc3339(created_at) AS created_at
"""

# Each of several relays takes rows that no other holds.
_TAKE = """
SELECT event_id::text, type, image_id, sequence, data, correlation_id, rfc3339(created_at)
FROM outbox
WHERE created_at < now() - make_interval(secs => :grace_seconds::integer)
ORDER BY id
LIMIT :batch_size
FOR UPDATE SKIP LOCKED
"""


class EventPublisher(Protocol):
    def publish_event(self, event: Event) -> None: ...


class Outbox:
    def __init__(self, database: Database, publisher: EventPublisher) -> None:
        self._database = database
        self._publisher = publisher

    def publish(self, event: Event) -> None:
        """Publishes a committed event. What fails here is left to the relay: it is not lost."""
        try:
            self._publisher.publish_event(event)
            self._database.rows(_FORGET, event_id=event.id)
        except ServiceUnavailable as error:
            logger.warning(
                "event left to the relay",
                event_id=event.id,
                event_type=event.type,
                reason=error.detail,
            )

    def relay_batch(self, grace_seconds: int = GRACE_SECONDS) -> int:
        """Publishes the oldest waiting events in order; returns how many, 0 when none is left.

        Raises ServiceUnavailable when the broker is away; what was published until then is
        published again later, which every consumer expects.
        """
        with self._database.transaction():
            rows = self._database.rows(_TAKE, grace_seconds=grace_seconds, batch_size=BATCH_SIZE)
            for row in rows:
                event = _event(row)
                self._publisher.publish_event(event)
                self._database.rows(_FORGET, event_id=event.id)
        return len(rows)


def _event(row: list[Any]) -> Event:
    event_id, event_type, image_id, sequence, data, correlation_id, occurred_at = row
    return Event(event_id, event_type, image_id, sequence, data, correlation_id, occurred_at)
