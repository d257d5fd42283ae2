"""The trash: PUT /image/update/{image_id} with `trashed`."""

from __future__ import annotations

from typing import Any

import requests
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.links import LINKS
from tests.waiting import eventually


def _is_listed(client: ApiClient, image_id: int) -> bool:
    return image_id in {image["id"] for image in client.images().json()}


def test_what_is_trashed_is_gone_with_the_answer_and_comes_back_as_it_was(
    ada: ApiClient, bob: ApiClient, processing: Processing
) -> None:
    before = ada.uploaded(samples.rocket(), title="mine", tags=["rocket"])
    image_id = before["id"]
    others = bob.image(image_id).json()

    with processing.held():
        assert ada.update(image_id, trashed=True).json()["version"] == 2
        assert bob.image(image_id).status_code == 404
        assert not _is_listed(bob, image_id)
        assert not _is_listed(ada, image_id)
        assert ada.image(image_id).json()["trashed_at"] is not None

    trashed = ada.settled(image_id)
    assert (trashed["title"], trashed["tags"], trashed["visibility"]) == (
        *("mine", ["rocket"], "shared"),
    )
    for link in ("url", "thumbnail_url", "preview_url"):
        assert requests.get(others[link]).status_code in (403, 404)
        ada.download(trashed[link])
    assert bob.get(others["rendition_url"]).status_code == 404
    assert ada.rendition(trashed["rendition_url"]).status_code == 302

    restored = ada.updated(image_id, trashed=False)
    assert restored["trashed_at"] is None
    assert bob.get(others["rendition_url"]).status_code == 404
    assert bob.rendition(restored["rendition_url"]).status_code == 302
    assert _is_listed(bob, image_id)
    changing = {"updated_at", "version", "file_path", *LINKS}
    assert {k: v for k, v in restored.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }


def test_a_public_link_stops_in_the_trash_and_is_the_same_when_its_image_comes_back(
    ada: ApiClient, visitor: ApiClient, processing: Processing
) -> None:
    image = ada.uploaded(samples.rocket(), visibility="public")
    link = f"{image['rendition_url']}&width=64"
    shown = visitor.rendition(link).headers["Location"]

    with processing.held():
        assert ada.update(image["id"], trashed=True).status_code == 200
        assert visitor.get(link).status_code == 404
    ada.settled(image["id"])
    assert visitor.get(link).status_code == 404
    assert requests.get(shown).status_code in (403, 404)

    restored = ada.updated(image["id"], trashed=False)
    assert (restored["visibility"], restored["rendition_url"]) == (
        *("public", image["rendition_url"]),
    )
    visitor.download(visitor.rendition(link).headers["Location"])


def test_what_has_been_in_the_trash_for_long_enough_is_deleted(
    ada: ApiClient, cloud: RunningCloud, database: Connection, bucket: Any
) -> None:
    old, young = (ada.uploaded(samples.gif()) for _ in range(2))
    for image in (old, young):
        ada.updated(image["id"], trashed=True)
    folder = "/".join(ada.image(old["id"]).json()["file_path"].split("/")[:2])
    for image, days in ((old, 31), (young, 29)):
        database.run(
            "UPDATE images SET trashed_at = now() - make_interval(days => :days::integer) "
            "WHERE id = :id",
            id=image["id"],
            days=days,
        )

    assert cloud.invoke("janitor", {})["trash_deleted"] >= 1

    assert ada.image(old["id"]).status_code == 404
    assert [image["id"] for image in ada.images(trashed="true").json()] == [young["id"]]

    def is_gone() -> bool:
        # What the schedule does every minute.
        cloud.invoke("relay", {})
        return not list(bucket.objects.filter(Prefix=folder))

    eventually(is_gone, "its files are removed")


def test_the_trash_is_its_owners_and_an_image_in_it_is_deleted_for_good(
    ada: ApiClient, bob: ApiClient
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]

    assert bob.update(image_id, trashed=True).status_code == 404
    ada.updated(image_id, trashed=True)
    assert bob.update(image_id, trashed=False).status_code == 404
    assert ada.delete(image_id).status_code == 200
    assert ada.image(image_id).status_code == 404
    assert ada.update(image_id, trashed=False).status_code == 404


def test_only_true_and_false_are_answers_to_whether_it_is_trashed(ada: ApiClient) -> None:
    image_id = ada.uploaded(samples.gif())["id"]

    answers: tuple[object, ...] = ("true", 1, "", [])
    for trashed in answers:
        assert field_messages(ada.update(image_id, trashed=trashed)).keys() == {"trashed"}
