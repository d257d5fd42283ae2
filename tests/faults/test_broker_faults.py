"""The broker is away, hangs up, or never confirms: nothing that was accepted is lost."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise

import requests

from image_api.core.change_log import events
from tests import samples
from tests.e2e.api_client import ApiClient
from tests.faults import batches
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.workload import Workload
from tests.integration.accepting import age
from tests.waiting import eventually

# The upload's own time-out, in template.yaml.
_FUNCTION_TIMEOUT_SECONDS = 20.0
# Of a queue that is empty.
_NOTHING = (None, None, None)


def test_fifty_uploads_while_the_broker_is_stopped_are_ready_once_it_runs(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    system.stop("broker")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: user.upload(samples.png()), range(50)))
    system.start("broker")

    assert Counter(answer.status_code for answer in answers) == {200: 50}
    audit.settle()
    uploaded = {answer.json()["id"] for answer in answers}
    assert {image["id"] for image in user.images(owner="me", status="ready").json()} == uploaded
    outcomes = audit.hear()
    for image_id in uploaded:
        assert outcomes.of_image(image_id) == [events.UPLOAD_COMPLETED]
    assert outcomes.repeated_deliveries == 0
    assert audit.stuck() == []
    assert audit.missing() == set()
    with audit.database() as database:
        rows = database.run(
            "SELECT image_id, count(*) FROM renditions WHERE image_id = ANY(:ids) GROUP BY 1",
            ids=list(uploaded),
        )
    assert len(rows) == 50
    # Each has its image, its preview and its thumbnail, all once.
    assert {count for _, count in rows} == {3}


def test_a_broker_that_is_killed_under_load_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    with ThreadPoolExecutor(1) as threads:
        load = threads.submit(workload.run, lambda count: count >= 120)
        system.crash("broker")
        system.start("broker")
        load.result()

    assert workload.unexpected == []
    assert workload.answers.keys() == {200}
    audit.settle()
    assert workload.differences() == []
    assert audit.hear().duplicated == []


def test_a_broker_that_hangs_up_again_and_again_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, workload: Workload
) -> None:
    hung_up = 0

    def hang_up(count: int) -> bool:
        nonlocal hung_up
        if count >= 10 * (hung_up + 1):
            hung_up += 1
            system.ways["broker"].drop()
        return count >= 100

    workload.run(hang_up)

    assert hung_up >= 9
    assert workload.unexpected == []
    assert workload.answers.keys() == {200}
    audit.settle()
    assert workload.differences() == []
    assert audit.hear().duplicated == []


def test_a_broker_whose_alarm_is_on_costs_one_request_its_wait(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    # A disk that is never free enough: it takes connections, answers questions, and no messages.
    system.reconfigure_broker("disk_free_limit.absolute = 1000000GB")
    uploads = 6
    for _ in range(uploads):
        assert user.upload(samples.png()).status_code == 200
    health = user.get("/health")
    system.reconfigure_broker("")

    # Whoever waited for a confirm in vain lets those who follow go on at once, for a while: between
    # two that waited there is the pause, however busy the machine is.
    left = [
        json.loads(json.loads(line)["line"])
        for line in system.cloud.log().splitlines()
        if "event left to the relay" in line and events.UPLOAD_REQUESTED in line
    ]
    assert len(left) >= uploads
    waited_at = [
        datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").timestamp()
        for line in left[-uploads:]
        if "a moment ago" not in line["reason"]
    ]
    assert all(later - earlier >= 5 for earlier, later in pairwise(waited_at))
    assert (health.status_code, health.json()["broker"]) == (503, "down")
    audit.settle()
    assert len(user.images(owner="me", status="ready").json()) == uploads


def test_a_broker_that_takes_long_for_each_answer_gets_everything_once(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    image_id = user.uploaded(samples.gif())["id"]
    system.ways["broker"].cut()
    # One by one they would take more than all of the relay's time.
    count = 200
    for number in range(count):
        assert user.update(image_id, title=f"title {number}").status_code == 200
    # Then nobody but this test invokes it for a minute.
    system.await_the_clocks_relay()
    system.ways["broker"].restore()
    system.ways["broker"].delay_answers(0.3)

    with audit.database() as database, system.broker() as channel:
        age(database, 60)
        requests = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(requests, events.EXCHANGE, events.REQUESTS_BINDING)
        # It was refused just now, and lets the broker be for some seconds.
        assert eventually(system.relay, "the relay has got through") >= count
        published = Counter(
            properties.message_id
            for method, properties, _ in iter(lambda: channel.basic_get(requests, True), _NOTHING)
        )
        accepted = batches.logged_events(database, image_id)[1:]
    assert published == dict.fromkeys((event.id for event in accepted), 1)
    audit.settle()

    assert user.image(image_id).json()["title"] == f"title {count - 1}"
    outcomes = audit.hear()
    assert outcomes.duplicated == []
    assert len(outcomes.of_image(image_id)) == 1 + count


def test_a_memory_alarm_is_as_any_other(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    system.reconfigure_broker("vm_memory_high_watermark.absolute = 1MB")
    uploaded = [user.upload(samples.png()) for _ in range(5)]
    health = user.get("/health")
    system.reconfigure_broker("")

    assert {answer.status_code for answer in uploaded} == {200}
    assert (health.status_code, health.json()["broker"]) == (503, "down")
    audit.settle()
    assert len(user.images(owner="me", status="ready").json()) == 5


def test_a_broker_that_never_confirms_delays_no_answer_beyond_its_time(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    before = user.uploaded(samples.gif())

    def ask() -> list[requests.Response]:
        return [user.upload(samples.gif()), user.update(before["id"], title="meanwhile")]

    system.ways["broker"].swallow_answers()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        eventually(asked.done, "both are answered", patience_seconds=_FUNCTION_TIMEOUT_SECONDS)
    system.ways["broker"].restore()

    assert [answer.status_code for answer in asked.result()] == [200] * 2
    # Each message reached the broker, which could not say so: it comes twice and takes effect once.
    audit.settle()
    assert user.image(before["id"]).json()["title"] == "meanwhile"
    assert len(user.images(owner="me", status="ready").json()) == 2
    assert audit.hear().duplicated == []
