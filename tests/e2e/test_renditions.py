"""GET /image/{image_id}/rendition. Who gets one is in tests/security/test_who_sees_what.py."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pg8000.native import Connection
from PIL import Image as Pillow

from image_api.core.renditions.on_demand import PATIENCE_SECONDS
from tests import samples
from tests.e2e.api_client import ApiClient, Image, field_messages
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.links import unsigned
from tests.processes import runtimes_of
from tests.waiting import eventually

ROCKET = samples.jpeg(samples.photo(1200, 800), exif=samples.exif(1), xmp=samples.XMP)


def _rendition(client: ApiClient, image_id: int, **query: Any) -> requests.Response:
    return client.rendition(f"/image/{image_id}/rendition", params=query)


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
    shown = visitor.rendition(f"{link}&width=600&ratio=16:9", headers=browser, allow_redirects=True)
    assert shown.headers["Content-Type"] == "image/avif"
    assert samples.opened(shown.content).size == (640, 360)
    assert samples.CAMERA.encode() not in shown.content

    answer = visitor.rendition(f"{link}&width=64")
    assert _size(visitor, answer) == (64, 43)
    assert answer.headers["Vary"] == "Accept, Origin"
    assert answer.headers["Cache-Control"] == "private, max-age=1200"
    again = visitor.rendition(f"{link}&width=64")
    assert unsigned(again.headers["Location"]) == unsigned(answer.headers["Location"])
    assert visitor.get(f"{link}x&width=64").status_code == 401


def test_a_signed_in_user_gets_it_as_json_or_to_be_saved(ada: ApiClient, bob: ApiClient) -> None:
    image_id = ada.uploaded(ROCKET, title="Zoë.jpg")["id"]
    query = {"width": 128, "format": "webp", "download": "true"}
    path = f"/image/{image_id}/rendition"

    answer = bob.rendition(path, params=query, headers={"Accept": "application/json"})
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
    answer = ada.rendition(
        f"/image/{image_id}/rendition", params={"width": 64, **query}, headers={"Accept": accept}
    )

    picture = samples.opened(ada.download(answer.headers["Location"]).content)
    assert (picture.format, getattr(picture, "is_animated", False)) == made


STEPS = (64, 128, 256, 320, 480, 640, 960, 1280, 1600, 2048, 2560, 3840)


def test_a_width_is_rounded_up_to_the_next_step(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png(samples.photo(4000, 4)))
    seen = {
        width: _size(ada, _rendition(ada, image["id"], width=width))[0]
        for before, step in pairwise((0, *STEPS))
        for width in (before + 1, step)
    }
    assert seen == {
        width: step for before, step in pairwise((0, *STEPS)) for width in (before + 1, step)
    }
    assert _size(ada, _rendition(ada, image["id"]))[0] == 1600
    assert field_messages(_rendition(ada, image["id"], width=3841)).keys() == {"width"}


def test_no_rendition_is_larger_than_the_picture(ada: ApiClient) -> None:
    image_id = ada.uploaded(samples.png(samples.photo(100, 40)))["id"]
    for width in (None, 128, 3840):
        assert _size(ada, _rendition(ada, image_id, width=width)) == (100, 40)
    # What is cut off leaves less than its width.
    assert _size(ada, _rendition(ada, image_id, width=3840, ratio="1:1")) == (40, 40)


@pytest.mark.parametrize(
    ("ratio", "height"),
    [
        *(("1:1", 128), ("4:3", 96), ("3:4", 171), ("3:2", 85), ("2:3", 192)),
        *(("16:9", 72), ("9:16", 228)),
    ],
)
def test_a_ratio_is_cut_from_the_middle(ada: ApiClient, ratio: str, height: int) -> None:
    """What is in the middle stays, whatever goes at two of the sides."""
    picture = Pillow.new("RGB", (400, 400), (255, 0, 0))
    picture.paste((0, 0, 255), (150, 150, 250, 250))
    image_id = ada.uploaded(samples.png(picture))["id"]

    answer = _rendition(ada, image_id, width=128, ratio=ratio, format="png")

    shown = samples.opened(ada.download(answer.headers["Location"]).content).convert("RGB")
    width, height_shown = shown.size
    assert (width, height_shown) in {(128, height), (128, height - 1), (128, height + 1)}
    assert shown.getpixel((width // 2, height_shown // 2)) == (0, 0, 255)
    sides = ((1, height_shown // 2), (width - 2, height_shown // 2), (width // 2, 1))
    assert {shown.getpixel(side) for side in sides} == {(255, 0, 0)}


def test_an_image_keeps_so_many_and_the_one_nobody_asks_for_goes(
    ada: ApiClient, cloud: RunningCloud, database: Connection
) -> None:
    image = ada.uploaded(samples.png(samples.photo(640, 480)))

    def made(width: int) -> str:
        answer = _rendition(ada, image["id"], width=width)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    first, second = made(64), made(128)
    limit = ada.get("/auth/me").json()["limits"]["renditions_per_image"]
    assert limit == 64
    # As if more had been made since, and the first one not been asked for.
    database.run(
        "INSERT INTO requested_renditions "
        "(image_id, width, ratio, format, source_key, making_until, object_key) "
        "SELECT r.image_id, 1000 + n, r.ratio, r.format, r.source_key, now(), "
        "r.object_key || '/' || n "
        "FROM requested_renditions AS r, generate_series(1, :others) AS n "
        "WHERE r.image_id = :id AND r.width = 128",
        id=image["id"],
        others=limit - 2,
    )
    database.run(
        "UPDATE requested_renditions SET asked_at = now() - interval '1 hour' "
        "WHERE image_id = :id AND width = 64",
        id=image["id"],
    )

    third = made(256)

    assert database.run(
        "SELECT count(*), min(width) FROM requested_renditions WHERE image_id = :id", id=image["id"]
    ) == [[limit, 128]]
    assert [unsigned(made(width)) for width in (128, 256)] == [unsigned(second), unsigned(third)]
    # As if two hours had passed: who has its URL may use it until then.
    database.run(
        "UPDATE forgotten_objects SET delete_after = now() WHERE object_key = :key",
        key=urlsplit(first).path.partition("/storage/")[2].join(("storage/", "")),
    )
    cloud.invoke("janitor", {})
    assert requests.get(first, timeout=60).status_code == 404
    assert unsigned(made(64)) != unsigned(first)


def test_many_who_ask_at_once_get_the_same_one(ada: ApiClient, bucket: Any) -> None:
    image = ada.uploaded(ROCKET)
    link = image["rendition_url"]

    def location(_: int) -> str:
        with ApiClient(ada.api_url) as client:
            answer = client.rendition(f"{link}&width=960")
        return unsigned(answer.headers.get("Location", answer.text))

    with ThreadPoolExecutor(20) as threads:
        assert len(set(threads.map(location, range(20)))) == 1
    folder = "/".join(image["file_path"].split("/")[:2])
    assert len(list(bucket.objects.filter(Prefix=f"{folder}/on-demand/"))) == 1


def test_one_that_takes_longer_than_a_request_may_is_there_the_next_time(
    ada: ApiClient, visitor: ApiClient, cloud: RunningCloud, database: Connection
) -> None:
    image = ada.uploaded(ROCKET)
    link = f"{image['rendition_url']}&width=640"
    with cloud.held_back("renderer"), ThreadPoolExecutor(2) as threads:
        # Each waits for as long as it may, for the same one.
        asked = [
            threads.submit(client.get, path)
            for client, path in (
                (visitor, link),
                (ada, f"/image/{image['id']}/rendition?width=640"),
            )
        ]
        answers = [each.result() for each in asked]
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
    def ask(image: Image) -> requests.Response:
        return visitor.get(f"{image['rendition_url']}&width=640")

    def meanwhile(image: Image) -> None:
        assert _attempts(database, image) == (1, 0)

    image = _image_whose_renderer_was_killed(ada, cloud, database, ask, meanwhile)
    assert _attempts(database, image) == (1, 1)

    assert _size(visitor, _made_after_all(database, image, ask)) == (640, 427)


def test_after_three_renderers_that_ended_it_is_tried_again_in_an_hour(
    ada: ApiClient, cloud: RunningCloud, database: Connection
) -> None:
    this = "image_id = :id AND width = 640"

    def ask(image: Image) -> requests.Response:
        return ada.get(f"/image/{image['id']}/rendition?width=640")

    def meanwhile(image: Image) -> None:
        # As if two had ended before.
        database.run(f"UPDATE requested_renditions SET failures = 2 WHERE {this}", id=image["id"])

    image = _image_whose_renderer_was_killed(ada, cloud, database, ask, meanwhile)

    for _ in range(2):
        answer = _rendition(ada, image["id"], width=640)
        assert (answer.status_code, answer.json()["code"]) == (409, "image_failed")
        assert "another size" in answer.json()["detail"]
    database.run(
        f"UPDATE requested_renditions SET making_until = now() - interval '1 hour' WHERE {this}",
        id=image["id"],
    )
    _made(ask(image))
    assert _size(ada, _made_after_all(database, image, ask)) == (640, 427)


def _image_whose_renderer_was_killed(
    ada: ApiClient,
    cloud: RunningCloud,
    database: Connection,
    ask: Callable[[Image], requests.Response],
    meanwhile: Callable[[Image], None],
) -> Image:
    """While it made what is asked for; whoever waited for that was told to ask again."""
    renderer = cloud.function_name("renderer")

    def look() -> Image | None:
        image = ada.uploaded(ROCKET)
        # They stay the same while they are held, and looking for them takes long.
        pids = runtimes_of(renderer) & cloud.pids()
        with ThreadPoolExecutor(1) as threads:
            with cloud.held_back("renderer"):
                asked_at = time.monotonic()
                asked = threads.submit(ask, image)
                eventually(lambda: _attempts(database, image)[0], "it is begun")
                meanwhile(image)
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            answer = asked.result()
            waited_seconds = time.monotonic() - asked_at
        assert (answer.status_code, answer.json()["code"]) == (503, "rendition_under_way")
        # Who had given up before counts no failure.
        return image if waited_seconds < PATIENCE_SECONDS else None

    return eventually(look, "a renderer is killed while somebody waits for it")


def _made_after_all(
    database: Connection, image: Image, ask: Callable[[Image], requests.Response]
) -> requests.Response:
    """Idle renderers were killed with the one that was at work, and whoever meets those fails, too:
    that is nobody's third attempt.
    """

    def look() -> requests.Response | None:
        database.run(
            "UPDATE requested_renditions SET failures = least(failures, 1) WHERE image_id = :id",
            id=image["id"],
        )
        return _made(ask(image))

    return eventually(look, "it is there")


def _made(answer: requests.Response) -> requests.Response | None:
    """None while it is being made, or is to be asked for again."""
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


def test_a_public_link_is_the_same_until_it_is_withdrawn(
    ada: ApiClient, visitor: ApiClient
) -> None:
    image = ada.uploaded(ROCKET, visibility="public")
    link = image["rendition_url"]
    answer = visitor.rendition(f"{link}&width=64")
    assert answer.headers["Cache-Control"] == "public, max-age=300"

    assert ada.update(image["id"], visibility="shared").status_code == 200
    assert visitor.get(f"{link}&width=64").status_code == 404
    ada.settled(image["id"])
    assert requests.get(answer.headers["Location"]).status_code in (403, 404)
    again = ada.updated(image["id"], visibility="public")
    assert again["rendition_url"] != link
    assert visitor.get(f"{link}&width=64").status_code == 404
    assert _size(visitor, visitor.rendition(f"{again['rendition_url']}&width=64")) == (64, 43)
