"""Somebody else's private image does not exist, by any way of asking."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import NewClient

SECRET_TITLE = "surprise-party-4711"
VOLATILE = {"date", "x-amzn-requestid", "x-amz-apigw-id", "x-correlation-id", "x-amzn-trace-id"}


@pytest.fixture
def hidden(ada: ApiClient) -> dict[str, Any]:
    return ada.uploaded(samples.jpeg(), title=SECRET_TITLE, visibility="private")


@pytest.fixture
def missing_id(new_user: NewClient) -> int:
    """Of an image that was there and is gone."""
    client = new_user()
    image_id = int(client.uploaded(samples.gif())["id"])
    assert client.delete(image_id).status_code == 200
    return image_id


def seen(answer: requests.Response, image_id: int) -> tuple[int, dict[str, str], str]:
    """All that a client can tell two answers apart by, without the id that it asked for itself."""
    headers = {
        name.lower(): value
        for name, value in answer.headers.items()
        if name.lower() not in VOLATILE
    }
    return answer.status_code, headers, re.sub(rf"\b{image_id}\b", "#", answer.text)


def test_a_private_image_answers_exactly_like_one_that_is_gone(
    hidden: dict[str, Any], missing_id: int, bob: ApiClient
) -> None:
    def answers(image_id: int) -> list[tuple[int, dict[str, str], str]]:
        return [
            seen(answer, image_id)
            for answer in (
                bob.image(image_id),
                bob.update(image_id, title="mine"),
                bob.update(image_id, visibility="shared"),
                bob.update(image_id, resolution="10x10"),
                bob.update(image_id, resolution="no resolution"),
                bob.update(image_id),
                bob.delete(image_id),
                bob.request("PATCH", f"/image/{image_id}"),
            )
        ]

    of_hidden, of_missing = answers(int(hidden["id"])), answers(missing_id)

    assert of_hidden == of_missing
    assert {status for status, _, _ in of_hidden} == {400, 404, 405}


def test_a_private_image_is_in_no_list_and_no_total_of_others(
    hidden: dict[str, Any], bob: ApiClient
) -> None:
    queries: list[dict[str, Any]] = [
        {},
        {"limit": 1},
        {"title": SECRET_TITLE},
        {"title": SECRET_TITLE[:5].upper()},
        {"status": "ready"},
        {"owner": "me"},
        {"owner": str(hidden["user_id"])},
        {"q": "surprise 4711"},
        {"ids": str(hidden["id"])},
        {"visibility": "private"},
        {"trashed": "true"},
        *({"sort": sort} for sort in ("title", "-title", "size", "-size", "created_at")),
    ]
    for query in queries:
        answer = bob.images(**query)
        assert answer.status_code == 200
        assert SECRET_TITLE not in answer.text
        assert str(hidden["id"]) not in {str(image["id"]) for image in answer.json()}
    by_title = bob.images(title=SECRET_TITLE)
    assert by_title.json() == []
    assert by_title.headers["X-Total-Count"] == "0"
    assert "Link" not in by_title.headers


def test_the_total_of_others_does_not_move_with_private_images(
    ada: ApiClient, bob: ApiClient
) -> None:
    def totals() -> list[str]:
        queries: list[dict[str, str]] = [{}, {"status": "ready"}, {"owner": "me"}]
        return [bob.images(**query).headers["X-Total-Count"] for query in queries]

    before = totals()
    image = ada.uploaded(samples.gif(), visibility="private")
    assert totals() == before
    ada.updated(int(image["id"]), title="another title")
    assert totals() == before
    assert ada.delete(image["id"]).status_code == 200
    assert totals() == before


def test_an_image_made_private_is_gone_for_others_at_once(ada: ApiClient, bob: ApiClient) -> None:
    image_id = int(ada.uploaded(samples.gif(), title=SECRET_TITLE)["id"])
    assert bob.image(image_id).status_code == 200

    ada.updated(image_id, visibility="private")

    assert bob.image(image_id).status_code == 404
    assert bob.images(title=SECRET_TITLE).json() == []


def test_a_cursor_of_the_owner_shows_others_nothing_private(ada: ApiClient, bob: ApiClient) -> None:
    for _ in range(3):
        ada.uploaded(samples.gif(), title=SECRET_TITLE, visibility="private")
    link = ada.images(owner="me", limit=1).headers["Link"]
    query = urlsplit(link.partition("<")[2].partition(">")[0]).query

    stolen = bob.get(f"/image/get_all_images?{query.replace('owner=me', 'title=surprise')}")
    # Whose list a cursor is of does not matter: it says where to go on, and not what is seen.
    own = bob.images(owner="me", cursor=parse_qs(query)["cursor"][0], title="surprise")

    assert stolen.status_code == own.status_code == 400
    answer = bob.images(title="surprise")
    assert (answer.status_code, answer.json()) == (200, [])


def test_another_users_attempts_change_nothing(
    hidden: dict[str, Any], ada: ApiClient, bob: ApiClient
) -> None:
    image_id = int(hidden["id"])
    attempts: list[dict[str, Any]] = [
        *({"title": "x"}, {"visibility": "shared"}, {"resolution": "10x10"}, {"trashed": True}),
    ]
    for changes in attempts:
        assert bob.update(image_id, **changes).status_code == 404
    assert bob.delete(image_id).status_code == 404

    now = ada.settled(image_id)
    for volatile in ("url", "thumbnail_url", "preview_url", "rendition_url"):
        now.pop(volatile), hidden.pop(volatile)
    assert now == hidden


def test_a_shared_image_is_its_owners_to_change_all_the_same(
    ada: ApiClient, bob: ApiClient
) -> None:
    image = ada.uploaded(samples.gif())

    assert bob.image(image["id"]).status_code == 200
    assert bob.update(image["id"], title="x").status_code == 404
    assert bob.delete(image["id"]).status_code == 404
    assert ada.image(image["id"]).json()["title"] == image["title"]


def test_the_storage_gives_nothing_without_a_signature_or_with_one_for_another_object(
    hidden: dict[str, Any], ada: ApiClient, bob: ApiClient
) -> None:
    mine = bob.uploaded(samples.jpeg(), visibility="private")
    theirs, own = urlsplit(hidden["url"]), urlsplit(mine["url"])
    borrowed = theirs._replace(query=own.query).geturl()

    assert requests.get(borrowed).status_code == 403


def test_another_users_direct_upload_cannot_be_completed(ada: ApiClient, bob: ApiClient) -> None:
    offer = ada.request("POST", "/image/direct_upload").json()
    with requests.Session() as browser:
        sent = browser.post(offer["url"], data=offer["fields"], files={"file": samples.gif()})
    assert sent.status_code == 204

    stolen = bob.request("POST", f"/image/direct_upload/{offer['upload_id']}", json={})
    unknown = bob.request("POST", f"/image/direct_upload/{'0' * 32}", json={})

    assert stolen.status_code == unknown.status_code == 404
    assert stolen.json() == unknown.json()
    completed = ada.request("POST", f"/image/direct_upload/{offer['upload_id']}", json={})
    assert completed.status_code == 200
    ada.settled(completed.json()["id"])
