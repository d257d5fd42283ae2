"""GET /image/{image_id}."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.conftest import NewClient
from tests.e2e.holding import Processing
from tests.links import lasting
from tests.waiting import eventually

FIELDS = [
    "id",
    "title",
    "resolution",
    "size",
    "file_path",
    "created_at",
    "updated_at",
    "user_id",
    "status",
    "error",
    "content_type",
    "visibility",
    "url",
    "thumbnail_url",
    "preview_url",
    "rendition_url",
    "username",
    "width",
    "height",
    "description",
    "tags",
    "animated",
    "placeholder",
    "taken_at",
    "trashed_at",
    "version",
]
KINDS = {
    **dict.fromkeys(("id", "size", "user_id", "width", "height", "version"), int),
    **dict.fromkeys(("error", "taken_at", "trashed_at"), type(None)),
    "tags": list,
    "animated": bool,
}
NOWHERE = {"detail": "There is no such image", "code": "image_not_found"}


def test_an_image_has_the_fields_that_clients_expect(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png())

    answer = ada.image(image["id"])

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == FIELDS
    for name, value in answer.json().items():
        assert type(value) is KINDS.get(name, str), name


def test_what_is_said_of_an_image_is_so(ada: ApiClient, bob: ApiClient) -> None:
    still = ada.uploaded(samples.png(samples.photo(60, 40)))
    moving = ada.uploaded(samples.animation("image/gif"))

    for image in (still, moving):
        seen = bob.image(image["id"]).json()
        assert seen["username"] == ada.username
        assert seen["user_id"] == ada.get("/auth/me").json()["id"]
        size = samples.opened(ada.download(image["url"]).content).size
        assert (seen["width"], seen["height"]) == size
        assert seen["resolution"] == "{}x{}".format(*size)
    assert (still["width"], still["height"], still["animated"]) == (60, 40, False)
    assert moving["animated"] is True
    assert ada.updated(still["id"], resolution="30x20")["width"] == 30


def test_an_image_looks_the_same_in_a_list(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png())

    assert [lasting(each) for each in ada.images(owner="me").json()] == [lasting(image)]


@pytest.mark.parametrize(
    "image_id", ["999999999", "0", "-1", "abc", "1.5", "9223372036854775808", "%00", "1%2F2", "é"]
)
def test_an_image_that_does_not_exist_is_not_found(ada: ApiClient, image_id: str) -> None:
    answer = ada.get(f"/image/{image_id}")

    assert answer.status_code == 404
    assert answer.json() == NOWHERE


def test_a_shared_image_is_seen_by_every_signed_in_user(
    ada: ApiClient, bob: ApiClient, visitor: ApiClient
) -> None:
    image = ada.uploaded(samples.jpeg(exif=samples.exif(taken_at="2024:11:02 18:10:16")))
    assert image["taken_at"] == "2024-11-02T18:10:16"

    assert lasting(bob.image(image["id"]).json()) == lasting({**image, "taken_at": None})
    assert visitor.image(image["id"]).status_code == 401


@pytest.mark.parametrize("seconds", ["0", "16", "-1", "1.5", "soon"])
def test_nobody_waits_for_as_long_as_they_like(ada: ApiClient, seconds: str) -> None:
    answer = ada.get(f"/image/1?wait={seconds}")
    assert field_messages(answer).keys() == {"wait"}


def test_who_waits_for_an_image_hears_of_it_when_it_is_ready(
    ada: ApiClient, processing: Processing
) -> None:
    def hears_of_it() -> bool:
        """False where it takes longer than one may wait: on a machine that is very busy."""
        with ThreadPoolExecutor(1) as threads:
            with processing.held():
                image_id = ada.upload(samples.png()).json()["id"]
                answer = threads.submit(ada.get, f"/image/{image_id}?wait=15")
                eventually(lambda: processing.waiting_requests() == 1 or answer.done(), "it waits")
            heard = bool(answer.result().json()["status"] == "ready")
        assert ada.settled(image_id)["status"] == "ready"
        assert ada.get(f"/image/{image_id}?wait=15").json()["status"] == "ready"
        return heard

    eventually(hears_of_it, "it is heard of")


def test_as_many_wait_as_may_and_plain_requests_wait_for_none_of_them(
    new_client: NewClient, new_user: NewClient, processing: Processing
) -> None:
    users = [new_user() for _ in range(4)]
    reader = new_user()

    def waiter(number: int) -> ApiClient:
        client = new_client()
        client.token = users[number % len(users)].token
        return client

    # Three of an account may wait, ten in all.
    waiters = [waiter(number) for number in range(16)]

    def is_answered_beside_them() -> bool:
        """False where they had enough of it before: on a machine that is very busy."""
        with ThreadPoolExecutor(len(waiters)) as threads, processing.held():
            image_id = users[0].upload(samples.png()).json()["id"]
            answers = [threads.submit(each.get, f"/image/{image_id}?wait=15") for each in waiters]
            eventually(
                lambda: (
                    processing.waiting_requests() <= 10
                    and sum(each.done() for each in answers) >= 6
                ),
                "those beyond the bound go on",
            )
            before = processing.waiting_requests()
            statuses = {reader.image(image_id).json()["status"] for _ in range(10)}
            after = processing.waiting_requests()
            beyond = {each.result().json()["status"] for each in answers if each.done()}
        assert statuses == beyond == {"processing"}
        return before == after == 10

    eventually(is_answered_beside_them, "plain requests are answered while others wait")
