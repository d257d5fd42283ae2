"""GET /image/{image_id}/history."""

from __future__ import annotations

from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud


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


def test_a_change_that_is_not_made_yet_has_no_outcome(
    ada: ApiClient, processing: Processing
) -> None:
    with processing.held():
        image_id = ada.upload(samples.gif()).json()["id"]
        (change,) = ada.get(f"/image/{image_id}/history").json()
    assert (change["outcome"], change["settled_at"]) == (None, None)
    ada.settled(image_id)


def test_it_goes_back_for_ninety_days(
    cloud: RunningCloud, ada: ApiClient, database: Connection
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    for title in ("second", "third"):
        ada.updated(image_id, title=title)
    for version, days in ((1, 91), (2, 89)):
        database.run(
            "UPDATE changes SET accepted_at = now() - make_interval(days => :days), "
            "settled_at = now() - make_interval(days => :days) "
            "WHERE image_id = :id AND sequence = :version",
            id=image_id,
            version=version,
            days=days,
        )
    for _ in range(2):
        # The oldest is not shown any more, also before it is forgotten.
        history = ada.get(f"/image/{image_id}/history").json()
        assert [change["version"] for change in history] == [3, 2]
        cloud.invoke("relay", {})
    kept = "SELECT sequence FROM changes WHERE image_id = :id ORDER BY 1"
    assert database.run(kept, id=image_id) == [[2], [3]]


def test_it_is_its_owners_alone(ada: ApiClient, bob: ApiClient, visitor: ApiClient) -> None:
    path = f"/image/{ada.uploaded(samples.gif())['id']}/history"

    assert bob.get(path).json()["code"] == "image_not_found"
    assert ada.get("/image/999999999/history").status_code == 404
    assert visitor.get(path).status_code == 401
