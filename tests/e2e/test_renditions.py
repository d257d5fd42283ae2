"""GET /image/{image_id}/rendition, and who sees what by which route."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient, Image, field_messages
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.processes import runtimes_of
from tests.waiting import eventually

ROCKET = samples.jpeg(samples.photo(1200, 800), exif=samples.exif(1), xmp=samples.XMP)


def _rendition(client: ApiClient, image_id: int, **query: Any) -> requests.Response:
    return client.get(f"/image/{image_id}/rendition", params=query)


def _size(client: ApiClient, answer: requests.Response) -> tuple[int, int]:
    assert answer.status_code == 302, answer.text
    picture = samples.opened(client.download(answer.headers["Location"]).content)
    return picture.size


def test_a_page_shows_an_image_in_any_size_without_signing_in(
    ada: ApiClient, visitor: ApiClient
) -> None:
    image = ada.uploaded(ROCKET)
    link = image["rendition_url"]
    assert link.startswith(f"{ada.api_url}/image/{image['id']}/rendition?token=")

    # As a browser opens it, by way of the redirect.
    browser = {"Accept": "image/avif,image/webp,*/*;q=0.8"}
    shown = requests.get(f"{link}&width=600&ratio=16:9", headers=browser, timeout=60)
    assert shown.headers["Content-Type"] == "image/avif"
    assert samples.opened(shown.content).size == (640, 360)
    assert samples.CAMERA.encode() not in shown.content

    answer = visitor.get(f"{link}&width=64")
    assert _size(visitor, answer) == (64, 43)
    assert answer.headers["Vary"] == "Accept, Origin"
    assert answer.headers["Cache-Control"] == "private, max-age=1200"
    again = visitor.get(f"{link}&width=64")
    assert again.headers["Location"] == answer.headers["Location"]
    assert visitor.get(f"{link}x&width=64").status_code == 401


def test_a_signed_in_user_gets_it_as_json_or_to_be_saved(ada: ApiClient, bob: ApiClient) -> None:
    image_id = ada.uploaded(ROCKET, title="Zoë.jpg")["id"]
    query = {"width": 128, "format": "webp", "download": "true"}
    path = f"/image/{image_id}/rendition"

    answer = bob.get(path, params=query, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    saved = bob.download(answer.json()["url"])
    assert saved.headers["Content-Disposition"] == (
        "attachment; filename=\"Zo_.webp\"; filename*=UTF-8''Zo%C3%AB.webp"
    )
    assert samples.opened(saved.content).format == "WEBP"


@pytest.mark.parametrize(
    ("data", "accept", "query", "made"),
    [
        (ROCKET, "*/*", {}, ("JPEG", False)),
        (ROCKET, "image/webp,*/*", {}, ("WEBP", False)),
        (ROCKET, "image/avif;q=0, image/webp", {}, ("WEBP", False)),
        (ROCKET, "image/avif,image/webp", {"format": "png"}, ("PNG", False)),
        (ROCKET, "*/*", {"format": "avif"}, ("AVIF", False)),
        (samples.png(samples.translucent()), "image/*", {}, ("PNG", False)),
        (samples.png(samples.translucent()), "image/webp", {}, ("WEBP", False)),
        (samples.animation("image/gif"), "image/avif,image/webp", {}, ("WEBP", True)),
        (samples.animation("image/gif"), "*/*", {"format": "jpeg"}, ("JPEG", False)),
    ],
)
def test_the_format_is_what_is_asked_for_or_the_best_that_is_taken(
    ada: ApiClient, data: bytes, accept: str, query: dict[str, str], made: tuple[str, bool]
) -> None:
    image_id = ada.uploaded(data)["id"]
    answer = ada.get(
        f"/image/{image_id}/rendition", params={"width": 64, **query}, headers={"Accept": accept}
    )

    picture = samples.opened(ada.download(answer.headers["Location"]).content)
    assert (picture.format, getattr(picture, "is_animated", False)) == made


def test_many_who_ask_at_once_get_the_same_one(ada: ApiClient, bucket: Any) -> None:
    image = ada.uploaded(ROCKET)
    link = image["rendition_url"]

    def location(_: int) -> str:
        answer = requests.get(f"{link}&width=960", allow_redirects=False, timeout=60)
        return answer.headers.get("Location", answer.text)

    with ThreadPoolExecutor(20) as threads:
        assert len(set(threads.map(location, range(20)))) == 1
    folder = "/".join(image["file_path"].split("/")[:2])
    assert len(list(bucket.objects.filter(Prefix=f"{folder}/on-demand/"))) == 1


def test_one_that_takes_longer_than_a_request_may_is_there_the_next_time(
    ada: ApiClient, visitor: ApiClient, cloud: RunningCloud, database: Connection
) -> None:
    image = ada.uploaded(ROCKET)
    link = f"{image['rendition_url']}&width=640"
    with cloud.held_back("renderer"):
        answers = [visitor.get(link), ada.get(f"/image/{image['id']}/rendition?width=640")]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "rendition_under_way")
        assert int(answer.headers["Retry-After"]) > 0

    answer = eventually(lambda: _made(visitor.get(link)), "it is there")
    assert _size(visitor, answer) == (640, 427)
    # It was made by whom the first had asked.
    assert _attempts(database, image) == (1, 0)


def test_a_renderer_that_is_killed_meanwhile_is_asked_for_once_more(
    ada: ApiClient, visitor: ApiClient, cloud: RunningCloud, database: Connection
) -> None:
    image = ada.uploaded(ROCKET)
    link = f"{image['rendition_url']}&width=640"
    with ThreadPoolExecutor(1) as threads:
        with cloud.held_back("renderer"):
            asked = threads.submit(visitor.get, link)
            eventually(lambda: _attempts(database, image)[0], "it is begun", watch=asked.running)
            for pid in runtimes_of(cloud.function_name("renderer")) & cloud.pids():
                os.kill(pid, signal.SIGKILL)
        answer = asked.result()
    assert (answer.status_code, answer.json()["code"]) == (503, "rendition_under_way")
    assert _attempts(database, image) == (1, 1)

    answer = eventually(lambda: _made(visitor.get(link)), "it is there")
    assert _size(visitor, answer) == (640, 427)


def _made(answer: requests.Response) -> requests.Response | None:
    assert answer.status_code in (302, 503), answer.text
    return answer if answer.status_code == 302 else None


def _attempts(database: Connection, image: Image) -> tuple[int, int]:
    """How many renditions were begun, and how often one has failed."""
    ((begun, failures),) = database.run(
        "SELECT count(*), coalesce(sum(failures), 0) FROM requested_renditions "
        "WHERE image_id = :image_id",
        image_id=image["id"],
    )
    return int(begun), int(failures)


def test_what_has_no_picture_has_no_rendition(ada: ApiClient, processing: Processing) -> None:
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    failed = ada.settled(ada.upload(damaged).json()["id"], "failed")
    assert failed["rendition_url"] is None
    with processing.held():
        waiting = ada.upload(samples.png()).json()["id"]
        answers = {
            "not_ready": _rendition(ada, waiting),
            "image_failed": _rendition(ada, failed["id"]),
        }
    for code, answer in answers.items():
        assert (answer.status_code, answer.json()["code"]) == (409, code)


@pytest.mark.parametrize("query", [{"width": 0}, {"ratio": "2:1"}, {"format": "gif"}, {"w": 64}])
def test_what_cannot_be_asked_for_is_refused(ada: ApiClient, query: dict[str, Any]) -> None:
    assert field_messages(_rendition(ada, 1, **query)).keys() == query.keys()


@pytest.mark.parametrize("query", [{}, {"token": ""}, {"token": "x"}, {"token": "A" * 32}])
def test_who_is_not_signed_in_and_has_no_link_is_told_to_sign_in(
    ada: ApiClient, visitor: ApiClient, query: dict[str, str]
) -> None:
    image = ada.uploaded(samples.gif(), visibility="public")

    answer = _rendition(visitor, image["id"], width=64, **query)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


ROUTES = ("image", "list", "rendition", "original", "link")
# Who gets at an image of Ada's by which of the routes; the link is the one that its owner has.
SEEN = {
    ("private", "ada"): {"image", "list", "rendition", "original", "link"},
    ("private", "bob"): {"link"},
    ("private", "visitor"): {"link"},
    ("shared", "ada"): {"image", "list", "rendition", "original", "link"},
    ("shared", "bob"): {"image", "list", "rendition", "link"},
    ("shared", "visitor"): {"link"},
    ("public", "ada"): {"image", "list", "rendition", "original", "link"},
    ("public", "bob"): {"image", "list", "rendition", "link"},
    ("public", "visitor"): {"link"},
}


def _seen(client: ApiClient, image: Image) -> set[str]:
    answers = {
        "image": client.image(image["id"]).status_code == 200,
        "list": image["id"] in [one["id"] for one in client.images().json() if "id" in one]
        if client.token
        else False,
        "rendition": _rendition(client, image["id"], width=64).status_code == 302,
        "original": client.get(f"/image/{image['id']}/original").status_code == 302,
        "link": client.get(f"{image['rendition_url']}&width=64").status_code == 302,
    }
    assert answers.keys() == set(ROUTES)
    return {route for route, is_seen in answers.items() if is_seen}


@pytest.mark.parametrize("visibility", ["private", "shared", "public"])
def test_who_sees_what_by_which_route(
    ada: ApiClient, bob: ApiClient, visitor: ApiClient, visibility: str
) -> None:
    image = ada.uploaded(samples.png(), visibility=visibility)
    people = {"ada": ada, "bob": bob, "visitor": visitor}
    for name, client in people.items():
        assert _seen(client, image) == SEEN[visibility, name], name

    # Hidden, all that was known of it leads nowhere, but for its owner.
    ada.updated(image["id"], visibility="private")
    for name in ("bob", "visitor"):
        expected = {"link"} if visibility == "private" else set()
        assert _seen(people[name], image) == expected, name
    ada.delete(image["id"])
    for name, client in people.items():
        assert _seen(client, image) == set(), name


def test_a_public_link_is_the_same_until_it_is_withdrawn(
    ada: ApiClient, visitor: ApiClient
) -> None:
    image = ada.uploaded(ROCKET, visibility="public")
    link = image["rendition_url"]
    answer = visitor.get(f"{link}&width=64")
    assert answer.headers["Cache-Control"] == "public, max-age=300"

    assert ada.update(image["id"], visibility="shared").status_code == 200
    assert visitor.get(f"{link}&width=64").status_code == 404
    ada.settled(image["id"])
    assert requests.get(answer.headers["Location"], timeout=60).status_code in (403, 404)
    again = ada.updated(image["id"], visibility="public")
    assert again["rendition_url"] != link
    assert visitor.get(f"{link}&width=64").status_code == 404
    assert _size(visitor, visitor.get(f"{again['rendition_url']}&width=64")) == (64, 43)
