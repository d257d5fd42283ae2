"""GET /image/{image_id}/history."""

from __future__ import annotations

from tests import samples
from tests.e2e.api_client import ApiClient


def test_an_owner_reads_what_became_of_each_change(ada: ApiClient, bob: ApiClient) -> None:
    image_id = ada.uploaded(samples.animation("image/gif"))["id"]
    ada.updated(image_id, title="Lift-off")
    ada.updated(image_id, visibility="private")

    answer = ada.get(f"/image/{image_id}/history")

    assert answer.status_code == 200
    seen = [(each["version"], each["change"], each["changes"]) for each in answer.json()]
    assert seen == [
        (3, "update", {"visibility": "private"}),
        (2, "update", {"title": "Lift-off"}),
        (1, "upload", {}),
    ]
    for change in answer.json():
        assert (change["outcome"], change["attempts"], change["reason"]) == ("applied", 1, None)
        assert change["accepted_at"] <= change["settled_at"]


def test_it_says_why_a_change_has_failed(ada: ApiClient) -> None:
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    image = ada.settled(ada.upload(damaged).json()["id"], "failed")

    (change,) = ada.get(f"/image/{image['id']}/history").json()
    assert (change["outcome"], change["reason"]) == ("failed", image["error"])


def test_it_is_its_owners_alone(ada: ApiClient, bob: ApiClient, visitor: ApiClient) -> None:
    path = f"/image/{ada.uploaded(samples.gif())['id']}/history"

    assert bob.get(path).json()["code"] == "image_not_found"
    assert ada.get("/image/999999999/history").status_code == 404
    assert visitor.get(path).status_code == 401
