"""A request that is sent again with its Idempotency-Key, as after an answer that got lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.waiting import eventually

PHOTO = samples.jpeg()


def upload(client: ApiClient, key: str, data: bytes = PHOTO, **fields: str) -> requests.Response:
    """Each form has a boundary of its own."""
    return client.request(
        "POST",
        "/image/upload_image",
        files={"image": ("rocket.jpg", data)},
        data=fields,
        headers={"Idempotency-Key": key},
    )


def test_an_upload_that_is_sent_again_makes_one_image(ada: ApiClient) -> None:
    first, again = upload(ada, "k1"), upload(ada, "k1")
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert len(ada.images(owner="me").json()) == 1
    assert upload(ada, "k2").json()["id"] != first.json()["id"]


def test_a_change_and_a_removal_that_are_sent_again_happen_once(ada: ApiClient) -> None:
    image = ada.uploaded(PHOTO)
    path = f"/image/update/{image['id']}"
    changes, key = {"title": "new"}, {"Idempotency-Key": "change"}
    answers = [ada.request("PUT", path, json=changes, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert ada.request("PUT", path, json={"title": "newer"}, headers=key).status_code == 422
    ada.settled(image["id"])

    path, key = f"/image/delete/{image['id']}", {"Idempotency-Key": "removal"}
    answers = [ada.request("DELETE", path, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert ada.request("DELETE", path).status_code == 404


def test_a_key_belongs_to_one_request(ada: ApiClient, bob: ApiClient) -> None:
    first = upload(ada, "k")
    for other in (upload(ada, "k", samples.png()), upload(ada, "k", title="other")):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    image_id = first.json()["id"]
    headers = {"Idempotency-Key": "k"}
    assert ada.delete(image_id, headers=headers).status_code == 422
    assert ada.update(image_id, headers=headers, title="x").status_code == 422
    # Nor does anybody else's request have it.
    assert upload(bob, "k", samples.png()).status_code == 200


def test_a_refusal_is_not_remembered(ada: ApiClient) -> None:
    assert upload(ada, "k", PHOTO[:200]).status_code == 400
    assert upload(ada, "k").status_code == 200


def test_a_key_is_remembered_for_a_day(ada: ApiClient, database: Connection) -> None:
    first = upload(ada, "k").json()
    for hours, is_remembered in ((23, True), (25, False)):
        database.run(
            "UPDATE idempotency_keys SET claimed_at = now() - make_interval(hours => :hours) "
            "WHERE user_id = (SELECT user_id FROM images WHERE id = :id)",
            hours=hours,
            id=first["id"],
        )
        assert (upload(ada, "k").json() == first) is is_remembered


def test_a_direct_upload_that_is_completed_again_is_answered_as_at_first(ada: ApiClient) -> None:
    offer = ada.request("POST", "/image/direct_upload").json()
    sent = requests.post(offer["url"], data=offer["fields"], files={"file": PHOTO})
    assert sent.status_code == 204
    path = f"/image/direct_upload/{offer['upload_id']}"

    def complete(key: str | None, **details: str) -> requests.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return ada.request("POST", path, json=details, headers=headers)

    first = complete("k")
    assert first.status_code == 200
    for key in ("k", "other", "other", None):
        assert complete(key).json() == first.json()
    assert complete("k", title="other").status_code == 422
    assert len(ada.images(owner="me").json()) == 1


def test_many_at_once_make_one_image_and_those_who_come_too_early_are_told(
    ada: ApiClient,
) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: upload(ada, "k"), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 409)
    assert {answer.json()["id"] for answer in answers if answer.status_code == 200} == {
        upload(ada, "k").json()["id"]
    }
    assert len(ada.images(owner="me").json()) == 1


def test_whoever_comes_while_the_first_is_running_is_told_so(
    ada: ApiClient, database: Connection
) -> None:
    user_id = ada.get("/auth/me").json()["id"]
    keys = (f"running-{number}" for number in itertools.count())

    def is_told() -> bool:
        """False where the first has waited for longer than it may: a second environment was still
        starting. The next time it is there.
        """
        key = next(keys)
        with ThreadPoolExecutor(1) as threads, usage_held(database, user_id):
            first = threads.submit(upload, ada, key)
            claimed = "SELECT FROM idempotency_keys WHERE user_id = :user_id AND key = :key"
            eventually(
                lambda: first.done() or database.run(claimed, user_id=user_id, key=key),
                "the first is running",
            )
            second = upload(ada, key)
        if first.result().status_code != 200:
            return False
        assert (second.status_code, second.json()["code"]) == (409, "request_in_progress")
        assert int(second.headers["Retry-After"]) > 0
        assert upload(ada, key).json() == first.result().json()
        return True

    eventually(is_told, "the first outlasts the second")
    assert len(ada.images(owner="me").json()) == 1


@contextmanager
def usage_held(database: Connection, user_id: int) -> Iterator[None]:
    """Nothing of the account is accepted inside: whatever would be waits."""
    database.run("BEGIN")
    try:
        database.run("SELECT FROM account_usage WHERE user_id = :id FOR UPDATE", id=user_id)
        yield
    finally:
        database.run("ROLLBACK")


@pytest.mark.parametrize("key", ["two words", "x" * 256, "\u00e4"], ids=["space", "long", "umlaut"])
def test_a_key_is_up_to_255_visible_ascii_characters(ada: ApiClient, key: str) -> None:
    refused = ada.request(
        "DELETE", "/image/delete/1", headers={"Idempotency-Key": key.encode().decode("latin-1")}
    )
    assert refused.status_code == 400
    assert list(field_messages(refused)) == ["idempotency-key"]
