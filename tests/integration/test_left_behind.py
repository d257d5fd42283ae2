"""What was left behind is made good: hidden images that could not move, originals not measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pg8000.native import Connection

from image_api.core.change_log.changes import MAX_FAILURES
from image_api.core.upkeep import backfill, rerendering
from image_api.postgres.revocation import PostgresImageMoves
from tests import samples
from tests.faults.storage_proxy import StorageProxy
from tests.integration.functions import Api
from tests.integration.guarded_aws import GuardedAws
from tests.integration.real_services import RealServices
from tests.proxy_events import body_of
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerendering, "_PAUSE", 0.0)


@pytest.fixture
def failing(api: Api, aws: GuardedAws, services: RealServices) -> Iterator[StorageProxy]:
    """The storage that the functions reach, and that a test breaks."""
    with StorageProxy(urlsplit(services.endpoint_url).port or 0) as proxy:
        aws.s3_url = f"http://127.0.0.1:{proxy.port}"
        yield proxy


def keys(api: Api, s3_client: Any) -> set[str]:
    found = s3_client.list_objects_v2(Bucket=api.bucket).get("Contents", [])
    return {stored["Key"] for stored in found}


def hide_while_the_storage_fails(api: Api, token: str, image_id: int, sql: Connection) -> None:
    """Through all attempts of the change."""
    assert api.update(token, image_id, visibility="private")["statusCode"] == 200
    message = api.messages(1)
    for _ in range(MAX_FAILURES):
        sql.run("UPDATE changes SET due_at = now() WHERE settled_at IS NULL")
        api.deliver(message)
    assert sql.run("SELECT status, exposed_key IS NOT NULL FROM images") == [["failed", True]]


@pytest.mark.parametrize("method", ["PUT", "POST"], ids=["copies", "deletions"])
def test_what_was_hidden_moves_in_the_end_although_the_storage_failed_at_every_attempt(
    api: Api, ada: str, sql: Connection, s3_client: Any, failing: StorageProxy, method: str
) -> None:
    image_id = api.upload(ada)
    assert api.consume() == {"applied": 1}
    before, shown = keys(api, s3_client), api.get(ada, image_id)
    failing.break_with(lambda asked, _path: "500" if asked == method else None)
    hide_while_the_storage_fails(api, ada, image_id, sql)
    for url in (shown["url"], shown["thumbnail_url"]):
        assert requests.get(url).ok
    # It fails still, and the next run goes on.
    api.call("rerender", {})
    assert requests.get(shown["thumbnail_url"]).ok
    failing.heal()

    api.call("rerender", {})

    image = api.get(ada, image_id)
    for url in (image["url"], image["thumbnail_url"]):
        assert requests.get(url).ok
    assert not keys(api, s3_client) & before
    assert sql.run("SELECT exposed_key FROM images") == [[None]]
    stored = sql.run("SELECT original_key FROM images UNION SELECT object_key FROM renditions")
    assert {key for (key,) in stored} <= keys(api, s3_client)
    # Nothing is left to do.
    there = keys(api, s3_client)
    api.call("rerender", {})
    assert keys(api, s3_client) == there


@pytest.mark.parametrize("change", ["update", "delete"])
def test_a_change_that_comes_while_it_moves_wins(
    api: Api,
    ada: str,
    sql: Connection,
    s3_client: Any,
    failing: StorageProxy,
    environment: pytest.MonkeyPatch,
    change: str,
) -> None:
    image_id = api.upload(ada)
    api.consume()
    before = keys(api, s3_client)
    failing.break_with(lambda asked, _path: "500" if asked == "PUT" else None)
    hide_while_the_storage_fails(api, ada, image_id, sql)
    failing.heal()
    move = PostgresImageMoves.move

    def overtaken(*arguments: Any) -> Any:
        environment.setattr(PostgresImageMoves, "move", move)
        if change == "update":
            api.update(ada, image_id, title="mine")
        else:
            api.delete(ada, image_id)
        # Messages of the change that failed come before its own.
        eventually(lambda: api.consume().get("applied"), "the change is applied")
        api.take_role("rerender")
        return move(*arguments)

    environment.setattr(PostgresImageMoves, "move", overtaken)
    api.call("rerender", {})
    assert not keys(api, s3_client) & before
    stored = sql.run("SELECT original_key FROM images UNION SELECT object_key FROM renditions")
    assert keys(api, s3_client) == {key for (key,) in stored}
    if change == "update":
        assert api.get(ada, image_id)["title"] == "mine"
        assert requests.get(api.get(ada, image_id)["url"]).ok


def test_what_keeps_failing_holds_up_nothing_else(
    api: Api, ada: str, sql: Connection, s3_client: Any, failing: StorageProxy
) -> None:
    image_ids = []
    for _ in range(2):
        image_ids.append(api.upload(ada))
        api.consume()
    sql.run("UPDATE images SET visibility = 'private', exposed_key = original_key")
    ((poison,),) = sql.run("SELECT original_key FROM images WHERE id = :id", id=image_ids[0])
    folder = poison.split("/")[1]
    failing.break_with(
        # A copy names its source in a header, and what is to be deleted is listed first.
        lambda _asked, path: "500" if "versions" in path and folder in path else None
    )
    api.call("rerender", {})
    assert sql.run("SELECT exposed_key IS NULL FROM images ORDER BY id") == [[False], [True]]


def as_uploaded_before_frames_were_counted(sql: Connection) -> None:
    sql.run("UPDATE images SET frames = NULL, original_bytes = NULL")


def test_an_old_animation_is_measured_and_then_a_size_that_cannot_be_made_is_refused(
    api: Api, ada: str, sql: Connection, s3_client: Any
) -> None:
    moving = samples.animation("image/gif")
    animation = api.upload(ada, moving)
    still = api.upload(ada)
    lost, unreadable = api.upload(ada), api.upload(ada)
    api.consume(4)
    ((key,),) = sql.run("SELECT original_key FROM images WHERE id = :id", id=lost)
    s3_client.delete_object(Bucket=api.bucket, Key=key)
    ((key,),) = sql.run("SELECT original_key FROM images WHERE id = :id", id=unreadable)
    s3_client.put_object(Bucket=api.bucket, Key=key, Body=b"nothing of a picture")
    as_uploaded_before_frames_were_counted(sql)
    # As long as nobody knows, nobody can say.
    assert api.update(ada, animation, resolution="7000x7000")["statusCode"] == 200

    api.call("rerender", {})

    assert sql.run("SELECT id, frames FROM images ORDER BY id") == [
        [animation, len(samples.DURATIONS_MS)],
        *([other, 1] for other in (still, lost, unreadable)),
    ]
    ((size_bytes,),) = sql.run("SELECT original_bytes FROM images WHERE id = :id", id=animation)
    assert size_bytes == len(moving)
    answer = api.update(ada, animation, resolution="7000x7000")
    assert answer["statusCode"] == 400
    assert body_of(answer)["errors"][0]["field"] == "resolution"
    assert api.update(ada, still, resolution="700x700")["statusCode"] == 200


def test_measuring_ends_in_time_and_goes_on_with_the_next_run(
    api: Api, ada: str, sql: Connection, failing: StorageProxy, environment: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        api.upload(ada)
    as_uploaded_before_frames_were_counted(sql)
    unmeasured = "SELECT count(*) FROM images WHERE frames IS NULL"
    failing.break_with(lambda asked, _path: "503" if asked == "GET" else None)
    api.call("rerender", {})
    assert sql.run(unmeasured) == [[2]]
    failing.heal()
    environment.setattr(backfill, "_MIN_REMAINING_MILLISECONDS", 300_001)
    api.call("rerender", {})
    assert sql.run(unmeasured) == [[2]]
    environment.setattr(backfill, "_MIN_REMAINING_MILLISECONDS", 0)
    api.call("rerender", {})
    assert sql.run(unmeasured) == [[0]]
