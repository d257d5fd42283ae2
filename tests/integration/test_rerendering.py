"""What an older renderer made is rendered anew, and whoever changes an image meanwhile wins."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pg8000.native import Connection

from image_api.core.upkeep import rerendering
from image_api.imaging import RENDERER_VERSION
from image_api.postgres.rerendering import PostgresRerenderRecords
from tests import samples
from tests.integration.functions import Api
from tests.integration.lambda_server import LambdaServer

OUTDATED = "UPDATE renditions SET renderer_version = 0, considered_version = 0"
MADE_ANEW = {
    *("url", "thumbnail_url", "preview_url", "file_path", "updated_at", "placeholder", "taken_at"),
    "rendition_url",
}
VERSIONS = "SELECT DISTINCT renderer_version, considered_version, rerender_attempts FROM renditions"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerendering, "_PAUSE", 0.0)


def test_outdated_images_are_replaced_as_they_were_asked_for(
    api: Api, ada: str, sql: Connection, s3_client: Any
) -> None:
    plain = api.upload(ada, samples.png(samples.photo(64, 48)))
    exif = samples.exif(taken_at="2024:11:02 18:10:16")
    asked = api.upload(ada, samples.jpeg(samples.photo(96, 64), exif=exif))
    assert api.consume(2) == {"applied": 2}
    for changes in ({"resolution": "50x50", "fit": "contain"}, {"title": "new"}):
        api.update(ada, asked, **changes)
        assert api.consume() == {"applied": 1}
    # As what was asked for before this release, in a change that is forgotten.
    legacy = api.upload(ada, samples.png(samples.photo(80, 60)))
    assert api.consume() == {"applied": 1}
    api.update(ada, legacy, resolution="20x20")
    assert api.consume() == {"applied": 1}
    sql.run(
        "UPDATE images SET asked_width = NULL, asked_height = NULL, asked_fit = NULL "
        "WHERE id = :id",
        id=legacy,
    )
    sql.run(OUTDATED)
    sql.run("UPDATE images SET placeholder = NULL, taken_at = NULL")
    before = {image_id: api.get(ada, image_id) for image_id in (plain, asked, legacy)}
    assert sql.run(
        "SELECT asked_width, asked_height, asked_fit FROM images WHERE id = :id", id=asked
    ) == [[50, 50, "contain"]]

    done = {"replaced": 3, "overtaken": 0, "failed": 0, "finished": True}
    assert api.call("rerender", {}) == done

    assert sql.run(VERSIONS) == [[RENDERER_VERSION, RENDERER_VERSION, 0]]
    for image_id, old in before.items():
        image = api.get(ada, image_id)
        assert {name for name in image if image[name] != old[name]} <= MADE_ANEW
        assert image["thumbnail_url"] != old["thumbnail_url"]
        assert image["placeholder"] is not None
        assert image["taken_at"] == ("2024-11-02T18:10:16" if image_id == asked else None)
        assert samples.opened(requests.get(image["url"]).content).size == tuple(
            map(int, old["resolution"].split("x"))
        )
    # Nothing is left over, and nothing to do.
    assert len(s3_client.list_objects_v2(Bucket=api.bucket)["Contents"]) == 3 * 3 + 2
    assert api.call("rerender", {}) == {**done, "replaced": 0}


@pytest.mark.parametrize("change", ["update", "delete"])
def test_a_change_that_comes_meanwhile_wins(
    api: Api,
    ada: str,
    sql: Connection,
    s3_client: Any,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    image_id = api.upload(ada)
    api.consume()
    sql.run(OUTDATED)
    before = sql.run("SELECT name, object_key FROM renditions ORDER BY name")
    replace = PostgresRerenderRecords.replace

    def overtaken(*arguments: Any) -> bool:
        if change == "update":
            api.update(ada, image_id, title="mine")
        else:
            api.delete(ada, image_id)
        api.take_role("rerender")
        return replace(*arguments)

    monkeypatch.setattr(PostgresRerenderRecords, "replace", overtaken)
    counts = api.call("rerender", {})
    assert counts == {"replaced": 0, "overtaken": 1, "failed": 0, "finished": True}
    assert sql.run("SELECT name, object_key FROM renditions ORDER BY name") == before
    assert api.consume() == {"applied": 1}
    found = s3_client.list_objects_v2(Bucket=api.bucket).get("Contents", [])
    keys = {stored["Key"] for stored in found}
    if change == "update":
        assert api.get(ada, image_id)["title"] == "mine"
        assert {key for _, key in before} <= keys
        assert len(keys) == 3
    else:
        assert keys == set()


def test_what_cannot_be_rendered_anew_stays_as_it_is_after_three_attempts(
    api: Api,
    ada: str,
    sql: Connection,
    lambda_server: LambdaServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image_id = api.upload(ada)
    api.consume()
    sql.run(OUTDATED)
    served = api.get(ada, image_id)
    monkeypatch.setattr(
        lambda_server, "invoke", lambda *_: (200, {"X-Amz-Function-Error": "x"}, b"{}")
    )
    assert api.call("rerender", {}) == {
        "replaced": 0,
        "overtaken": 0,
        "failed": 3,
        "finished": True,
    }
    assert sql.run(
        "SELECT renderer_version, considered_version, rerender_attempts "
        "FROM renditions WHERE name = 'image'"
    ) == [[0, RENDERER_VERSION, 0]]
    assert api.get(ada, image_id)["status"] == "ready"
    assert requests.get(served["thumbnail_url"]).ok


def test_it_ends_in_time_and_leaves_the_rest_to_the_next_run(
    api: Api, ada: str, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        api.upload(ada)
    api.consume(3)
    sql.run(OUTDATED)
    monkeypatch.setattr(rerendering, "_MIN_REMAINING_MILLISECONDS", 300_001)
    assert api.call("rerender", {})["finished"] is False
    monkeypatch.setattr(rerendering, "_MIN_REMAINING_MILLISECONDS", 0)
    assert api.call("rerender", {}) == {
        "replaced": 3,
        "overtaken": 0,
        "failed": 0,
        "finished": True,
    }
