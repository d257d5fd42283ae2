"""A message of any content changes nothing, holds up nobody, and ends among the dead letters."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pika

from image_api.core.change_log.queues import dead_queue
from tests import samples
from tests.bad_messages import HEADERS, bad_bodies
from tests.e2e.api_client import ApiClient
from tests.faults import batches
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.links import lasting
from tests.waiting import eventually


def dead_letters(system: BreakableCloud) -> list[bytes]:
    with system.broker() as channel:
        found: list[bytes] = []
        while (got := channel.basic_get(dead_queue(system.queue), auto_ack=True))[2] is not None:
            found.append(got[2])
        return found


def test_forty_kinds_of_messages_change_nothing_and_delay_nobody(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    dead_letters(system)
    other_id, image_id = (user.uploaded(samples.png())["id"] for _ in range(2))
    assert user.update(image_id, title="real").status_code == 200
    user.settled(image_id)
    with audit.database() as database:
        (real,) = batches.logged_events(database, image_id)[-1:]
    bodies = bad_bodies(real, other_id)
    assert len(bodies) >= 40
    before = [lasting(user.image(each).json()) for each in (other_id, image_id)]
    batches_before = system.cloud.log().count("messages return to")

    with system.broker() as channel:
        channel.confirm_delivery()
        for number, body in enumerate(bodies.values()):
            headers = {"n": number, "deep": {"a": [{"b": "x" * 1000}]}, "none": None}
            channel.basic_publish(
                "", system.queue, body, pika.BasicProperties(headers=headers), mandatory=True
            )
    uploaded = [user.uploaded(samples.png()) for _ in range(5)]

    eventually(lambda: audit.dead() == len(bodies), "all are set aside")
    assert Counter(dead_letters(system)) == Counter(bodies.values())
    assert {image["status"] for image in uploaded} == {"ready"}
    assert [lasting(user.image(each).json()) for each in (other_id, image_id)] == before
    assert system.cloud.log().count("messages return to") == batches_before
    audit.settle()
    assert audit.hear().duplicated == []


def test_headers_and_properties_of_any_kind_fail_no_batch(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    dead_letters(system)
    system.ways["broker"].cut()
    image_id = user.upload(samples.png()).json()["id"]
    system.ways["broker"].restore()
    with audit.database() as database:
        (accepted,) = batches.accepted_events(database)
    records = [batches.record(accepted)]
    # As Lambda's own JSON can hold them.
    without = ("a number of 5,000 digits", "not a number")
    kinds = [headers for name, headers in HEADERS.items() if name not in without]
    for headers in kinds:
        bad: dict[str, Any] = batches.record(accepted, b"bad")
        bad["basicProperties"] |= {"headers": headers, "messageId": "x" * 1000, "type": "é" * 200}
        records.append(bad)

    counts = system.cloud.invoke("consumer", batches.batch(system.queue, records))

    assert counts.pop("rejected") == len(kinds)
    # On a busy machine the renderer may not have ended when nobody waits for it any more.
    assert counts in ({"applied": 1}, {"rendering": 1}, {"waiting": 1})
    audit.settle()
    assert user.image(image_id).json()["status"] == "ready"
    assert dead_letters(system) == [b"bad"] * len(kinds)
