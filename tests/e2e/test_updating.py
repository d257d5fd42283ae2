"""PUT /image/update/{image_id}."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pg8000.native import Connection
from PIL import Image as Pillow

from tests import samples
from tests.e2e.api_client import ApiClient, Image, field_messages
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.links import lasting
from tests.waiting import eventually

ROCKET = samples.rocket()


def _picture(client: ApiClient, image: Image, link: str = "url") -> Pillow.Image:
    return samples.opened(client.download(image[link]).content)


def _pixel(picture: Pillow.Image, x: float, y: float) -> tuple[int, ...]:
    """By position from 0 to 1, as RGBA."""
    at = (round(x * (picture.width - 1)), round(y * (picture.height - 1)))
    value = picture.convert("RGBA").getpixel(at)
    assert isinstance(value, tuple)
    return tuple(int(part) for part in value)


def test_a_change_is_accepted_and_then_applied(ada: ApiClient) -> None:
    before = ada.uploaded(ROCKET)

    answer = ada.update(before["id"], title="Lift-off")

    assert answer.status_code == 200
    assert answer.json() == {
        "detail": "Image update request sent to the processing service",
        "id": before["id"],
        "version": 2,
    }
    after = ada.settled(before["id"])
    assert after["title"] == "Lift-off"
    assert after["updated_at"] > before["updated_at"]
    changed = {name: after[name] for name in ("title", "updated_at", "version")}
    assert lasting(after) == lasting(before) | changed


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch", None])
def test_a_new_resolution_is_reached_exactly_and_as_fit_says(
    ada: ApiClient, fit: str | None
) -> None:
    image = ada.uploaded(samples.png(samples.quarters(400, 200)))
    fields = {"fit": fit} if fit else {}

    after = ada.updated(image["id"], resolution="100x100", **fields)

    picture = _picture(ada, after)
    assert picture.size == (100, 100)
    assert after["resolution"] == "100x100"
    assert after["size"] == len(ada.download(after["url"]).content)
    assert after["content_type"] == "image/png"
    top, middle = _pixel(picture, 0.25, 0.02), _pixel(picture, 0.25, 0.4)
    assert middle[:3] == samples.QUARTERS["top left"]
    if fit == "contain":
        assert top[3] == 0
    else:
        assert top == (*samples.QUARTERS["top left"], 255)
    # Covering cuts off the sides: the border between left and right stays in the middle.
    assert _pixel(picture, 0.75, 0.6)[:3] == samples.QUARTERS["bottom right"]
    assert _picture(ada, after, "thumbnail_url").size == (100, 100)


def test_covering_crops_where_stretching_distorts(ada: ApiClient) -> None:
    striped = Pillow.new("RGB", (400, 100), (255, 0, 0))
    striped.paste((0, 0, 255), (100, 0, 300, 100))
    image = ada.uploaded(samples.png(striped))

    covered = _picture(ada, ada.updated(image["id"], resolution="100x100", fit="cover"))
    stretched = _picture(ada, ada.updated(image["id"], resolution="100x100", fit="stretch"))

    assert _pixel(covered, 0.05, 0.5) == (0, 0, 255, 255)
    assert _pixel(stretched, 0.05, 0.5) == (255, 0, 0, 255)


def test_repeated_changes_of_size_lose_nothing(ada: ApiClient) -> None:
    image, directly = ada.uploaded(ROCKET), ada.uploaded(ROCKET)

    small = ada.updated(image["id"], resolution="50x50")
    assert _picture(ada, small).size == (50, 50)
    there_and_back = ada.updated(image["id"], resolution="600x400")
    directly = ada.updated(directly["id"], resolution="600x400")

    assert ada.download(there_and_back["url"]).content == ada.download(directly["url"]).content


def test_the_files_of_an_earlier_size_are_removed(ada: ApiClient, bucket: Any) -> None:
    image = ada.uploaded(ROCKET)
    for resolution in ("50x50", "60x60", "70x70"):
        image = ada.updated(image["id"], resolution=resolution)
    folder = "/".join(image["file_path"].split("/")[:2])

    def names() -> list[str]:
        return [item.key.rsplit("/", 1)[-1] for item in bucket.objects.filter(Prefix=folder)]

    eventually(
        lambda: sorted(names()) == ["image.jpg", "original.jpg", "preview.webp", "thumbnail.webp"],
        "only the last size is stored",
    )


def test_renditions_of_an_earlier_size_are_made_anew_and_go_with_their_urls(
    ada: ApiClient, cloud: RunningCloud, database: Connection
) -> None:
    image = ada.uploaded(ROCKET)
    path = f"/image/{image['id']}/rendition?width=64"
    before = ada.rendition(path).headers["Location"]

    ada.updated(image["id"], resolution="50x50")

    after = ada.rendition(path).headers["Location"]
    assert samples.opened(ada.download(after).content).size == (50, 50)
    # As if an hour had passed: who has the URL may use it until then.
    folder = "/".join(image["file_path"].split("/")[:2])
    database.run(
        "UPDATE forgotten_objects SET delete_after = now() WHERE starts_with(object_key, :folder)",
        folder=folder,
    )
    cloud.invoke("janitor", {})
    assert requests.get(before).status_code == 404
    ada.download(after)


def test_several_changes_at_once_are_all_applied(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png())

    after = ada.updated(
        image["id"], title="a/b/Lift-off", resolution=" 40X30 ", fit="stretch", visibility="private"
    )

    assert after["title"] == "Lift-off"
    assert after["resolution"] == "40x30"
    assert after["visibility"] == "private"


def test_description_and_tags_are_changed_as_they_are_sent(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png(), description="From\r\nthe roof ", tags=["Night", " rocket"])
    assert (image["description"], image["tags"]) == ("From\nthe roof ", ["Night", "rocket"])

    after = ada.updated(image["id"], tags=["a,b", "NULL", "null", "A,B", "Cafe\u0301"])
    assert (after["description"], after["tags"]) == (
        image["description"],
        ["a,b", "NULL", "Café"],
    )
    after = ada.updated(image["id"], description="<b>&", tags=[])
    assert (after["description"], after["tags"]) == ("<b>&", [])
    assert ada.updated(image["id"], description="")["description"] == ""


def test_changes_are_applied_in_the_order_in_which_they_were_accepted(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png())

    for number in range(8):
        answer = ada.update(image["id"], title=f"title {number}", resolution=f"{10 + number}x10")
        assert answer.status_code == 200

    after = ada.settled(image["id"])
    assert after["title"] == "title 7"
    assert after["resolution"] == "17x10"


def test_the_last_good_version_stays_readable_during_a_change(
    ada: ApiClient, processing: Processing
) -> None:
    before = ada.uploaded(ROCKET)

    with processing.held():
        assert ada.update(before["id"], title="new", resolution="50x50").status_code == 200
        during = ada.image(before["id"]).json()
        content = ada.download(during["url"]).content
        thumbnail = _picture(ada, during, "thumbnail_url")

    assert during["status"] == "processing"
    changed = {name: during[name] for name in ("status", "updated_at", "version")}
    assert lasting(during) == lasting(before) | changed
    assert content == ROCKET
    assert thumbnail.size == (320, 214)
    assert ada.settled(before["id"])["resolution"] == "50x50"


def test_a_change_that_cannot_be_made_fails_and_leaves_the_image_as_it_was(
    ada: ApiClient, bucket: Any
) -> None:
    before = ada.uploaded(samples.jpeg(exif=samples.exif(6)))
    folder = "/".join(before["file_path"].split("/")[:2])
    bucket.Object(f"{folder}/original.jpg").delete()

    ada.update(before["id"], resolution="50x50")

    failed = ada.settled(before["id"], "failed")
    assert failed["error"] == "The stored file is missing"
    assert failed["resolution"] == before["resolution"]
    assert len(ada.download(failed["url"]).content) == before["size"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "body"),
        ({"title": "x", "name": "x"}, "name"),
        ({"title": "line\nbreak"}, "title"),
        ({"title": " "}, "title"),
        ({"title": "photo\u202egpj.exe"}, "title"),
        ({"resolution": "10001x1"}, "resolution"),
        ({"resolution": "10x10", "fit": "squeeze"}, "fit"),
        ({"fit": "cover"}, "body"),
        ({"visibility": "hidden"}, "visibility"),
        ({"description": "x" * 2001}, "description"),
        ({"tags": "a"}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": ["x" * 65]}, "tags"),
        ({"tags": [str(number) for number in range(33)]}, "tags"),
    ],
    ids=str,
)
def test_a_change_that_breaks_a_rule_is_refused(
    ada: ApiClient, changes: dict[str, Any], field: str
) -> None:
    image = ada.uploaded(samples.gif())

    answer = ada.update(image["id"], **changes)

    assert field_messages(answer).keys() == {field}
    assert lasting(ada.image(image["id"]).json()) == lasting(image)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"title"'])
def test_a_body_that_is_no_change_is_refused(ada: ApiClient, body: bytes) -> None:
    image = ada.uploaded(samples.gif())

    answer = ada.request(
        "PUT",
        f"/image/update/{image['id']}",
        data=body,
        headers={"Content-Type": "application/json"},
    )

    assert field_messages(answer)


def test_only_the_owner_changes_an_image(ada: ApiClient, bob: ApiClient) -> None:
    image = ada.uploaded(samples.gif())

    not_mine = bob.update(image["id"], title="mine")
    missing = bob.update(999_999_999, title="mine")

    assert not_mine.status_code == missing.status_code == 404
    assert not_mine.json() == missing.json()
    assert lasting(ada.image(image["id"]).json()) == lasting(image)


def test_an_image_that_becomes_private_vanishes_for_others_and_comes_back(
    ada: ApiClient, bob: ApiClient
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    total = int(bob.images().headers["X-Total-Count"])

    ada.updated(image_id, visibility="private")
    assert bob.image(image_id).status_code == 404
    assert image_id not in [image["id"] for image in bob.images().json()]
    assert int(bob.images().headers["X-Total-Count"]) == total - 1

    ada.updated(image_id, visibility="shared")
    assert bob.image(image_id).json()["visibility"] == "shared"
    assert bob.images().json()[0]["id"] == image_id
    assert int(bob.images().headers["X-Total-Count"]) == total


def test_an_image_is_hidden_with_the_answer_and_its_links_end_with_the_processing(
    ada: ApiClient, bob: ApiClient, processing: Processing
) -> None:
    image_id = ada.uploaded(ROCKET)["id"]
    seen = bob.image(image_id).json()

    with processing.held():
        assert ada.update(image_id, visibility="private", title="mine").status_code == 200
        assert bob.image(image_id).status_code == 404
        assert image_id not in [image["id"] for image in bob.images().json()]
        meanwhile = ada.image(image_id).json()
        assert (meanwhile["visibility"], meanwhile["title"]) == ("private", "rocket.jpg")
        assert ada.download(meanwhile["url"]).content == ROCKET

    after = ada.settled(image_id)
    assert after["title"] == "mine"
    for link in ("url", "thumbnail_url", "preview_url"):
        assert requests.get(seen[link]).status_code in (403, 404)
        ada.download(after[link])


def test_an_image_is_hidden_although_the_rest_of_the_change_fails(
    ada: ApiClient, bob: ApiClient, bucket: Any
) -> None:
    image = ada.uploaded(samples.jpeg(exif=samples.exif(6)))
    folder = "/".join(image["file_path"].split("/")[:2])
    bucket.Object(f"{folder}/original.jpg").delete()

    assert ada.update(image["id"], visibility="private", resolution="50x50").status_code == 200

    assert bob.image(image["id"]).status_code == 404
    assert ada.settled(image["id"], "failed")["visibility"] == "private"
    assert bob.image(image["id"]).status_code == 404
    assert requests.get(image["url"]).status_code in (403, 404)


def test_a_size_that_an_animation_cannot_have_is_refused_and_changes_nothing(
    ada: ApiClient,
) -> None:
    image = ada.uploaded(samples.animation("image/gif"))

    answer = ada.update(image["id"], visibility="private", resolution="8000x6000")

    assert "frames of 8000x6000 pixels are too many" in field_messages(answer)["resolution"]
    assert lasting(ada.image(image["id"]).json()) == lasting(image)
