"""SIGTERM while requests are in flight: those are answered, later ones are refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.waiting import eventually

UPLOADS = 3
_WAITING_FOR_A_LOCK = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO images%'
"""


@pytest.fixture
def second_cloud(system: BreakableCloud, tmp_path: Path) -> Iterator[RunningCloud]:
    """On the same services; to be started and stopped by the test."""
    cloud = RunningCloud(tmp_path / "data", "--no-watch", variables=system.cloud_variables())
    yield cloud
    if cloud.is_running:
        cloud.kill()


def test_requests_in_flight_are_answered_before_the_cloud_ends_and_later_ones_refused(
    audit: Audit, second_cloud: RunningCloud
) -> None:
    # On a busy machine one has waited for as long as a request may before the port is closed.
    answers = eventually(
        lambda: _answers_of_those_in_flight(audit, second_cloud),
        "all are in flight when the cloud is stopped",
    )

    assert [answer.status_code for answer in answers] == [200] * UPLOADS
    # The other cloud, on the same queue, finishes the work.
    audit.settle()
    accepted = {answer.json()["id"] for answer in answers}
    with audit.database() as database:
        rows = database.run("SELECT id FROM images WHERE status = 'ready'")
    assert accepted <= {row[0] for row in rows}


def _answers_of_those_in_flight(
    audit: Audit, second_cloud: RunningCloud
) -> list[requests.Response] | None:
    """To uploads that were in the midst of their work when the cloud had closed its port; None
    where one was not any more.
    """
    second_cloud.start()
    api_url = second_cloud.api_url
    with ExitStack() as stack:
        clients = [stack.enter_context(ApiClient(api_url)) for _ in range(UPLOADS)]
        users = [client.sign_up() for client in clients]
        # Warm, so that all are in the midst of their work when the end comes.
        for user in users:
            user.uploaded(samples.gif())
        database = stack.enter_context(audit.database())
        watching = stack.enter_context(audit.database())
        threads = stack.enter_context(ThreadPoolExecutor(UPLOADS + 1))
        database.run("BEGIN")
        database.run("LOCK TABLE images IN EXCLUSIVE MODE")
        try:
            uploads = [threads.submit(user.upload, samples.png()) for user in users]

            def all_are_in_flight() -> bool:
                for number, user in enumerate(users):
                    if uploads[number].done():
                        assert uploads[number].result().status_code == 503
                        uploads[number] = threads.submit(user.upload, samples.png())
                ((waiting,),) = watching.run(_WAITING_FOR_A_LOCK)
                return int(waiting) == UPLOADS

            eventually(all_are_in_flight, "all are in flight")
            # Asserts that it ends in time, with status 0 and nothing left behind.
            stopping = threads.submit(second_cloud.stop)
            eventually(lambda: _is_refused(api_url), "new requests are refused")
            in_flight = [not upload.done() for upload in uploads]
        finally:
            database.run("ROLLBACK")
        answers = [upload.result() for upload in uploads]
        stopping.result()
    return answers if all(in_flight) else None


def _is_refused(api_url: str) -> bool:
    address = urlsplit(api_url)
    try:
        socket.create_connection((address.hostname, address.port)).close()
    except ConnectionRefusedError:
        return True
    return False
