"""DELETE /image/delete/{image_id}."""

from __future__ import annotations

from typing import Any

import pytest
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.holding import Processing
from tests.links import lasting
from tests.waiting import eventually


def test_a_deleted_image_is_gone_from_every_list_at_once(
    ada: ApiClient, bob: ApiClient, processing: Processing
) -> None:
    image = ada.uploaded(samples.png())
    total = int(bob.images().headers["X-Total-Count"])

    with processing.held():
        answer = ada.delete(image["id"])

        assert answer.status_code == 200
        assert answer.json() == {
            "detail": "Image deletion request sent to the processing service",
            "id": image["id"],
        }
        assert ada.images(owner="me").json() == []
        assert ada.images(owner="me").headers["X-Total-Count"] == "0"
        assert image["id"] not in [listed["id"] for listed in bob.images().json()]
        assert int(bob.images().headers["X-Total-Count"]) == total - 1
        for client in (ada, bob):
            assert client.image(image["id"]).status_code == 404
        assert ada.update(image["id"], title="again").status_code == 404
        assert ada.delete(image["id"]).status_code == 404


def test_in_the_end_nothing_of_a_deleted_image_is_left(
    ada: ApiClient, bucket: Any, database: Connection
) -> None:
    image = ada.uploaded(samples.jpeg(exif=samples.exif(6)))
    image = ada.updated(image["id"], resolution="50x50")
    folder = "/".join(image["file_path"].split("/")[:2])
    eventually(
        lambda: len(list(bucket.objects.filter(Prefix=folder))) == 4,
        "the renditions of before are removed",
    )
    asked = "SELECT FROM requested_renditions WHERE image_id = :id"
    assert ada.rendition(f"/image/{image['id']}/rendition?width=64").status_code == 302
    assert len(list(bucket.objects.filter(Prefix=folder))) == 5
    assert len(database.run(asked, id=image["id"])) == 1

    ada.delete(image["id"])

    eventually(lambda: not list(bucket.objects.filter(Prefix=folder)), "the files are removed")
    eventually(
        lambda: not database.run("SELECT FROM images WHERE id = :id", id=image["id"]),
        "the row is removed",
    )
    assert not database.run("SELECT FROM renditions WHERE image_id = :id", id=image["id"])
    assert not database.run(asked, id=image["id"])
    assert ada.get(image["url"]).status_code == 404
    assert ada.image(image["id"]).status_code == 404


def test_an_image_may_be_deleted_while_it_is_processing(ada: ApiClient, bucket: Any) -> None:
    image_id = ada.upload(samples.png(samples.photo(1200, 800))).json()["id"]
    folder = "/".join(ada.image(image_id).json()["file_path"].split("/")[:2])
    assert list(bucket.objects.filter(Prefix=folder))
    assert ada.update(image_id, resolution="100x100").status_code == 200

    assert ada.delete(image_id).status_code == 200

    assert ada.image(image_id).status_code == 404
    eventually(lambda: not list(bucket.objects.filter(Prefix=folder)), "no file is left behind")


def test_only_the_owner_deletes_an_image(ada: ApiClient, bob: ApiClient) -> None:
    image = ada.uploaded(samples.gif())

    not_mine = bob.delete(image["id"])
    missing = bob.delete(999_999_999)

    assert not_mine.status_code == missing.status_code == 404
    assert not_mine.json() == missing.json()
    assert lasting(ada.image(image["id"]).json()) == lasting(image)


@pytest.mark.parametrize("image_id", ["0", "abc", "9223372036854775808"])
def test_what_is_no_image_cannot_be_deleted(ada: ApiClient, image_id: str) -> None:
    assert ada.delete(image_id).status_code == 404
