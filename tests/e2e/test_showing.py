"""GET /image/{image_id}."""

from __future__ import annotations

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient

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


def test_an_image_looks_the_same_in_a_list(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png())

    assert ada.images(owner="me").json() == [image]


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

    assert bob.image(image["id"]).json() == {**image, "taken_at": None}
    assert visitor.image(image["id"]).status_code == 401
