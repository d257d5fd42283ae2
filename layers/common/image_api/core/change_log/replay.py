"""Sends the events of a time span again, to one queue: for a service that joins late."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from image_api.core.change_log.events import Event
from image_api.errors import ImageApiError, ServiceUnavailable
from image_api.observability import logger

BATCH_SIZE = 500
# A batch with its confirms, and what is left to say how far it came.
_MAX_STEP_SECONDS = 10.0
_MIN_REMAINING_MILLISECONDS = 20_000
_MAX_QUEUE_CHARACTERS = 255


class ReplayRefused(ImageApiError):
    """What was asked for cannot be done, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Position:
    """Behind an event of the log: its moment, whether it is an outcome (1), and its row."""

    moment: str = "-infinity"
    kind: int = 0
    row_id: int = 0

    def __str__(self) -> str:
        return f"{self.moment}|{self.kind}|{self.row_id}"


class ReplayRecords(Protocol):
    def now(self) -> str: ...

    def events(
        self, since: str, until: str, after: Position, batch_size: int
    ) -> list[tuple[Position, Event]]:
        """Requests and outcomes of the half-open span [since, until), oldest first."""


class ReplayBroker(Protocol):
    def publish_to_queue(self, queue: str, events: Sequence[Event], seconds: float) -> list[Event]:
        """Those that the queue has safely. Raises ServiceUnavailable when the broker is away."""


def replay(
    records: ReplayRecords,
    broker: ReplayBroker,
    work_queue: str,
    request: dict[str, Any],
    remaining_milliseconds: Callable[[], int],
) -> dict[str, Any]:
    """`request`: `queue`, `since` (RFC 3339), and perhaps `until` and `after`. Sends while there is
    time; `after` of the answer, unless it is None, goes into the next request with `until`.

    Raises ReplayRefused. What was sent before a failure is not lost, and may come twice.
    """
    queue = _checked_queue(request.get("queue"), work_queue)
    since = _checked_time("since", request.get("since"))
    until = _checked_time("until", request["until"]) if request.get("until") else records.now()
    after = _checked_position(request.get("after"))
    sent, is_over = 0, False
    while not is_over and remaining_milliseconds() >= _MIN_REMAINING_MILLISECONDS:
        found = records.events(since, until, after, BATCH_SIZE)
        confirmed = _publish(broker, queue, [event for _, event in found])
        for position, event in found:
            if event.id not in confirmed:
                break
            after, sent = position, sent + 1
        if found and not confirmed:
            raise ReplayRefused(
                f"The queue {queue} accepts nothing: does it exist, and has it room? Go on with "
                f"after={after} and until={until}"
            )
        is_over = len(found) < BATCH_SIZE and len(confirmed) == len(found)
    logger.info("events sent again", queue=queue, sent=sent, finished=is_over)
    return {"sent": sent, "until": until, "after": None if is_over else str(after)}


def _publish(broker: ReplayBroker, queue: str, events: Sequence[Event]) -> set[str]:
    try:
        return {event.id for event in broker.publish_to_queue(queue, events, _MAX_STEP_SECONDS)}
    except ServiceUnavailable as error:
        raise ReplayRefused(f"The queue {queue} cannot be reached: {error.detail}") from error


def _checked_queue(queue: object, work_queue: str) -> str:
    if not isinstance(queue, str) or not 0 < len(queue.encode()) <= _MAX_QUEUE_CHARACTERS:
        raise ReplayRefused("`queue` must name an existing queue")
    if queue == work_queue or queue.startswith(f"{work_queue}."):
        raise ReplayRefused(f"{queue} is a queue of this API itself: name one of another service")
    return queue


def _checked_time(name: str, value: object) -> str:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ReplayRefused(f"`{name}` must be a time like 2026-11-02T18:10:16Z")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _checked_position(value: object) -> Position:
    if value is None or value == "":
        return Position()
    found = re.fullmatch(r"([-0-9 :.+]{10,40})\|([01])\|([0-9]{1,18})", str(value), re.ASCII)
    if found is None:
        raise ReplayRefused("`after` must be the value returned by the previous request")
    return Position(found[1], int(found[2]), int(found[3]))
