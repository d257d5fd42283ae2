"""POST /image/direct_upload: large files go straight to the storage."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.routes import DOCUMENT

ROCKET = samples.rocket()
UNKNOWN_ID = "0" * 32


def _begin(client: ApiClient) -> dict[str, Any]:
    answer = client.request("POST", "/image/direct_upload")
    assert answer.status_code == 200, answer.text
    offer: dict[str, Any] = answer.json()
    return offer


def _send(client: ApiClient, offer: dict[str, Any], data: bytes) -> int:
    client_token, client.token = client.token, None
    answer = client.request("POST", offer["url"], data=offer["fields"], files={"file": data})
    client.token = client_token
    return answer.status_code


def _complete(client: ApiClient, upload_id: str, **details: Any) -> Any:
    return client.request("POST", f"/image/direct_upload/{upload_id}", json=details)


def test_a_photo_too_large_for_the_api_comes_in_by_way_of_the_storage(ada: ApiClient) -> None:
    data = samples.png(samples.photo(2400, 1800, "hubble_deep_field.jpg"), compress_level=1)
    assert len(data) > 4_500_000

    offer = _begin(ada)
    assert offer["max_bytes"] >= len(data)
    assert _send(ada, offer, data) == 204
    answer = _complete(
        ada,
        offer["upload_id"],
        filename="../stars.png",
        visibility="private",
        tags=["night", "Night"],
        description="On the roof",
    )

    assert answer.status_code == 200
    assert answer.json()["status"] == "processing"
    image = ada.settled(answer.json()["id"])
    assert image["title"] == "stars.png"
    assert image["visibility"] == "private"
    assert (image["tags"], image["description"]) == (["night"], "On the roof")
    assert image["resolution"] == "2400x1800"
    assert image["size"] == len(data)
    assert ada.download(image["url"]).content == data


def test_an_upload_is_completed_without_a_body_since_every_field_is_optional(
    ada: ApiClient,
) -> None:
    variants: tuple[dict[str, Any], ...] = (
        {},
        {"data": b"", "headers": {"Content-Type": "application/json"}},
    )
    for options in variants:
        offer = _begin(ada)
        _send(ada, offer, ROCKET)
        path = f"/image/direct_upload/{offer['upload_id']}"
        answer = ada.request("POST", path, **options)
        assert answer.status_code == 200, answer.text
        assert ada.image(answer.json()["id"]).json()["title"] == "image.jpg"


def test_a_page_in_a_browser_may_send_a_file_to_the_storage(ada: ApiClient) -> None:
    offer = _begin(ada)
    origin = {"Origin": "https://photos.example"}
    preflight = requests.options(
        offer["url"], headers={**origin, "Access-Control-Request-Method": "POST"}
    )
    sent = requests.post(offer["url"], data=offer["fields"], files={"file": ROCKET}, headers=origin)
    assert (preflight.status_code, sent.status_code) == (200, 204)
    for answer in (preflight, sent):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


def test_what_was_sent_waits_nowhere_once_it_is_an_image(ada: ApiClient, bucket: Any) -> None:
    offer = _begin(ada)
    _send(ada, offer, ROCKET)
    completed = _complete(ada, offer["upload_id"], title="Lift-off").json()
    ada.settled(completed["id"])

    assert not [
        item.key
        for item in bucket.objects.filter(Prefix="incoming/")
        if offer["upload_id"] in item.key
    ]
    assert _complete(ada, offer["upload_id"]).json() == completed
    assert len(ada.images(owner="me").json()) == 1


@pytest.mark.parametrize(
    ("data", "status", "code", "words"),
    [
        (b"This is a letter and no picture.", 400, "not_an_image", "not an image"),
        (ROCKET[:200], 400, "damaged_image", "cut off"),
        (b"<svg/>", 415, "unsupported_format", "SVG"),
        (samples.png_bomb(), 413, "too_many_pixels", "50 megapixels"),
    ],
    ids=["text", "cut off", "SVG", "bomb"],
)
def test_a_file_that_is_not_accepted_is_refused_and_not_kept(
    ada: ApiClient, bucket: Any, data: bytes, status: int, code: str, words: str
) -> None:
    offer = _begin(ada)
    assert _send(ada, offer, data) == 204

    answer = _complete(ada, offer["upload_id"])

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["detail"]
    assert ada.images(owner="me").json() == []
    assert not [item for item in bucket.objects.all() if offer["upload_id"] in item.key]


def test_an_upload_that_was_never_sent_or_is_somebody_elses_is_not_found(
    ada: ApiClient, bob: ApiClient
) -> None:
    never_sent, mine = _begin(ada), _begin(ada)
    _send(ada, mine, ROCKET)

    for upload_id in (never_sent["upload_id"], "0" * 32, "7", "0" * 31 + "G"):
        answer = _complete(ada, upload_id)
        assert (answer.status_code, answer.json()["code"]) == (404, "upload_not_found")
    assert _complete(ada, UNKNOWN_ID).status_code == 404
    assert _complete(bob, mine["upload_id"]).status_code == 404
    assert _complete(ada, mine["upload_id"]).status_code == 200


def test_details_that_are_blank_are_not_given(ada: ApiClient) -> None:
    offer = _begin(ada)
    _send(ada, offer, ROCKET)
    blank = {"title": " ", "visibility": "", "description": "", "tags": []}

    answer = _complete(ada, offer["upload_id"], filename="rocket.jpg", **blank)

    assert answer.status_code == 200, answer.text
    image = ada.image(answer.json()["id"]).json()
    assert (image["title"], image["visibility"]) == ("rocket.jpg", "shared")
    assert (image["description"], image["tags"]) == ("", [])
    details = DOCUMENT["components"]["schemas"]["DirectUploadDetails"]
    jsonschema_rs.Draft202012Validator(details).validate(blank)


def test_details_that_break_a_rule_are_refused(ada: ApiClient) -> None:
    answer = _complete(ada, UNKNOWN_ID, title="a" * 256, visibility="secret", size=1)

    assert field_messages(answer).keys() == {"title", "visibility", "size"}


def test_a_direct_upload_is_for_signed_in_users_only(visitor: ApiClient) -> None:
    assert visitor.request("POST", "/image/direct_upload").status_code == 401
    assert _complete(visitor, UNKNOWN_ID).status_code == 401
