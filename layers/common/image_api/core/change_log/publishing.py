"""Publishes what is committed, in whatever time its request has left. The relay has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from image_api.core import metrics
from image_api.core.change_log.events import Event
from image_api.core.time_left import time_left
from image_api.errors import ServiceUnavailable
from image_api.observability import logger

# A broker that just does not time out takes so long, a connection to it and one before included;
# and a database so long to write down what became of it. Who waits for an answer has it before.
_PUBLISHING_SECONDS = 12.0
_MARKING_SECONDS = 9.0
# In which so many as may come of one batch are sent.
_OUTCOMES_SECONDS = 5.0
# What a request waits for the confirms of many messages.
_REQUESTS_SECONDS = 2.0
# So many outcomes are sent together, over a connection of their own.
_MANY = 5


class EventPublisher(Protocol):
    def publish_event(self, event: Event) -> None: ...

    def publish_events(self, events: Sequence[Event], seconds: float) -> list[Event]:
        """Those that were confirmed; as many are begun as can be in about that time."""


class Publications(Protocol):
    def mark_one_published(self, event: Event) -> None: ...

    def mark_published(self, published: Sequence[Event]) -> None: ...


class PublishingSink:
    """Publishes, and writes down that it was done.

    Raises nothing: what was accepted is answered, and what fails here is left to the relay.
    """

    def __init__(self, publications: Publications, publisher: EventPublisher) -> None:
        self._publications = publications
        self._publisher = publisher

    def publish(self, event: Event) -> None:
        about: dict[str, Any] = {
            "event_id": event.id,
            "event_type": event.type,
            "correlation_id": event.correlation_id,
        }
        try:
            _check_time_left()
            self._publisher.publish_event(event)
            # Without time for the mark it is published once more.
            if time_left.is_enough_for(_MARKING_SECONDS):
                self._publications.mark_one_published(event)
        except ServiceUnavailable as error:
            logger.warning("event left to the relay", **about, reason=error.detail)
        except Exception:
            metrics.publishing_failed()
            logger.exception("an event could not be published", **about)

    def publish_outcomes(self, outcomes: Sequence[Event]) -> None:
        if len(outcomes) < _MANY:
            for outcome in outcomes:
                self.publish(outcome)
        else:
            self._publish_many(outcomes, _OUTCOMES_SECONDS)

    def publish_requests(self, accepted: Sequence[Event]) -> None:
        """Of one request, which waits for it."""
        if accepted:
            self._publish_many(accepted, _REQUESTS_SECONDS)

    def _publish_many(self, published: Sequence[Event], seconds: float) -> None:
        """Without awaiting each confirm before the next is sent."""
        try:
            _check_time_left()
            confirmed = self._publisher.publish_events(published, seconds)
            if time_left.is_enough_for(_MARKING_SECONDS):
                self._publications.mark_published(confirmed)
        except ServiceUnavailable as error:
            logger.warning("events left to the relay", count=len(published), reason=error.detail)
            return
        except Exception:
            metrics.publishing_failed()
            logger.exception("events could not be published", count=len(published))
            return
        if left := len(published) - len(confirmed):
            logger.warning("events left to the relay", count=left, reason="No confirm came")


def _check_time_left() -> None:
    if not time_left.is_enough_for(_PUBLISHING_SECONDS):
        raise ServiceUnavailable("The request has no time left for it")
