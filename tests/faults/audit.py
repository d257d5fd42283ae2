"""What is true in the end: rows, objects, queues and outcomes, looked at directly."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from pg8000.native import Connection

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.queues import dead_queue
from image_api.rabbitmq import dead_letters
from tests.consistency import contradictions
from tests.faults.batches import accepted_events
from tests.faults.breakable_cloud import BreakableCloud
from tests.waiting import eventually

_LISTENER = "what-happened"
# What failed is tried again up to ten minutes later.
_PATIENCE_SECONDS = 700.0
# What the relay would publish: first, again, or of what came of it.
_RELAYED = """
SELECT count(*) FROM changes
WHERE published_at IS NULL AND accepted_at < now() - interval '10 seconds'
   OR outcome_published_at IS NULL AND settled_at < now() - interval '10 seconds'
   OR settled_at IS NULL AND published_at < now() - interval '60 seconds'
"""
_UNTOLD = "SELECT count(*) FROM changes WHERE published_at IS NULL OR outcome_published_at IS NULL"
_UNSETTLED = """
SELECT image_id, sequence, attempts, failures, reason FROM changes
WHERE settled_at IS NULL ORDER BY id
"""
_NAMED = """
SELECT i.original_key, i.status FROM images AS i UNION
SELECT r.object_key, i.status FROM renditions AS r JOIN images AS i ON i.id = r.image_id UNION
SELECT i.object_key, i.status FROM images AS i
"""


@dataclass
class Outcomes:
    """What a listening service heard. At least once each: the same event twice is no second one."""

    events: dict[str, Event] = field(default_factory=dict)
    deliveries: Counter[str] = field(default_factory=Counter)

    @property
    def repeated_deliveries(self) -> int:
        return self.deliveries.total() - len(self.deliveries)

    @property
    def of_changes(self) -> dict[tuple[int, int], list[str]]:
        """The types of the outcomes of each change, by image and sequence."""
        outcomes: dict[tuple[int, int], list[str]] = defaultdict(list)
        for event in self.events.values():
            outcomes[event.image_id, event.sequence].append(event.type)
        return outcomes

    @property
    def duplicated(self) -> list[tuple[int, int]]:
        """Changes that took effect more than once."""
        return sorted(change for change, types in self.of_changes.items() if len(types) > 1)

    def of_image(self, image_id: int) -> list[str]:
        """The types of its outcomes in the order of its changes."""
        return [
            outcome
            for (image, _), types in sorted(self.of_changes.items())
            if image == image_id
            for outcome in types
        ]


class Audit:
    """Goes to the services themselves, past every fault."""

    def __init__(self, system: BreakableCloud) -> None:
        self._system = system
        self.outcomes = Outcomes()

    def listen(self) -> None:
        """From now on every outcome is kept, also while the broker is down."""
        self.bind()
        with self._system.broker() as channel:
            channel.queue_purge(_LISTENER)

    def bind(self) -> None:
        with self._system.broker() as channel:
            channel.exchange_declare(events.EXCHANGE, "topic", durable=True)
            channel.queue_declare(_LISTENER, durable=True, arguments={"x-queue-type": "quorum"})
            for binding in ("image.*.completed", "image.*.failed"):
                channel.queue_bind(_LISTENER, events.EXCHANGE, binding)

    def hear(self) -> Outcomes:
        """Everything that was published until now."""
        with self._system.broker() as channel:
            while True:
                method, properties, body = channel.basic_get(_LISTENER, auto_ack=True)
                if method is None or body is None:
                    return self.outcomes
                event = events.decode(body)
                assert properties is not None and properties.message_id == event.id
                self.outcomes.events[event.id] = event
                self.outcomes.deliveries[event.id] += 1

    @contextmanager
    def held_back(self) -> Iterator[list[Event]]:
        """What waits for the broker, in order; the relay publishes none of it inside."""
        with self.database() as database:
            accepted = accepted_events(database)
            # What is young is left to the request that wrote it.
            database.run(
                "UPDATE changes SET accepted_at = accepted_at + interval '1 day' "
                "WHERE published_at IS NULL"
            )
            try:
                yield accepted
            finally:
                database.run(
                    "UPDATE changes SET accepted_at = accepted_at - interval '1 day' "
                    "WHERE accepted_at > now()"
                )

    def settle(self) -> None:
        """Returns when nothing is left to do anywhere, and what is counted is what there is."""
        self.wait_until_settled()
        miscounted = self.miscounted()
        assert not miscounted, miscounted

    def wait_until_settled(self) -> None:
        """The relay runs as often as there is need."""

        def is_quiet() -> bool:
            with self.database() as database:
                if database.run(_RELAYED) != [[0]]:
                    self._system.relay()
                unsettled = database.run(_UNSETTLED)
                waiting = database.run(_UNTOLD)
            return not unsettled and waiting == [[0]]

        try:
            eventually(is_quiet, "everything is settled", patience_seconds=_PATIENCE_SECONDS)
        except AssertionError as error:
            with self.database() as database:
                unsettled = database.run(_UNSETTLED)
            raise AssertionError(f"{error}; unsettled: {unsettled}") from error

    def dead(self) -> int:
        """How many dead letters there are."""
        with self._system.broker() as channel:
            declared = channel.queue_declare(dead_queue(self._system.queue), passive=True)
            return int(declared.method.message_count)

    def letters_of(self, image_id: int) -> int:
        """How many dead letters are about this image; they stay where they are."""
        with self._system.broker() as channel:
            letters = list(dead_letters.listed(channel, self._system.queue))
        eventually(lambda: self.dead() >= len(letters), "all are back for the next look")
        return sum(letter.subject == f"images/{image_id}" for letter in letters)

    def empty_queue(self) -> None:
        """Returns when no message of before is in the consumer's hands any more: one behind all of
        them has been set aside.
        """
        queue, mark = self._system.queue, events.new_id().encode()
        with self._system.broker() as channel:
            channel.confirm_delivery()
            channel.queue_purge(queue)
            channel.basic_publish("", queue, mark, mandatory=True)

        def is_set_aside() -> bool:
            with self._system.broker() as channel:
                # All that it does not take go back to where they were when it is closed.
                while (got := channel.basic_get(dead_queue(queue)))[0] is not None:
                    if got[2] == mark:
                        channel.basic_ack(got[0].delivery_tag)
                        return True
            return False

        eventually(is_set_aside, "what was published last is set aside")

    def make_overdue(self) -> None:
        """What was published and is not settled is so for longer than the relay waits for it."""
        with self.database() as database:
            database.run(
                "UPDATE changes SET published_at = published_at - interval '2 minutes', "
                "due_at = due_at - interval '2 minutes' WHERE settled_at IS NULL"
            )

    def orphans(self) -> set[str]:
        """Objects that no row speaks of."""
        return self.keys() - {key for key, _ in self._named()}

    def missing(self) -> set[str]:
        """Objects that are promised and not there; a failed image promises nothing."""
        return {key for key, status in self._named() if status != "failed"} - self.keys()

    def stuck(self) -> list[int]:
        with self.database() as database:
            rows = database.run("SELECT id FROM images WHERE status = 'processing'")
        return [row[0] for row in rows]

    def miscounted(self) -> list[str]:
        """What the database counts, once everything is settled, and is not what there is."""
        with self.database() as database:
            return contradictions(database)

    def sweep(self) -> int:
        """Runs the janitor, which takes everything as old enough, until no orphan is left."""
        removed = 0

        def is_clean() -> bool:
            nonlocal removed
            report = self._system.cloud.invoke("janitor", {"time": _now()})
            assert report["finished"] is True, report
            removed += report["objects_deleted"]
            return not self.orphans()

        eventually(is_clean, "the janitor has removed every orphan")
        return removed

    def keys(self) -> set[str]:
        return {item.key for item in self.bucket().objects.filter(Prefix="storage/")}

    def bucket(self) -> Any:
        environment = self._system.cloud.environment
        resource = boto3.resource(
            "s3",
            endpoint_url=self._system.services["storage"].url,
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        return resource.Bucket(environment["IMAGES_BUCKET"])

    @contextmanager
    def database(self) -> Iterator[Connection]:
        with closing(self._system.database()) as connection:
            yield connection

    def _named(self) -> list[tuple[str, str]]:
        with self.database() as database:
            return [(key, status) for key, status in database.run(_NAMED)]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
