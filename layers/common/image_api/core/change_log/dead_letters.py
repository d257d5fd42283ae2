"""Dead letters, one for each change that is given up.

One is owed from the transaction on that gives the change up until the broker has it: so what comes
again multiplies none, and what dies between loses none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import (
    ATTEMPT_HEADER,
    REASON_HEADER,
    MessagePublisher,
    message_of,
)
from image_api.core.change_log.queues import dead_queue
from image_api.errors import MessageRefused
from image_api.observability import logger

# Left to the consumer that owes it: it is about to send it itself.
LETTER_GRACE_SECONDS = 60
# A letter that could not be sent is tried again so much later.
LETTER_PAUSE_SECONDS = 300
_AT_ONCE = 10
# What a letter may take that nobody confirms, and the statement that nobody answers.
_MIN_REMAINING_MILLISECONDS = 12_000
_MAX_REASON_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """Of a change that was given up, after so many attempts."""

    event: Event
    reason: str
    attempts: int


class SentLetters(Protocol):
    """Raises ServiceUnavailable."""

    def letter_sent(self, event: Event) -> None: ...


class OwedLetters(SentLetters, Protocol):
    """Raises ServiceUnavailable."""

    def due_letters(self, most: int) -> list[Letter]:
        """Those that are owed for long; nobody else is given them meanwhile."""


def send(letter: Letter, records: SentLetters, publisher: MessagePublisher, queue: str) -> None:
    """`queue`: of the work. Raises ServiceUnavailable."""
    headers = {
        REASON_HEADER: letter.reason[:_MAX_REASON_CHARACTERS],
        ATTEMPT_HEADER: letter.attempts,
    }
    publisher.publish("", dead_queue(queue), message_of(letter.event, headers))
    records.letter_sent(letter.event)


def send_owed(
    records: OwedLetters,
    publisher: MessagePublisher,
    queue: str,
    remaining_milliseconds: Callable[[], int],
) -> int:
    """Sends those that are owed, while there is time; how many it sent. Raises ServiceUnavailable
    when the database or the broker is away.
    """
    sent, owed = 0, True
    while owed and remaining_milliseconds() > _MIN_REMAINING_MILLISECONDS:
        owed = False
        for letter in records.due_letters(_AT_ONCE):
            if remaining_milliseconds() < _MIN_REMAINING_MILLISECONDS:
                break
            if _is_taken(letter, records, publisher, queue):
                sent, owed = sent + 1, True
    if sent:
        logger.info("owed dead letters sent", count=sent)
    return sent


def _is_taken(
    letter: Letter, records: OwedLetters, publisher: MessagePublisher, queue: str
) -> bool:
    try:
        send(letter, records, publisher, queue)
    except MessageRefused as error:
        logger.warning("a dead letter is still owed", event_id=letter.event.id, reason=error.detail)
        return False
    return True
