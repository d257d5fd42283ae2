"""A deployment with other settings than the usual, two of whose functions do not answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.changed_template import HERE, changed_cloud, code_of
from tests.e2e.running_cloud import RunningCloud
from tests.links import unsigned

WITHOUT_LIMITS = (
    *("LIMIT_IMAGES", "LIMIT_BYTES", "LIMIT_UNFINISHED_CHANGES", "LIMIT_OPEN_DIRECT_UPLOADS"),
    *("LIMIT_NEW_RENDITIONS_PER_MINUTE", "RENDITIONS_PER_IMAGE"),
)
FOR_EVER = ("TRASH_DAYS", "CHANGES_KEPT_DAYS")
LONG_AGO = "now() - interval '1000 days'"
HEALTH = "{RestApiId: !Ref Api, Path: '/health', Method: any}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    running = changed_cloud(
        tmp_path_factory.mktemp("other"),
        {
            code_of("docs"): str(HERE / "nonsensical_docs"),
            HEALTH: HEALTH.replace("}", ", TimeoutInMillis: 500}"),
        },
        {
            **dict.fromkeys((*WITHOUT_LIMITS, *FOR_EVER), "0"),
            "DEFAULT_VISIBILITY": "public",
            "JWT_EXPIRATION_MINUTES": "90",
        },
    )
    running.start()
    yield running
    running.stop()


def test_what_is_said_of_an_account_knows_of_no_limit(ada: ApiClient) -> None:
    limits = ada.get("/auth/me").json()["limits"]
    assert len(limits) == len(WITHOUT_LIMITS)
    assert set(limits.values()) == {None}


def test_an_account_stores_and_begins_as_much_as_it_likes(
    ada: ApiClient, database: Connection
) -> None:
    image_id = ada.uploaded(samples.png())["id"]
    database.run(
        "UPDATE account_usage SET images = 10 * 1000000, bytes = 10 * 1000000000000, "
        "unfinished_changes = 1000000 WHERE user_id = :id",
        id=ada.get("/auth/me").json()["id"],
    )

    assert ada.uploaded(samples.gif())["status"] == "ready"
    assert ada.updated(image_id, resolution="20x20")["resolution"] == "20x20"
    batch = ada.request(
        "POST", "/image/batch", json={"ids": [image_id], "changes": {"resolution": "30x30"}}
    )
    assert batch.json()["results"][0]["code"] == "accepted"
    begun = [ada.request("POST", "/image/direct_upload").status_code for _ in range(21)]
    assert set(begun) == {200}


def test_an_image_has_as_many_renditions_as_are_asked_for(
    ada: ApiClient, database: Connection
) -> None:
    image = ada.uploaded(samples.png())
    path = f"/image/{image['id']}/rendition"
    first = ada.rendition(f"{path}?width=64").headers["Location"]
    database.run(
        "INSERT INTO requested_renditions "
        "(image_id, width, ratio, format, source_key, making_until, object_key) "
        "SELECT r.image_id, 1000 + n, r.ratio, r.format, r.source_key, now(), 'none/' || n "
        "FROM requested_renditions AS r, generate_series(1, 200) AS n WHERE r.image_id = :id",
        id=image["id"],
    )

    assert ada.rendition(f"{path}?width=64&ratio=1:1").status_code == 302

    assert database.run(
        "SELECT count(*) FROM requested_renditions WHERE image_id = :id", id=image["id"]
    ) == [[202]]
    assert unsigned(ada.rendition(f"{path}?width=64").headers["Location"]) == unsigned(first)
    # Nobody counts how many are begun.
    assert not database.run("SELECT FROM new_renditions")


@pytest.mark.parametrize("given", [{}, {"visibility": ""}], ids=["not given", "blank"])
def test_a_new_image_is_as_visible_as_the_deployment_says(
    ada: ApiClient, bob: ApiClient, visitor: ApiClient, given: dict[str, str]
) -> None:
    image = ada.uploaded(samples.png(), **given)

    assert image["visibility"] == bob.image(image["id"]).json()["visibility"] == "public"
    answer = visitor.rendition(f"{image['rendition_url']}&width=64")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    for visibility in ("shared", "private"):
        assert ada.uploaded(samples.gif(), visibility=visibility)["visibility"] == visibility


def test_so_is_one_that_was_sent_to_the_storage(ada: ApiClient) -> None:
    offer = ada.request("POST", "/image/direct_upload").json()
    with ApiClient(offer["url"]) as stranger:
        file = {"file": samples.gif()}
        sent = stranger.request("POST", offer["url"], data=offer["fields"], files=file)
    assert sent.status_code == 204
    completed = ada.request("POST", f"/image/direct_upload/{offer['upload_id']}").json()
    assert ada.settled(completed["id"])["visibility"] == "public"


def test_the_trash_and_the_past_are_kept_for_ever(
    cloud: RunningCloud, ada: ApiClient, database: Connection
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    ada.updated(image_id, trashed=True)
    database.run(f"UPDATE images SET trashed_at = {LONG_AGO} WHERE id = :id", id=image_id)
    database.run(
        f"UPDATE changes SET accepted_at = {LONG_AGO}, settled_at = {LONG_AGO} "
        "WHERE image_id = :id",
        id=image_id,
    )

    assert cloud.invoke("janitor", {}).get("trash_deleted", 0) == 0
    cloud.invoke("relay", {})

    assert [image["id"] for image in ada.images(trashed="true").json()] == [image_id]
    history = ada.get(f"/image/{image_id}/history").json()
    assert [change["version"] for change in history] == [2, 1]


def test_a_token_is_good_for_as_long_as_the_deployment_says(ada: ApiClient) -> None:
    assert ada.sign_in().json()["expires_in"] == 90 * 60


def test_a_function_that_takes_too_long_is_given_up(
    cloud: RunningCloud, visitor: ApiClient
) -> None:
    visitor.healthy()
    with cloud.held_back("health"):
        answer = visitor.get("/health")

    assert_of_the_gateway(answer, 504, "timeout")
    assert int(answer.headers["Retry-After"]) > 0


def test_an_answer_that_is_none_is_not_passed_on(visitor: ApiClient) -> None:
    answer = visitor.get("/docs")

    assert_of_the_gateway(answer, 502, "internal_error")
    assert "nonsense" not in answer.text


def assert_of_the_gateway(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"detail", "code"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
