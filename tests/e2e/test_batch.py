"""POST /image/batch."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages


def _batch(client: ApiClient, key: str | None = None, **request: Any) -> requests.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.request("POST", "/image/batch", json=request, headers=headers)


def _results(answer: requests.Response) -> list[tuple[int, int, str]]:
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert all(result.keys() == {"id", "status_code", "code", "detail"} for result in results)
    return [(each["id"], each["status_code"], each["code"]) for each in results]


def test_each_image_is_changed_or_refused_by_itself(ada: ApiClient, bob: ApiClient) -> None:
    mine = [ada.uploaded(samples.gif())["id"] for _ in range(2)]
    bobs = bob.uploaded(samples.gif())["id"]

    answer = _batch(
        ada, ids=[mine[1], bobs, 999_999_999, mine[0], mine[1]], changes={"tags": ["batch"]}
    )

    assert _results(answer) == [
        (mine[1], 200, "accepted"),
        (bobs, 404, "image_not_found"),
        (999_999_999, 404, "image_not_found"),
        (mine[0], 200, "accepted"),
        (mine[1], 200, "accepted"),
    ]
    for image_id in mine:
        image = ada.settled(image_id)
        assert (image["tags"], image["version"]) == (["batch"], 2)
    assert bob.image(bobs).json()["tags"] == []


def test_many_are_trashed_and_deleted_at_once(ada: ApiClient, bob: ApiClient) -> None:
    ids = [ada.uploaded(samples.gif())["id"] for _ in range(3)]

    _batch(ada, ids=ids, changes={"trashed": True})
    assert [bob.image(image_id).status_code for image_id in ids] == [404] * 3
    assert len(ada.images(trashed="true").json()) == 3

    assert _results(_batch(ada, ids=ids[:2], delete=True)) == [
        (image_id, 200, "accepted") for image_id in ids[:2]
    ]
    assert [ada.image(image_id).status_code for image_id in ids] == [404, 404, 200]
    assert _results(_batch(ada, ids=ids[:1], delete=True)) == [(ids[0], 404, "image_not_found")]


def test_a_size_that_one_of_them_cannot_have_refuses_that_one(ada: ApiClient) -> None:
    still, moving = (
        ada.uploaded(data)["id"] for data in (samples.png(), samples.animation("image/gif"))
    )

    answer = _batch(ada, ids=[still, moving], changes={"resolution": "8000x6000"})

    assert _results(answer) == [(still, 200, "accepted"), (moving, 400, "validation_error")]
    assert "frames" in answer.json()["results"][1]["detail"]
    assert ada.image(moving).json()["version"] == 1
    ada.settled(still)


def test_the_same_batch_with_the_same_key_is_done_once(ada: ApiClient) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    ids = [image_id, 999_999_999]

    first = _batch(ada, "batch-1", ids=ids, changes={"title": "once"})
    assert _batch(ada, "batch-1", ids=ids, changes={"title": "once"}).json() == first.json()
    assert ada.settled(image_id)["version"] == 2
    other = _batch(ada, "batch-1", ids=ids, changes={"title": "twice"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({"ids": [1]}, "body"),
        ({"ids": [1], "changes": {"title": "x"}, "delete": True}, "body"),
        ({"ids": [1], "delete": False}, "delete"),
        ({"ids": [1], "changes": {}}, "changes"),
        ({"ids": [1], "changes": {"title": ""}}, "changes.title"),
        ({"ids": [1], "changes": {"colour": "red"}}, "changes.colour"),
        ({"ids": [], "delete": True}, "ids"),
        ({"ids": list(range(1, 102)), "delete": True}, "ids"),
        ({"ids": ["1"], "delete": True}, "ids"),
        ({"ids": [0], "delete": True}, "ids"),
        ({"delete": True}, "ids"),
        ({"ids": [1], "delete": True, "dry_run": True}, "dry_run"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused_as_a_whole(
    ada: ApiClient, request_body: dict[str, Any], field: str
) -> None:
    assert field_messages(_batch(ada, **request_body)).keys() == {field}


def test_a_batch_may_be_of_a_hundred(ada: ApiClient) -> None:
    ids = [ada.uploaded(samples.gif())["id"], *range(10**9, 10**9 + 99)]

    codes = [code for _, _, code in _results(_batch(ada, ids=ids, delete=True))]

    assert codes == ["accepted", *["image_not_found"] * 99]


def test_a_batch_is_for_signed_in_users_only(visitor: ApiClient) -> None:
    assert _batch(visitor, ids=[1], delete=True).status_code == 401
