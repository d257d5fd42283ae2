"""A request that is sent again with its Idempotency-Key, as after an answer that got lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages

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


@pytest.mark.parametrize("key", ["two words", "x" * 256, "\u00e4"], ids=["space", "long", "umlaut"])
def test_a_key_is_up_to_255_visible_ascii_characters(ada: ApiClient, key: str) -> None:
    refused = ada.request(
        "DELETE", "/image/delete/1", headers={"Idempotency-Key": key.encode().decode("latin-1")}
    )
    assert refused.status_code == 400
    assert list(field_messages(refused)) == ["idempotency-key"]
