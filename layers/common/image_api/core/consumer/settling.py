"""What becomes of a batch of messages: each is a hint that there is work, and the log says which.

Nothing that a message holds can fail the batch, and one that says something else than the log
changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from image_api.core.change_log import dead_letters, events
from image_api.core.change_log.changes import (
    LATE_SECONDS,
    MAX_CRASHES,
    MAX_FAILURES,
    AppliedChange,
    Cause,
    ChangeLog,
    LoggedChange,
    Outcome,
    Work,
)
from image_api.core.change_log.events import Event, MalformedEvent
from image_api.core.change_log.messages import (
    REASON_HEADER,
    WAITS_HEADER,
    MessagePublisher,
    ReceivedMessage,
    message_of,
)
from image_api.core.change_log.queues import RETRY_DELAYS_SECONDS, dead_queue, retry_queue
from image_api.core.consumer.processing import NeverPossible, Processor
from image_api.core.metrics import OutcomeMetrics
from image_api.core.renditions.render_requests import RendererBusy, RendererFailed, RendererLost
from image_api.core.tracing import trace_id_of
from image_api.errors import (
    InvalidImage,
    MessageRefused,
    ObjectMissing,
    ServiceUnavailable,
    StillDeleting,
)
from image_api.observability import logger

# What is begun must end before the function does: a slow picture is left to its renderer before.
MIN_REMAINING_MILLISECONDS = 60_000
# Messages are sent on one by one, and none is begun that may outlast the function.
_MIN_SENDING_MILLISECONDS = 15_000
# While renderers are waited for, it is looked so often whether something else came ...
_LOOKOUT_SECONDS = 0.1
# ... but a batch comes to its end: its messages wait to be acknowledged.
_MAX_LOOKOUT_SECONDS = 20.0
# Changes that need neither renderer nor storage are applied in steps of so many, a few for each
# batch: a step holds rows that other requests of the same accounts may wait for.
_PLAIN_STEP, _PLAIN_STEPS = 50, 4
# One of them did not go, or its row was held too long: meanwhile each is tried by itself.
_PLAIN_PAUSE_SECONDS = 30.0
# Renderers that are all taken are free again soon.
_BUSY_SECONDS = 1
# What takes many turns takes one in each batch.
_DELETING_PAUSE_SECONDS = 5
# A message whose change is not settled yet comes back soon, then less and less often.
_WAIT_DELAYS_SECONDS = ((20, 1), (40, 5))
_LONGEST_WAIT_SECONDS = 30
# A removal is never given up: the image is hidden, and its bytes must go.
_REMOVAL_DELAY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class _Hint:
    """A message of an accepted change that is not settled."""

    message: ReceivedMessage
    event: Event


@dataclass(frozen=True, slots=True)
class _Rejected:
    """A message that is set aside; `event`: what it says, if that can be read."""

    message: ReceivedMessage
    reason: str
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    """How an attempt ended, and what kept it from more: its kind, and in words."""

    outcome: Outcome
    cause: Cause | None = None
    reason: str | None = None


class Consumer:
    """Images are processed in parallel, the changes of one image in order, users in turn."""

    def __init__(
        self,
        log: Callable[[], ChangeLog],
        processor: Processor,
        publisher: MessagePublisher,
        queue: str,
        *,
        workers: int,
    ) -> None:
        """`log` is called for each use: every thread has one of its own. `workers`: how many
        changes are worked on side by side, so how many renderers at most.
        """
        self._log = log
        self._processor = processor
        self._publisher = publisher
        self._queue = queue
        self._last_user_id = 0
        self._plain_after_seconds = 0.0
        self._metrics = OutcomeMetrics()
        self._turn = Lock()
        # Attempts that ended here in order when that could not be written: they were no crashes.
        self._unwritten: Counter[str] = Counter()
        # What was set aside of a batch that comes again.
        self._aside: Counter[bytes] = Counter()
        self._workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="processing")

    def consume(
        self, messages: list[ReceivedMessage], remaining_milliseconds: Callable[[], int]
    ) -> dict[str, int]:
        """Counts of outcomes. As many changes are worked on as messages ask for, whosever they are.

        Raises ServiceUnavailable when the database or the broker is away: the batch comes again,
        and what was settled stays settled.
        """
        hints, rejected = self._read(messages)
        # Also one that is set aside wakes: it may stand for another that was lost.
        waking = [hint.event.id for hint in hints]
        waking += [each.event.id for each in rejected if each.event is not None]
        batch = _Batch(waking, remaining_milliseconds)
        batch.count("duplicate", len(messages) - len(hints) - len(rejected))
        self._work(batch)
        # Only now, and what may fail first: a batch that comes again must not send anything twice.
        waiting = self._waiting(hints)
        self._set_aside(rejected, batch)
        self._send_on(waiting, batch)
        self._metrics.write()
        return batch.counts

    def close(self) -> None:
        self._threads.shutdown()

    def _read(self, messages: list[ReceivedMessage]) -> tuple[list[_Hint], list[_Rejected]]:
        """The messages of accepted changes, one for each that is not settled, and the others."""
        received: list[_Hint] = []
        rejected: list[_Rejected] = []
        for message in messages:
            try:
                received.append(_Hint(message, events.decode(message.body)))
            except MalformedEvent as error:
                rejected.append(_Rejected(message, str(error)))
        logged = self._look_up([hint.event for hint in received]) if received else {}
        if returned := [hint.event.id for hint in received if hint.message.redelivered]:
            self._free(returned)
        hints: dict[str, _Hint] = {}
        for hint in received:
            known = logged.get(hint.event.id)
            if known is None:
                reason = "No change was accepted under this id"
                rejected.append(_Rejected(hint.message, reason, hint.event))
            elif not _says_the_same(hint.event, known):
                reason = "The message differs from what was accepted"
                rejected.append(_Rejected(hint.message, reason, hint.event))
            elif not known.is_settled or (hint.message.is_redriven and self._reopen(known.event)):
                hints[known.event.id] = _Hint(hint.message, known.event)
        return list(hints.values()), rejected

    def _look_up(self, received: list[Event]) -> dict[str, LoggedChange]:
        """Should the log choke on an event, then not on those beside it."""
        try:
            return self._log().look_up(received)
        except ServiceUnavailable:
            raise
        except Exception:
            if len(received) > 1:
                each = [self._look_up([event]) for event in received]
                return {name: known for found in each for name, known in found.items()}
            logger.exception("unexpected error while looking up", event_id=received[0].id)
            return {}

    def _free(self, message_ids: list[str]) -> None:
        """What cannot be freed now is free when its lease ends."""
        try:
            self._log().free(message_ids)
        except ServiceUnavailable:
            raise
        except Exception:
            logger.exception("unexpected error while freeing")

    def _reopen(self, event: Event) -> bool:
        try:
            return self._log().reopen(event)
        except ServiceUnavailable:
            raise
        except Exception:
            logger.exception("unexpected error while reopening", event_id=event.id)
            return False

    def _work(self, batch: _Batch) -> None:
        if batch.size:
            self._apply_plain(batch)
        working = {
            self._threads.submit(self._work_on, batch)
            for _ in range(min(self._workers, batch.size))
        }
        while working:
            done, working = wait(working, _LOOKOUT_SECONDS)
            for future in done:
                future.result()
            if working and len(working) < self._workers and batch.may_begin_more:
                working.add(self._threads.submit(self._work_on_others, batch))
        # Whatever may have ended a process before is alone with this one, after all others. At
        # least one of them has its turn, however many others wait.
        while (message_id := batch.take(crashed=True)) and self._begin_and_settle(
            message_id, batch, crashed=True
        ):
            pass
        if batch.is_interrupted:
            raise ServiceUnavailable("The database did not answer while changes were settled")

    def _apply_plain(self, batch: _Batch) -> None:
        """More than the messages ask for, since many cost little more than one; the messages of
        the others will find them settled.
        """
        applied: list[AppliedChange] = []
        try:
            while self._may_apply_plain(len(applied), batch):
                started_at = time.perf_counter()
                step = self._log().apply_plain(self._last_user_id, _PLAIN_STEP)
                for each in step:
                    batch.count("applied")
                    self._note(each.event, _Ended("applied"), started_at, each.attempts)
                applied += step
                self._last_user_id = _last_in_turn(step, self._last_user_id)
                if len(step) < _PLAIN_STEP:
                    break
        except ServiceUnavailable as error:
            self._pause_plain(error.detail)
        except Exception as error:
            logger.exception("unexpected error while settling")
            self._pause_plain(type(error).__name__)
        if applied:
            self._log().publish([each.outcome for each in applied])

    def _may_apply_plain(self, applied: int, batch: _Batch) -> bool:
        return (
            applied < _PLAIN_STEP * _PLAIN_STEPS
            and batch.may_begin_more
            and time.monotonic() >= self._plain_after_seconds
        )

    def _pause_plain(self, reason: str) -> None:
        self._plain_after_seconds = time.monotonic() + _PLAIN_PAUSE_SECONDS
        logger.warning("changes are applied one by one", reason=reason)

    def _work_on(self, batch: _Batch) -> None:
        while (message_id := batch.take()) and self._begin_and_settle(message_id, batch):
            pass

    def _work_on_others(self, batch: _Batch) -> None:
        """What came while renderers are waited for: its own message is behind this batch."""
        while batch.may_begin_more and self._begin_and_settle(batch.first, batch, is_other=True):
            pass

    def _begin_and_settle(
        self, message_id: str, batch: _Batch, *, crashed: bool = False, is_other: bool = False
    ) -> bool:
        """Whether there was anything to do; never raises."""
        work: Work | None = None
        try:
            work = self._begin(message_id, crashed=crashed)
            if work is not None:
                batch.count(self._settle(work))
                self._unwritten.pop(work.event.id, None)
        except ServiceUnavailable as error:
            batch.interrupt()
            logger.warning("the log cannot be written", reason=error.detail)
        except Exception:
            logger.exception("unexpected error while settling")
        else:
            if work is None and not is_other:
                batch.give_back(message_id)
            return work is not None
        if work is not None:
            self._unwritten[work.event.id] += 1
        return False

    def _begin(self, message_id: str, *, crashed: bool) -> Work | None:
        """One thread after the other: two would begin with the same user, or one too many."""
        with self._turn:
            work = self._log().begin(message_id, self._last_user_id, crashed=crashed)
            if work is not None:
                self._last_user_id = work.user_id
            return work

    def _settle(self, work: Work) -> Outcome:
        started_at = time.perf_counter()
        crashes = work.crashes - self._unwritten[work.event.id]
        if crashes >= MAX_CRASHES and work.event.type != events.DELETE_REQUESTED:
            reason = f"{crashes} attempts ended the process that made them"
            ended = _Ended(self._give_up(work, reason), "crashed", reason)
        else:
            ended = self._attempt(work)
        self._note(work.event, ended, started_at, work.attempt)
        return ended.outcome

    def _note(self, event: Event, ended: _Ended, started_at: float, attempt: int) -> None:
        self._metrics.count(event, ended.outcome, ended.cause)
        write = logger.warning if ended.outcome == "dead" else logger.info
        write(
            "attempt ended",
            outcome=ended.outcome,
            cause=ended.cause,
            reason=ended.reason,
            event_id=event.id,
            event_type=event.type,
            image_id=event.image_id,
            correlation_id=event.correlation_id,
            client_correlation_id=event.client_correlation_id or None,
            trace_id=trace_id_of(event.traceparent),
            attempt=attempt,
            duration_ms=round((time.perf_counter() - started_at) * 1000, 1),
        )

    def _attempt(self, work: Work) -> _Ended:
        cause: Cause
        try:
            return _Ended(self._processor.apply(work))
        except NeverPossible as error:
            cause, reason = "impossible", str(error)
        except InvalidImage as error:
            cause, reason = "invalid_image", str(error)
        except ObjectMissing:
            cause, reason = "file_missing", "The stored file is missing"
        except RendererBusy:
            self._log().put_back(work, _BUSY_SECONDS)
            return _Ended("postponed", "renderers_busy", "All renderers are busy")
        except RendererFailed as error:
            outcome = self._renderer_failed(work, str(error))
            return _Ended(outcome, "renderer_failed", str(error))
        except StillDeleting as error:
            # Others have their turn, and nothing has failed.
            self._log().put_back(work, _DELETING_PAUSE_SECONDS)
            return _Ended("postponed", "still_deleting", error.detail)
        except RendererLost as error:
            # Before anything else is written: a removal begins as soon as this attempt has ended.
            self._log().lose_renderer(work, LATE_SECONDS)
            return _Ended(self._retry(work, error.detail), "renderer_lost", error.detail)
        except ServiceUnavailable as error:
            return _Ended(self._retry(work, error.detail), "unavailable", error.detail)
        except Exception as error:
            # One image must not hold up the others, whatever it does to the code: it gets its
            # retries like a temporary fault, and the log and the metrics say what happened.
            logger.exception(
                "unexpected error while processing",
                event_id=work.event.id,
                image_id=work.event.image_id,
                correlation_id=work.event.correlation_id,
            )
            reason = type(error).__name__
            return _Ended(self._retry(work, reason), "unexpected", reason)
        return _Ended(self._give_up(work, reason), cause, reason)

    def _retry(self, work: Work, reason: str) -> Outcome:
        failures = work.failures + 1
        if failures < MAX_FAILURES:
            delay_seconds = RETRY_DELAYS_SECONDS[work.failures]
        elif work.event.type != events.DELETE_REQUESTED:
            return self._give_up(work, f"It failed {failures} times; at last: {reason}")
        else:
            delay_seconds = _REMOVAL_DELAY_SECONDS
        # Of a removal once, so that somebody looks.
        owes_letter = failures == MAX_FAILURES
        self._log().postpone(work, delay_seconds, reason, owes_letter=owes_letter)
        if owes_letter:
            self._bury(work, reason)
        return "postponed"

    def _renderer_failed(self, work: Work, reason: str) -> Outcome:
        """The first may be somebody else's fault, but what fails again and again is the picture."""
        failures = work.renderer_failures + 1
        if failures >= MAX_CRASHES:
            return self._give_up(work, f"Rendering it failed {failures} times; at last: {reason}")
        delay_seconds = RETRY_DELAYS_SECONDS[work.renderer_failures]
        self._log().postpone(work, delay_seconds, reason, is_renderers=True)
        return "postponed"

    def _give_up(self, work: Work, reason: str) -> Outcome:
        """The verdict first, which owes a dead letter: whatever happens then, there will be one."""
        if self._processor.fail(work, reason, owes_letter=True) != "failed":
            return "duplicate"
        self._bury(work, reason)
        return "dead"

    def _bury(self, work: Work, reason: str) -> None:
        """What is settled must not be tried again for what happens here."""
        letter = dead_letters.Letter(work.event, reason, work.attempt)
        try:
            dead_letters.send(letter, self._log(), self._publisher, self._queue)
        except ServiceUnavailable as error:
            logger.warning(
                "a dead letter is left to the relay", event_id=work.event.id, reason=error.detail
            )
        except Exception:
            logger.exception("a dead letter is left to the relay", event_id=work.event.id)

    def _set_aside(self, rejected: list[_Rejected], batch: _Batch) -> None:
        """Those of a batch that comes again which were set aside before are not set aside again."""
        before, now = self._aside, Counter[bytes]()
        for each in rejected:
            identity = _identity(each.message)
            if before[identity] > 0:
                before[identity] -= 1
            else:
                try:
                    self._reject(each.message, each.reason, batch)
                except ServiceUnavailable:
                    self._aside = before + now
                    raise
            now[identity] += 1
            batch.count("rejected")
        # What has not come yet comes with another batch.
        self._aside = +before

    def _reject(self, message: ReceivedMessage, reason: str, batch: _Batch) -> None:
        """Sets a message aside that changes nothing; where it cannot be kept, this line is left."""
        if not batch.may_send:
            # As when the broker is away: nothing of the batch is acknowledged.
            raise ServiceUnavailable("The broker takes messages too slowly")
        kept = True
        try:
            self._publisher.publish(
                "", dead_queue(self._queue), message.resent({REASON_HEADER: reason})
            )
        except MessageRefused:
            # As often as it came, it would be refused.
            kept = False
        except ServiceUnavailable:
            raise
        except Exception:
            logger.exception("unexpected error while setting a message aside")
            kept = False
        logger.warning(
            "message set aside", reason=reason, kept=kept, correlation_id=message.correlation_id
        )

    def _waiting(self, hints: list[_Hint]) -> list[tuple[_Hint, LoggedChange]]:
        """Those whose own change is not settled. Raises ServiceUnavailable."""
        logged = self._look_up([hint.event for hint in hints]) if hints else {}
        found = [(hint, logged.get(hint.event.id)) for hint in hints]
        return [(hint, known) for hint, known in found if known and not known.is_settled]

    def _send_on(self, waiting: list[tuple[_Hint, LoggedChange]], batch: _Batch) -> None:
        """A message stays about until its own change is settled; never raises."""
        for hint, known in waiting:
            batch.count("waiting")
            if not batch.may_send:
                logger.warning("a message was not sent on", reason="No time is left")
                continue
            delay_seconds = _delay_seconds(hint.message, known)
            try:
                self._publisher.publish(
                    "",
                    retry_queue(self._queue, delay_seconds),
                    message_of(hint.event, {WAITS_HEADER: hint.message.waits + 1}),
                )
            except ServiceUnavailable as error:
                # The relay sends another when the change is overdue.
                logger.warning("a message was not sent on", reason=error.detail)
                return
            except Exception:
                logger.exception("unexpected error while sending on", event_id=hint.event.id)


class _Batch:
    """How much work a batch asks for and what became of it, counted by several threads."""

    def __init__(self, message_ids: list[str], remaining_milliseconds: Callable[[], int]) -> None:
        self.counts: dict[str, int] = {}
        self.is_interrupted = False
        self.size = len(message_ids)
        self._first = message_ids[:1]
        self._begun_at = time.monotonic()
        self._unused = message_ids[::-1]
        self._for_crashed = message_ids[:1]
        self._is_begun = False
        self._remaining_milliseconds = remaining_milliseconds
        self._lock = Lock()

    @property
    def first(self) -> str:
        """The message for which is begun what no message of the batch asks for."""
        return self._first[0]

    @property
    def may_begin_more(self) -> bool:
        return (
            not self.is_interrupted
            and time.monotonic() - self._begun_at < _MAX_LOOKOUT_SECONDS
            and self._remaining_milliseconds() >= MIN_REMAINING_MILLISECONDS
        )

    @property
    def may_send(self) -> bool:
        return self._remaining_milliseconds() >= _MIN_SENDING_MILLISECONDS

    def take(self, *, crashed: bool = False) -> str | None:
        """A message for which a change may be begun now; for one of them always."""
        with self._lock:
            is_late = self._remaining_milliseconds() < MIN_REMAINING_MILLISECONDS
            if self.is_interrupted or (is_late and self._is_begun):
                return None
            self._is_begun = True
            if crashed and self._for_crashed:
                return self._for_crashed.pop()
            return self._unused.pop() if self._unused else None

    def give_back(self, message_id: str) -> None:
        """There was nothing to begin, but there may be when another thread has settled more."""
        with self._lock:
            self._unused.append(message_id)

    def interrupt(self) -> None:
        self.is_interrupted = True

    def count(self, outcome: str, number: int = 1) -> None:
        with self._lock:
            if number:
                self.counts[outcome] = self.counts.get(outcome, 0) + number


def _identity(message: ReceivedMessage) -> bytes:
    """Of a message that has none that could be relied on."""
    properties = (message.message_id, message.correlation_id, message.type)
    return sha256(repr((message.body, properties)).encode()).digest()


def _last_in_turn(applied: list[AppliedChange], after_user_id: int) -> int:
    in_turn = [(each.user_id <= after_user_id, each.user_id) for each in applied]
    return max(in_turn, default=(False, after_user_id))[1]


def _says_the_same(event: Event, known: LoggedChange) -> bool:
    accepted = known.event
    return (event.type, event.image_id, event.sequence, event.data) == (
        accepted.type,
        accepted.image_id,
        accepted.sequence,
        accepted.data,
    )


def _delay_seconds(message: ReceivedMessage, known: LoggedChange) -> int:
    """The delay queue in which the message waits until its change is due, or for its turn."""
    patience = next(
        (seconds for limit, seconds in _WAIT_DELAYS_SECONDS if message.waits < limit),
        _LONGEST_WAIT_SECONDS,
    )
    wanted = max(patience, known.due_in_seconds)
    return next(
        (seconds for seconds in RETRY_DELAYS_SECONDS if seconds >= wanted), RETRY_DELAYS_SECONDS[-1]
    )
