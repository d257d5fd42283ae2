"""The trash: PUT /image/update/{image_id} with `trashed`."""

from __future__ import annotations

import requests

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.holding import Processing


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
    for link in ("url", "thumbnail_url"):
        assert requests.get(others[link], timeout=60).status_code in (403, 404)
        ada.download(trashed[link])

    restored = ada.updated(image_id, trashed=False)
    assert restored["trashed_at"] is None
    assert _is_listed(bob, image_id)
    links = {"url", "thumbnail_url", "preview_url", "rendition_url"}
    changing = {"updated_at", "version", "file_path", *links}
    assert {k: v for k, v in restored.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }


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
