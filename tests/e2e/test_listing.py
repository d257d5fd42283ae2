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


def _uploaded(client: ApiClient, *titles: str, **fields: Any) -> list[int]:
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
    # Of uploads side by side the later id may be the earlier one's.
    moments = [(image["created_at"], image["id"]) for page in pages for image in page.json()]
    assert moments == sorted(moments, reverse=True)
    assert len(set(ids)) == len(ids)
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


@pytest.mark.parametrize("cursor", ["nonsense", "aQ", "aTA", "éé", "aTE=x", "' OR 1=1 --", "W10"])
def test_a_cursor_that_this_list_did_not_give_is_refused(ada: ApiClient, cursor: str) -> None:
    assert field_messages(ada.images(cursor=cursor)) == {
        "cursor": "The cursor is not valid; use the one from the Link header"
    }


@pytest.mark.parametrize(
    ("name", "value"), [("owner", "you"), ("status", "done"), ("colour", "red")]
)
def test_a_filter_that_does_not_exist_is_refused(ada: ApiClient, name: str, value: str) -> None:
    assert field_messages(ada.images(**{name: value})).keys() == {name}


def test_a_list_is_sorted_as_it_is_asked_for_on_all_its_pages(ada: ApiClient) -> None:
    sizes = {"b.gif": 40, "A.gif": 90, "c.gif": 10}
    ids = {}
    for title, side in sizes.items():
        image = ada.uploaded(samples.png(samples.photo(side, side)), title=title)
        ids[title] = image["id"]

    def titles(sort: str) -> list[str]:
        pages = _all_pages(ada, owner="me", sort=sort, limit=1)
        assert {page.headers["X-Total-Count"] for page in pages} == {"3"}
        return [image["title"] for page in pages for image in page.json()]

    assert titles("title") == ["A.gif", "b.gif", "c.gif"]
    assert titles("-title") == ["c.gif", "b.gif", "A.gif"]
    assert titles("created_at") == list(sizes)
    assert titles("-created_at") == list(sizes)[::-1]
    assert titles("size") == ["c.gif", "b.gif", "A.gif"]
    assert titles("-size") == ["A.gif", "b.gif", "c.gif"]


def test_ones_own_images_are_listed_as_they_were_taken(ada: ApiClient, bob: ApiClient) -> None:
    taken = {"newer": "2024:11:02 18:10:16", "older": "2001:01:01 00:00:00", "unknown": None}
    ids = {
        name: ada.uploaded(samples.jpeg(exif=samples.exif(taken_at=moment)))["id"]
        for name, moment in taken.items()
    }
    bob.uploaded(samples.jpeg(exif=samples.exif(taken_at="2010:01:01 00:00:00")))
    ada.updated(ids["older"], visibility="private")

    pages = _all_pages(ada, sort="-taken_at", limit=1)
    assert [_ids(page) for page in pages] == [[each] for each in ids.values()]
    assert {page.headers["X-Total-Count"] for page in pages} == {"3"}
    assert _ids(ada.images(sort="-taken_at", owner="me")) == list(ids.values())
    owner = ada.image(ids["newer"]).json()["user_id"]
    assert field_messages(bob.images(sort="-taken_at", owner=owner)) == {
        "owner": "-taken_at lists your own images only: send owner=me, or no owner"
    }


def test_filters_select_by_words_tags_type_time_and_id(ada: ApiClient, bob: ApiClient) -> None:
    night = ada.uploaded(
        samples.gif(), title="IMG_0001.gif", description="From the roof", tags=["Night", "rocket"]
    )
    day = ada.uploaded(samples.png(), title="day.png", tags=["rocket"], visibility="private")
    bobs = bob.uploaded(samples.gif(), title="roof", tags=["night"])

    def found(client: ApiClient = ada, **query: Any) -> set[int]:
        answer = client.images(ids=f"{night['id']},{day['id']},{bobs['id']}", **query)
        return set(_ids(answer))

    assert found() == {night["id"], day["id"], bobs["id"]}
    assert found(bob) == {night["id"], bobs["id"]}
    assert found(q="ROOF") == {night["id"], bobs["id"]}
    assert found(q="0001 roof rocket") == {night["id"]}
    assert found(q="roo") == set()
    assert found(tag="NIGHT") == {night["id"], bobs["id"]}
    assert found(tag=["night", "rocket"]) == {night["id"]}
    assert found(tag=["", "rocket"], owner="me") == {night["id"], day["id"]}
    assert found(owner=ada.image(night["id"]).json()["user_id"]) == {night["id"], day["id"]}
    assert found(bob, owner=night["user_id"]) == {night["id"]}
    assert found(visibility="private") == {day["id"]}
    assert found(bob, visibility="private") == set()
    assert found(content_type="image/PNG") == {day["id"]}
    assert found(created_after=night["created_at"]) == {day["id"], bobs["id"]}
    assert found(created_before=day["created_at"]) == {night["id"]}
    assert found(created_before="2001-01-01") == set()
    assert _ids(ada.images(q="roof", owner="me")) == [night["id"]]


def test_any_filter_goes_with_any_sort(ada: ApiClient) -> None:
    mark = ada.username[-8:]
    images = [
        ada.uploaded(samples.png(samples.photo(side, side)), title=f"{mark} {title}", tags=[mark])
        for title, side in (("b", 40), ("A", 90), ("c", 10))
    ]
    ids = ",".join(str(image["id"]) for image in images)
    filters: list[dict[str, str]] = [
        *({"owner": "me"}, {"ids": ids}, {"q": mark}, {"tag": mark}, {"title": mark}),
        *({**more, "owner": "me"} for more in (
            {"status": "ready"}, {"visibility": "shared"}, {"content_type": "image/png"},
            {"created_after": "2001-01-01"}, {"created_before": "2999-01-01"},
        )),
    ]  # fmt: skip
    by_age = ["b", "A", "c"]
    sorts = {
        "created_at": by_age,
        "-created_at": by_age[::-1],
        "-taken_at": by_age[::-1],
        "title": ["A", "b", "c"],
        "-title": ["c", "b", "A"],
        "size": ["c", "b", "A"],
        "-size": ["A", "b", "c"],
    }
    for sort, wanted in sorts.items():
        for query in filters:
            answer = ada.images(sort=sort, **query)
            seen = [image["title"].removeprefix(f"{mark} ") for image in answer.json()]
            assert (seen, answer.headers["X-Total-Count"]) == (wanted, "3"), (sort, query)


def test_a_hundred_ids_may_be_asked_for(ada: ApiClient) -> None:
    (image_id,) = _uploaded(ada, "a")
    others = (10**9 + number for number in range(99))

    assert _ids(ada.images(ids=",".join(map(str, (*others, image_id))))) == [image_id]


def test_the_trash_is_a_list_of_its_own(ada: ApiClient, bob: ApiClient) -> None:
    first, second = _uploaded(ada, "first", "second")
    ada.updated(first, trashed=True)

    trash = ada.images(trashed="true")
    assert (_ids(trash), trash.headers["X-Total-Count"]) == ([first], "1")
    assert trash.json()[0]["trashed_at"] is not None
    assert _ids(ada.images(trashed="true", title="second")) == []
    assert _ids(ada.images(owner="me")) == [second]
    assert _ids(bob.images(trashed="true")) == []
    assert field_messages(ada.images(trashed="true", visibility="shared")).keys() == {"visibility"}
    assert field_messages(ada.images(trashed="true", owner="1000000")).keys() == {"owner"}


def test_a_cursor_belongs_to_one_sort_and_one_set_of_filters(ada: ApiClient) -> None:
    _uploaded(ada, "a", "b")
    link = ada.images(owner="me", sort="title", tag=[], limit=1).links["next"]["url"]

    assert len(_ids(ada.get(link))) == 1
    assert len(_ids(ada.get(link.replace("limit=1", "limit=2")))) == 1
    for before, after in (("sort=title", "sort=-title"), ("owner=me", "q=a"), ("sort=title&", "")):
        assert before in link
        messages = field_messages(ada.get(link.replace(before, after)))
        assert messages == {
            "cursor": "The cursor belongs to another sort or to other filters: begin without one"
        }


def test_several_tags_stay_in_the_link_to_the_next_page(ada: ApiClient) -> None:
    ids = [ada.uploaded(samples.gif(), tags=["x & y", "z"])["id"] for _ in range(2)]
    ada.uploaded(samples.gif(), tags=["z"])

    pages = _all_pages(ada, owner="me", tag=["x & y", "z"], limit=1)
    assert [_ids(page) for page in pages] == [[ids[1]], [ids[0]]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sort", "name"),
        ("sort", "taken_at"),
        ("owner", "0"),
        ("ids", "1,,2"),
        ("ids", ",".join(str(number) for number in range(1, 102))),
        ("q", " - "),
        ("q", "x" * 256),
        ("q", "a\0b"),
        ("title", "a\0b"),
        ("tag", "a\0b"),
        ("tag", [str(number) for number in range(33)]),
        ("visibility", "secret"),
        ("content_type", "png"),
        ("created_after", "yesterday"),
        ("created_before", "2026-11-02T18:10:16"),
        ("trashed", "yes"),
    ],
)
def test_a_filter_that_breaks_a_rule_names_itself(ada: ApiClient, name: str, value: Any) -> None:
    assert field_messages(ada.images(**{name: value})).keys() == {name}


def test_a_list_is_for_signed_in_users_only(visitor: ApiClient) -> None:
    assert visitor.images().status_code == 401
