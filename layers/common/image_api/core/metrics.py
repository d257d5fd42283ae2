"""What the system does and what waits, as metrics that a dashboard shows and alarms look at."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol

from image_api.core.change_log import events
from image_api.core.change_log.changes import Cause, ChangeTotals, Outcome
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import MessageCounts
from image_api.errors import ServiceUnavailable
from image_api.observability import logger, write_metrics


class Queues(Protocol):
    def message_counts(self) -> MessageCounts:
        """Raises ServiceUnavailable when the broker is away."""


def measure(changes: ChangeTotals, queues: Queues) -> None:
    """Writes OldestWorkAge, and if the broker answers QueueDepth and DeadLetters.

    Amazon MQ publishes no metrics by queue for RabbitMQ 4, and no message's age for any version.
    """
    age_seconds = changes.oldest_unsettled_age_seconds()
    counts: dict[str, int] = {}
    try:
        found = queues.message_counts()
    except ServiceUnavailable as error:
        logger.warning("the queues cannot be counted", reason=error.detail)
    else:
        counts = {"QueueDepth": found.waiting, "DeadLetters": found.dead}
    write_metrics({"OldestWorkAge": age_seconds}, counts)


def upload_accepted(size_bytes: int) -> None:
    write_metrics({}, {"Uploads": 1, "UploadedBytes": size_bytes})


def publishing_failed() -> None:
    """For a reason that nobody has thought of; the relay tries again."""
    write_metrics({}, {"PublishingFailed": 1})


def forgetting_failed() -> None:
    """Of one table, for a reason that nobody has thought of."""
    write_metrics({}, {"ForgettingFailed": 1})


def sign_in_failed() -> None:
    write_metrics({}, {"SignInFailures": 1})


def sign_in_refused() -> None:
    """Without looking at the password: there were too many failures before."""
    write_metrics({}, {"SignInsRefused": 1})


def refresh_token_reused() -> None:
    """One that was used up long before: somebody has a copy."""
    write_metrics({}, {"RefreshTokensReused": 1})


class OutcomeMetrics:
    """What became of changes; several threads count, and one writes when their batch is done."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[Outcome] = Counter()
        self._causes: Counter[Cause] = Counter()
        self._seconds_to_ready: list[float] = []

    def count(self, event: Event, outcome: Outcome, cause: Cause | None = None) -> None:
        with self._lock:
            self._counts[outcome] += 1
            if cause is not None:
                self._causes[cause] += 1
            if outcome == "applied" and event.type == events.UPLOAD_REQUESTED:
                accepted_at = datetime.fromisoformat(event.occurred_at)
                waited = (datetime.now(UTC) - accepted_at).total_seconds()
                self._seconds_to_ready.append(max(0.0, waited))

    def write(self) -> None:
        """Outcomes by outcome, Failures by cause, and TimeToReady. The reason itself is in the
        log: each is a text of its own.
        """
        with self._lock:
            counts, self._counts = self._counts, Counter()
            causes, self._causes = self._causes, Counter()
            seconds, self._seconds_to_ready = self._seconds_to_ready, []
        if seconds:
            write_metrics({"TimeToReady": seconds}, {})
        for outcome, number in counts.items():
            write_metrics({}, {"Outcomes": number}, outcome=outcome)
        for cause, number in causes.items():
            write_metrics({}, {"Failures": number}, cause=cause)
