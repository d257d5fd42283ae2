"""GET /image/get_all_images."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient, Image, field_messages
from tests.e2e.holding import Processing


def _ids(answer: requests.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()]


def _uploaded(client: ApiClient, *titles: str, **fields: str) -> list[int]:
    images: list[Image] = [client.upload(samples.gif(), title=t, **fields).json() for t in titles]
    for image in images:
        client.settled(image["id"])
    return [image["id"] for image in images]


def _all_pages(client: ApiClient, **query: Any) -> list[requests.Response]:
    pages = [client.images(**query)]
    while "next" in pages[-1].links:
        assert len(pages) < 100, "the links go round in circles"
        pages.append(client.get(pages[-1].links["next"]["url"]))
    return pages


def test_a_list_without_images_is_an_empty_array(ada: ApiClient) -> None:
    answer = ada.images(owner="me")

    assert answer.json() == []
    assert answer.headers["X-Total-Count"] == "0"
    assert "Link" not in answer.headers


def test_the_newest_image_comes_first(ada: ApiClient) -> None:
    ids = _uploaded(ada, "a", "b", "c")

    assert _ids(ada.images(owner="me")) == ids[::-1]
    assert _ids(ada.images())[:3] == ids[::-1]


def test_links_lead_through_every_page_and_each_says_the_total(ada: ApiClient) -> None:
    ids = _uploaded(ada, *"abcde")

    pages = _all_pages(ada, owner="me", limit=2)

    assert [_ids(page) for page in pages] == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert [page.headers["X-Total-Count"] for page in pages] == ["5", "5", "5"]
    assert [list(page.links) for page in pages] == [["next"], ["next"], []]


def test_a_last_page_that_is_full_has_no_next_one(ada: ApiClient) -> None:
    _uploaded(ada, "a", "b")

    assert "Link" not in ada.images(owner="me", limit=2).headers


def test_a_page_does_not_move_when_an_image_is_added(ada: ApiClient) -> None:
    ids = _uploaded(ada, "a", "b", "c")
    first = ada.images(owner="me", limit=2)
    _uploaded(ada, "d")

    assert _ids(ada.get(first.links["next"]["url"])) == [ids[0]]


def test_the_whole_list_is_what_its_total_says(ada: ApiClient, bob: ApiClient) -> None:
    mine = _uploaded(ada, "shared one")
    private = _uploaded(bob, "private one", visibility="private")

    pages = _all_pages(ada, limit=7)

    ids = [image_id for page in pages for image_id in _ids(page)]
    assert ids == sorted(set(ids), reverse=True)
    assert set(mine) <= set(ids)
    assert not set(private) & set(ids)
    assert {page.headers["X-Total-Count"] for page in pages} == {str(len(ids))}
    assert int(bob.images().headers["X-Total-Count"]) == len(ids) + 1


def test_owner_me_shows_only_what_the_user_uploaded(ada: ApiClient, bob: ApiClient) -> None:
    mine = _uploaded(ada, "mine") + _uploaded(ada, "my secret", visibility="private")
    _uploaded(bob, "not mine")

    answer = ada.images(owner="me")

    assert _ids(answer) == mine[::-1]
    assert answer.headers["X-Total-Count"] == "2"


def test_status_selects(ada: ApiClient, processing: Processing) -> None:
    (ready,) = _uploaded(ada, "ready")
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    failed = ada.upload(damaged).json()["id"]
    ada.settled(failed, "failed")
    with processing.held():
        waiting = ada.upload(samples.gif()).json()["id"]
        answers = {
            status: ada.images(owner="me", status=status)
            for status in ("ready", "failed", "processing")
        }

    assert {status: _ids(answer) for status, answer in answers.items()} == {
        "ready": [ready],
        "failed": [failed],
        "processing": [waiting],
    }
    assert {answer.headers["X-Total-Count"] for answer in answers.values()} == {"1"}
    ada.settled(waiting)


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("CAT", ["one cat", "Cats"]),
        ("100%", ["100% cotton"]),
        ("_", ["snake_case"]),
        ("\\", []),
        ("'", ["ada's"]),
        ("nothing like it", []),
    ],
)
def test_title_finds_a_part_regardless_of_case_and_without_wildcards(
    ada: ApiClient, part: str, found: list[str]
) -> None:
    for title in ("Cats", "one cat", "100% cotton", "1000 snakes", "snake_case", "ada's"):
        ada.upload(samples.gif(), title=title)

    answer = ada.images(owner="me", title=part)

    assert [image["title"] for image in answer.json()] == found
    assert answer.headers["X-Total-Count"] == str(len(found))


def test_filters_stay_in_the_link_to_the_next_page(ada: ApiClient) -> None:
    ids = _uploaded(ada, "a & b = 1", "something else", "a & b = 2")

    pages = _all_pages(ada, owner="me", status="ready", title="a & b =", limit=1)

    assert [_ids(page) for page in pages] == [[ids[2]], [ids[0]]]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "1.5", "1_0", "01"])
def test_a_limit_out_of_bounds_is_refused(ada: ApiClient, limit: str) -> None:
    assert field_messages(ada.images(limit=limit)).keys() == {"limit"}


def test_blank_filters_count_as_none_and_a_title_is_found_however_it_is_composed(
    ada: ApiClient,
) -> None:
    (image_id,) = _uploaded(ada, "r\u00e9sum\u00e9")

    for title in ("", " re\u0301sume\u0301"):
        found = ada.images(owner="me", limit="", status="", cursor="", title=title)
        assert _ids(found) == [image_id]


def test_limits_at_the_bounds_are_taken(ada: ApiClient) -> None:
    ids = _uploaded(ada, "a", "b")

    assert _ids(ada.images(owner="me", limit=1)) == [ids[1]]
    assert _ids(ada.images(owner="me", limit=100)) == ids[::-1]


@pytest.mark.parametrize("cursor", ["nonsense", "aQ", "aTA", "aS0x", "éé", "aTE=x", "' OR 1=1 --"])
def test_a_cursor_that_this_list_did_not_give_is_refused(ada: ApiClient, cursor: str) -> None:
    assert field_messages(ada.images(cursor=cursor)) == {
        "cursor": "The cursor is not valid; use the one from the Link header"
    }


@pytest.mark.parametrize(
    ("name", "value"), [("owner", "you"), ("status", "done"), ("colour", "red")]
)
def test_a_filter_that_does_not_exist_is_refused(ada: ApiClient, name: str, value: str) -> None:
    assert field_messages(ada.images(**{name: value})).keys() == {name}


def test_a_list_is_for_signed_in_users_only(visitor: ApiClient) -> None:
    assert visitor.images().status_code == 401
