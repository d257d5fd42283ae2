"""A function of the API dies at any line: its client, who asks again, gets the first answer or none
has been given.

What a killed process leaves behind depends on the bytes that it has handed to the kernel, and on
nothing else: between two sends all lines leave the same. So it dies before, in the midst of, and
after each send to Postgres, RabbitMQ and S3. `make crashes` has it die at each line of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import pytest
import requests
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.dying_functions import (
    CUTS,
    PARTS,
    Death,
    Died,
    DyingFunctions,
    Lived,
    Steps,
    dying_functions,
)
from tests.integration.accepting import age
from tests.proxy_events import body_of, proxy_event, upload_event
from tests.waiting import eventually

STEPS = cast("Steps", os.environ.get("KILLED_AT", "sends"))
PNG = samples.png(samples.photo(24, 16))


Prepare = Callable[[ApiClient], "Request"]


@dataclass(frozen=True)
class Request:
    """As a client sends it, and as its function gets it. A file is an upload's."""

    function: str
    method: str
    path: str
    json: Any = None
    file: bytes | None = None

    def send(self, client: ApiClient, key: str) -> requests.Response:
        headers = {"Idempotency-Key": key}
        if self.file is not None:
            return client.upload(self.file, "photo.png", headers=headers)
        return client.request(self.method, self.path, json=self.json, headers=headers)

    def event(self, client: ApiClient, key: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": key}
        if self.file is not None:
            return upload_event(self.file, token=client.token, headers=headers)
        return proxy_event(
            self.method, self.path, token=client.token, json_body=self.json, headers=headers
        )


def uploaded(client: ApiClient) -> int:
    answer = client.upload(PNG)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


def upload(_client: ApiClient) -> Request:
    return Request("upload", "POST", "/image/upload_image", file=PNG)


def complete(client: ApiClient) -> Request:
    offer = client.request("POST", "/image/direct_upload").json()
    sent = requests.post(offer["url"], data=offer["fields"], files={"file": PNG}, timeout=None)
    assert sent.status_code == 204, sent.text
    path = f"/image/direct_upload/{offer['upload_id']}"
    return Request("direct_upload", "POST", path, {"filename": "photo.png"})


def update(client: ApiClient) -> Request:
    changes = {"title": "another", "visibility": "private"}
    return Request("update", "PUT", f"/image/update/{uploaded(client)}", changes)


def delete(client: ApiClient) -> Request:
    return Request("delete", "DELETE", f"/image/delete/{uploaded(client)}")


def batch(client: ApiClient) -> Request:
    request = {"ids": [uploaded(client), uploaded(client)], "changes": {"title": "another"}}
    return Request("batch", "POST", "/image/batch", request)


@pytest.fixture(scope="module")
def functions(running_system: BreakableCloud) -> Iterator[DyingFunctions]:
    with dying_functions(running_system.cloud.environment) as running:
        yield running


@pytest.mark.parametrize(
    ("prepare", "changes"), [(upload, 1), (complete, 1), (update, 2), (delete, 2), (batch, 2)]
)
def test_whoever_asks_again_gets_the_first_answer_and_it_is_done_once(
    system: BreakableCloud,
    audit: Audit,
    user: ApiClient,
    functions: DyingFunctions,
    prepare: Prepare,
    changes: int,
) -> None:
    """`changes`: how many each image has in the end, that of its upload among them."""
    # What was left behind by other tests.
    audit.sweep()
    request, key = prepare(user), str(uuid4())
    lived = functions.run(request.function, request.event(user, key), Death(STEPS))
    assert isinstance(lived, Lived)
    assert lived.response["statusCode"] == 200, lived.response
    assert request.send(user, key).json() == body_of(lived.response)
    images = images_of(request, body_of(lived.response))
    deaths = [
        Death(STEPS, number, cut) for number in range(1, lived.steps + 1) for cut in CUTS[STEPS]
    ]
    if STEPS == "sends":
        # No driver sends in a way that is not counted.
        assert set(lived.parts) == set(PARTS[: 3 if prepare in (upload, complete) else 2])
    with audit.database() as database:
        for death in deaths:
            images += outlive(database, user, functions, prepare(user), death)
        accepted = database.run(
            "SELECT c.image_id, count(*) FROM changes AS c JOIN users AS u ON u.id = c.user_id "
            "WHERE u.username = :name GROUP BY 1",
            name=user.username,
        )
        # Who waits for the schedule's next minutes learns no more.
        age(database, 60)
    assert dict(accepted) == dict.fromkeys(images, changes)
    system.relay()
    audit.settle()
    outcomes = audit.hear()
    assert {image: len(outcomes.of_image(image)) for image in images} == dict(accepted)
    assert outcomes.duplicated == []
    assert audit.stuck() == []
    assert audit.missing() == set()
    # A file that was stored by who died before it was accepted is the janitor's.
    left = audit.orphans()
    assert len(left) <= len(deaths) and all(key.endswith("/original.png") for key in left)
    assert not left or prepare in (upload, complete)
    audit.sweep()
    assert audit.orphans() == set()
    assert audit.missing() == set()


def outlive(
    database: Connection,
    user: ApiClient,
    functions: DyingFunctions,
    request: Request,
    death: Death,
) -> list[int]:
    """The images of a request whose function died, once it was sent again."""
    key = str(uuid4())
    died = functions.run(request.function, request.event(user, key), death)
    assert isinstance(died, Died), death
    at_once = request.send(user, key)
    assert at_once.status_code in (200, 409), (death, at_once.text)

    def is_over() -> bool:
        return not database.run("SELECT 1 FROM pg_stat_activity WHERE pid = :pid", pid=died.session)

    # What it sent last may be under way in the database still.
    eventually(is_over, f"the end of its session after {death}")
    # As after a minute.
    database.run(
        "UPDATE idempotency_keys SET leased_until = now() - interval '1 second' "
        "WHERE image_id IS NULL"
    )
    answers = [at_once, request.send(user, key), request.send(user, key)]
    answered = [answer for answer in answers if answer.status_code == 200]
    assert len(answered) >= 2, (death, [answer.text for answer in answers])
    assert all(answer.json() == answered[0].json() for answer in answered), death
    unfinished = database.run(
        "SELECT k.key FROM idempotency_keys AS k JOIN users AS u ON u.id = k.user_id "
        "WHERE u.username = :name AND k.image_id IS NULL",
        name=user.username,
    )
    offered = database.run(
        "SELECT d.upload_id FROM direct_uploads AS d JOIN users AS u ON u.id = d.user_id "
        "WHERE u.username = :name",
        name=user.username,
    )
    assert unfinished == offered == [], death
    return images_of(request, answered[0].json())


def images_of(request: Request, answer: dict[str, Any]) -> list[int]:
    if request.function == "batch":
        assert {each["status_code"] for each in answer["results"]} == {200}
        return [each["id"] for each in answer["results"]]
    if request.function == "update":
        assert answer["version"] == 2
    return [answer["id"]]
