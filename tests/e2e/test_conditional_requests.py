"""ETag, If-None-Match and If-Match, through the gateway."""

from __future__ import annotations

from functools import partial

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.links import within_one_window


def test_what_did_not_change_is_not_sent_again(ada: ApiClient) -> None:
    image_id = ada.uploaded(samples.gif())["id"]

    for path in (
        *(f"/image/{image_id}", "/image/get_all_images?owner=me", "/image/tags?owner=me"),
    ):
        etag = within_one_window(partial(_etag_of_what_stays, ada, path))
        known = {"If-None-Match": f'"other", {etag}'}
        ada.updated(image_id, title=f"after {path}", tags=[f"after {path}"])
        changed = ada.get(path, headers=known)
        assert changed.status_code == 200
        assert changed.headers["ETag"] != etag


def _etag_of_what_stays(ada: ApiClient, path: str) -> str:
    first = ada.get(path)
    etag = first.headers["ETag"]
    assert ada.request("HEAD", path).headers["ETag"] == etag
    again = ada.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == etag
    assert ada.get(path, headers={"If-None-Match": '"other"'}).json() == first.json()
    return etag


def test_a_change_of_a_version_that_is_gone_is_refused(ada: ApiClient) -> None:
    image = ada.uploaded(samples.gif())
    image_id, first = image["id"], {"If-Match": f'"{image["version"]}"'}

    accepted = ada.update(image_id, headers=first, title="in one tab")
    assert accepted.json()["version"] == 2
    assert ada.settled(image_id)["version"] == 2

    for answer in (
        ada.update(image_id, headers=first, title="in another tab"),
        ada.delete(image_id, headers=first),
    ):
        assert answer.status_code == 412
        assert answer.json()["code"] == "precondition_failed"
    assert ada.settled(image_id)["title"] == "in one tab"

    known = {"If-Match": ada.image(image_id).headers["ETag"]}
    assert ada.update(image_id, headers=known, title="after a look").json()["version"] == 3
    assert ada.delete(image_id, headers={"If-Match": "*"}).status_code == 200


def test_a_repeated_change_is_answered_as_at_first_whatever_the_version_is_by_now(
    ada: ApiClient,
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    headers = {"If-Match": '"1"', "Idempotency-Key": "change-1"}

    first = ada.update(image_id, headers=headers, title="once")
    ada.update(image_id, title="twice")

    assert ada.update(image_id, headers=headers, title="once").json() == first.json()
    settled = ada.settled(image_id)
    assert (settled["title"], settled["version"]) == ("twice", 3)


def test_nobody_learns_the_version_of_an_image_that_they_may_not_change(
    ada: ApiClient, bob: ApiClient
) -> None:
    image_id = ada.uploaded(samples.gif(), visibility="private")["id"]

    for version in (1, 2):
        headers = {"If-Match": f'"{version}"'}
        assert bob.update(image_id, headers=headers, title="x").status_code == 404
        assert bob.delete(image_id, headers=headers).status_code == 404


@pytest.mark.parametrize("tags", ["1", '"1', "1, 2"])
def test_what_is_no_list_of_etags_is_refused(ada: ApiClient, tags: str) -> None:
    image_id = ada.uploaded(samples.gif())["id"]

    answers = {
        "If-Match": ada.update(image_id, headers={"If-Match": tags}, title="x"),
        "If-None-Match": ada.get(f"/image/{image_id}", headers={"If-None-Match": tags}),
    }
    for header, answer in answers.items():
        assert field_messages(answer).keys() == {header}
