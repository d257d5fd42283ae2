"""Renditions on demand, from the request to the object, with real Postgres and S3."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from pg8000.native import Connection

from image_api.core.renditions import on_demand
from image_api.core.renditions.on_demand import Asked, RenditionsOnDemand, Viewer
from image_api.errors import ImageNotFound, RenditionUnderWay
from image_api.imaging.headers import formats
from image_api.postgres.database import Database
from image_api.postgres.renditions import PostgresRenditionRecords
from image_api.settings import RenditionLimits
from tests import samples
from tests.integration.functions import Api
from tests.integration.lambda_server import LambdaServer
from tests.links import unsigned, within_one_window
from tests.proxy_events import body_of, header_of, proxy_event
from tests.waiting import eventually

TABLE = "SELECT width, ratio, format, failures, object_key FROM requested_renditions ORDER BY 1"


@pytest.fixture
def image(api: Api, ada: str) -> int:
    image_id = api.upload(ada, samples.jpeg(samples.photo(900, 600)), title="Zoë.png")
    assert api.consume() == {"applied": 1}
    return image_id


def ask(
    api: Api, image_id: int, bearer: str | None = None, accept: str = "*/*", **query: str
) -> dict[str, Any]:
    path, headers = f"/image/{image_id}/rendition", {"Accept": accept}
    return api.call(
        "rendition", proxy_event("GET", path, token=bearer, query=query, headers=headers)
    )


def opened(answer: dict[str, Any]) -> Any:
    assert answer["statusCode"] == 302, answer
    return requests.get(header_of(answer, "Location") or "")


def link_of(api: Api, token: str, image_id: int) -> str:
    """The token in an image's `rendition_url`."""
    url = str(api.get(token, image_id)["rendition_url"])
    assert url.startswith(f"https://api.example.com/image/{image_id}/rendition?token=")
    return parse_qs(urlsplit(url).query)["token"][0]


def test_a_rendition_is_made_once_and_kept(
    api: Api, ada: str, image: int, lambda_server: LambdaServer, sql: Connection
) -> None:
    first = ask(api, image, ada, width="300", ratio="1:1", format="webp")
    served = opened(first)
    header = formats.header(served.content)
    assert (header.format.content_type, header.upright_size) == ("image/webp", (320, 320))
    assert served.headers["Content-Type"] == "image/webp"
    assert header_of(first, "Cache-Control") == "private, max-age=1200"
    assert header_of(first, "Vary") == "Accept, Origin, Authorization"

    lambda_server.invoke = lambda *_: pytest.fail("made twice")  # type: ignore[method-assign]
    again = ask(api, image, ada, width="320", ratio="1:1", format="webp")
    assert unsigned(str(header_of(again, "Location"))) == unsigned(
        str(header_of(first, "Location"))
    )
    ((width, ratio, made_of, failures, key),) = sql.run(TABLE)
    assert (width, ratio, made_of, failures) == (320, "1:1", "webp", 0)
    assert "/on-demand/" in key


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("image/avif,image/webp,*/*;q=0.8", "image/avif"),
        ("image/webp,image/avif;q=0", "image/webp"),
        ("image/*,*/*", "image/jpeg"),
        ("", "image/jpeg"),
    ],
)
def test_the_format_is_the_best_that_is_accepted(
    api: Api, ada: str, image: int, accept: str, content_type: str
) -> None:
    served = opened(ask(api, image, ada, accept=accept, width="64"))

    assert formats.header(served.content).format.content_type == content_type


def test_what_is_transparent_is_a_png_where_webp_is_not_taken(api: Api, ada: str) -> None:
    image_id = api.upload(ada, samples.png(samples.translucent(200, 100)))
    api.consume()

    served = opened(ask(api, image_id, ada, width="64"))
    assert formats.header(served.content).format.content_type == "image/png"
    forced = opened(ask(api, image_id, ada, width="64", format="jpeg"))
    assert formats.header(forced.content).format.content_type == "image/jpeg"


@pytest.mark.parametrize("made_of", ["webp", "avif", "png"])
def test_an_animation_goes_on_moving_where_the_format_can(api: Api, ada: str, made_of: str) -> None:
    image_id = api.upload(ada, samples.animation("image/gif"))
    api.consume()

    moving = opened(ask(api, image_id, ada, width="64", format=made_of))
    assert formats.header(moving.content).frames == len(samples.DURATIONS_MS)
    still = opened(ask(api, image_id, ada, width="64", format="jpeg"))
    assert formats.header(still.content).frames == 1
    auto = opened(ask(api, image_id, ada, width="64", accept="image/avif,image/webp"))
    assert formats.header(auto.content).format.content_type == "image/webp"


def test_a_rendition_is_never_larger_than_the_picture(
    api: Api, ada: str, image: int, sql: Connection
) -> None:
    served = opened(ask(api, image, ada, width="3840", format="png"))

    assert formats.header(served.content).upright_size == (900, 600)
    cut = opened(ask(api, image, ada, width="3840", ratio="9:16", format="png"))
    assert formats.header(cut.content).upright_size == (337, 599)
    assert [row[0] for row in sql.run(TABLE)] == [337, 900]


def test_it_is_saved_under_the_title(api: Api, ada: str, image: int) -> None:
    served = opened(ask(api, image, ada, width="64", format="webp", download="true"))

    assert served.headers["Content-Disposition"] == (
        "attachment; filename=\"Zo_.webp\"; filename*=UTF-8''Zo%C3%AB.webp"
    )


def test_who_takes_json_gets_the_url_as_json(api: Api, ada: str, image: int) -> None:
    answer = ask(api, image, ada, accept="application/json", width="64")

    assert answer["statusCode"] == 200
    assert header_of(answer, "Vary") == "Accept, Origin, Authorization"
    assert requests.get(body_of(answer)["url"]).ok


def test_the_link_of_an_image_works_without_signing_in(
    api: Api, ada: str, bob: str, image: int
) -> None:
    def link_of_both() -> str:
        token = link_of(api, bob, image)
        assert link_of(api, ada, image) == token
        return token

    token = within_one_window(link_of_both)
    answer = ask(api, image, width="64", token=token)
    assert opened(answer).ok
    assert header_of(answer, "Vary") == "Accept, Origin"
    # It is this image's alone, and as it was made.
    other = api.upload(ada)
    for image_id, wrong in ((other, token), (image, token[:-3] + "AAA"), (image, "x"), (image, "")):
        refused = ask(api, image_id, width="64", token=wrong)
        assert (refused["statusCode"], body_of(refused)["code"]) == (401, "unauthenticated")
    assert ask(api, image, width="64")["statusCode"] == 401


def test_hiding_ends_links_and_what_is_stored_at_once(
    api: Api, ada: str, bob: str, image: int, sql: Connection, s3_client: Any
) -> None:
    token, mine = link_of(api, bob, image), header_of(ask(api, image, bob, width="64"), "Location")
    api.update(ada, image, visibility="private")

    for answer in (ask(api, image, width="64", token=token), ask(api, image, bob)):
        assert (answer["statusCode"], body_of(answer)["code"]) == (404, "image_not_found")
    new_token = link_of(api, ada, image)
    assert new_token != token
    assert opened(ask(api, image, width="64", token=new_token)).ok
    assert api.consume() == {"applied": 1}
    assert requests.get(mine or "").status_code in (403, 404)
    assert sql.run(TABLE) == []
    # Shown again, it has other links.
    api.update(ada, image, visibility="shared")
    api.consume()
    assert ask(api, image, width="64", token=token)["statusCode"] == 404
    assert opened(ask(api, image, bob, width="64")).ok


def test_the_link_of_a_public_image_stays_the_same_until_it_is_withdrawn_for_good(
    api: Api, ada: str, bob: str, image: int
) -> None:
    shared = link_of(api, ada, image)
    api.update(ada, image, visibility="public")
    assert api.consume() == {"applied": 1}
    public = link_of(api, ada, image)
    assert public == link_of(api, bob, image) != shared

    answer = ask(api, image, width="64", token=public)
    assert opened(answer).ok
    assert header_of(answer, "Cache-Control") == "public, max-age=300"
    assert header_of(answer, "Vary") == "Accept, Origin"
    url = header_of(answer, "Location") or ""
    # What was handed out before is good as long as it would have been.
    assert opened(ask(api, image, width="64", token=shared)).ok

    for narrower in ("shared", "private"):
        api.update(ada, image, visibility=narrower)
        # From the answer on, whatever becomes of the rest.
        for token in (public, shared):
            assert ask(api, image, width="64", token=token)["statusCode"] == 404
        assert api.get(ada, image)["visibility"] == narrower
        assert api.consume() == {"applied": 1}
        assert requests.get(url).status_code in (403, 404)
        api.update(ada, image, visibility="public")
        assert api.consume() == {"applied": 1}
        again = link_of(api, ada, image)
        assert again != public
        assert ask(api, image, width="64", token=public)["statusCode"] == 404
        answer = ask(api, image, width="64", token=again)
        assert opened(answer).ok
        public, url = again, header_of(answer, "Location") or ""


def test_an_image_can_be_public_from_the_start(
    api: Api, ada: str, bob: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DEFAULT_VISIBILITY", "public")
    by_default = api.upload(ada)
    asked = api.upload(ada, visibility="public")
    assert api.consume(2) == {"applied": 2}

    for image_id in (by_default, asked):
        image = api.get(bob, image_id)
        assert image["visibility"] == "public"
        assert opened(ask(api, image_id, width="64", token=link_of(api, bob, image_id))).ok
    found = api.list_images(bob, title="photo")
    assert [image["id"] for image in body_of(found)] == [asked, by_default]
    assert header_of(found, "X-Total-Count") == "2"
    assert header_of(api.list_images(bob), "X-Total-Count") == "2"


def test_renditions_go_with_what_they_were_made_of(
    api: Api, ada: str, image: int, sql: Connection, s3_client: Any
) -> None:
    opened(ask(api, image, ada, width="64"))
    api.update(ada, image, resolution="90x90")
    assert api.consume() == {"applied": 1}
    assert sql.run(TABLE) == []
    assert sql.run("SELECT count(*) FROM forgotten_objects") == [[1]]
    resized = opened(ask(api, image, ada, width="64", format="png"))
    assert formats.header(resized.content).upright_size == (64, 64)

    # Those from before go when nobody has a URL of one any more.
    sql.run("UPDATE forgotten_objects SET delete_after = now()")
    assert api.call("janitor", {})["objects_deleted"] == 1
    assert sql.run("SELECT count(*) FROM forgotten_objects") == [[0]]

    api.delete(ada, image)
    assert ask(api, image, ada, width="64")["statusCode"] == 404
    assert api.consume() == {"applied": 1}
    assert "Contents" not in s3_client.list_objects_v2(Bucket=api.bucket)


def test_the_janitor_leaves_what_rows_speak_of_and_forgets_what_is_lost(
    api: Api,
    ada: str,
    image: int,
    sql: Connection,
    s3_client: Any,
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("JANITOR_MIN_AGE_SECONDS", "0")
    environment.setenv("JANITOR_MAX_PERCENT", "100")
    url = header_of(ask(api, image, ada, width="64"), "Location") or ""
    ((*_, key),) = sql.run(TABLE)
    crashed = key.replace(key.split("/")[3], "of-a-crash")
    s3_client.put_object(Bucket=api.bucket, Key=crashed, Body=b"x")

    assert sum(api.call("janitor", {})["objects_deleted"] for _ in range(2)) == 1
    assert requests.get(url).ok

    s3_client.delete_object(Bucket=api.bucket, Key=key)
    sql.run("UPDATE requested_renditions SET making_until = now() - interval '1 day'")
    api.call("janitor", {})
    assert sql.run(TABLE) == []
    assert opened(ask(api, image, ada, width="64")).ok
    assert api.get(ada, image)["status"] == "ready"


def test_what_was_not_made_and_what_was_counted_is_forgotten(
    api: Api, ada: str, image: int, lambda_server: LambdaServer, sql: Connection
) -> None:
    opened(ask(api, image, ada, width="64"))
    crash = (200, {"X-Amz-Function-Error": "Unhandled"}, b"{}")
    lambda_server.invoke = lambda *_: crash  # type: ignore[method-assign]
    ask(api, image, ada, width="128")
    api.call("relay", {})
    assert len(sql.run(TABLE)) == 2
    assert sql.run("SELECT count(*) FROM new_renditions") == [[1]]

    sql.run("UPDATE requested_renditions SET making_until = now() - interval '2 days'")
    sql.run("UPDATE new_renditions SET window_started_at = now() - interval '2 minutes'")
    api.call("relay", {})
    assert [row[0] for row in sql.run(TABLE)] == [64]
    assert sql.run("SELECT count(*) FROM new_renditions") == [[0]]


def test_the_trash_ends_links_and_a_public_one_comes_back(
    api: Api, ada: str, bob: str, image: int
) -> None:
    api.update(ada, image, visibility="public")
    assert api.consume() == {"applied": 1}
    public = link_of(api, ada, image)
    opened(ask(api, image, width="64", token=public))

    api.update(ada, image, trashed=True)
    for answer in (ask(api, image, width="64", token=public), ask(api, image, bob, width="64")):
        assert (answer["statusCode"], body_of(answer)["code"]) == (404, "image_not_found")
    assert opened(ask(api, image, ada, width="64")).ok
    of_the_owner = link_of(api, ada, image)
    assert opened(ask(api, image, width="64", token=of_the_owner)).ok
    assert api.consume() == {"applied": 1}

    api.update(ada, image, trashed=False)
    assert api.consume() == {"applied": 1}
    assert api.get(bob, image)["visibility"] == "public"
    assert link_of(api, bob, image) == public
    assert opened(ask(api, image, width="64", token=public)).ok


def test_a_failed_change_leaves_them_where_they_are(
    api: Api,
    ada: str,
    image: int,
    sql: Connection,
    monkeypatch: pytest.MonkeyPatch,
    lambda_server: LambdaServer,
) -> None:
    url = header_of(ask(api, image, ada, width="64"), "Location") or ""
    monkeypatch.setattr(
        lambda_server, "invoke", lambda *_: (200, {"X-Amz-Function-Error": "x"}, b"{}")
    )
    api.update(ada, image, resolution="90x90")
    for _ in range(3):
        sql.run("UPDATE changes SET due_at = now() WHERE outcome IS NULL")
        api.call("relay", {})
        sql.run("UPDATE changes SET published_at = NULL WHERE outcome IS NULL")
        api.call("relay", {})
        api.consume()
    assert api.get(ada, image)["status"] == "failed"
    assert requests.get(url).ok


@pytest.mark.parametrize("state", ["processing", "failed"])
def test_without_a_picture_there_is_none(api: Api, ada: str, state: str, sql: Connection) -> None:
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    image_id = api.upload(ada, damaged)
    if state == "failed":
        api.consume()
    answer = ask(api, image_id, ada)

    code = "image_failed" if state == "failed" else "not_ready"
    assert (answer["statusCode"], body_of(answer)["code"]) == (409, code)
    assert header_of(answer, "Retry-After") == (None if state == "failed" else "1")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"width": "0"}, "width"),
        ({"width": "3841"}, "width"),
        ({"width": "wide"}, "width"),
        ({"ratio": "5:4"}, "ratio"),
        ({"format": "gif"}, "format"),
        ({"download": "perhaps"}, "download"),
        ({"height": "64"}, "height"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_words(
    api: Api, ada: str, query: dict[str, str], field: str
) -> None:
    answer = ask(api, 1, ada, **query)

    assert answer["statusCode"] == 400
    assert [each["field"] for each in body_of(answer)["errors"]] == [field]


def test_new_ones_are_limited_by_account_and_by_address(
    api: Api, ada: str, image: int, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("LIMIT_NEW_RENDITIONS_PER_MINUTE", "2")
    token = link_of(api, ada, image)

    def statuses(who: str | None, **query: str) -> list[int]:
        return [
            ask(api, image, who, width=width, **query)["statusCode"]
            for width in ("64", "128", "256", "64")
        ]

    assert statuses(ada, format="png") == [302, 302, 429, 302]
    assert statuses(None, format="webp", token=token) == [302, 302, 429, 302]
    refused = ask(api, image, ada, width="256", format="png")
    assert body_of(refused)["code"] == "too_many_renditions"
    assert 1 <= int(header_of(refused, "Retry-After") or "") <= 60


def test_an_image_keeps_those_that_were_asked_for_last(
    api: Api, ada: str, image: int, environment: pytest.MonkeyPatch, sql: Connection
) -> None:
    environment.setenv("RENDITIONS_PER_IMAGE", "2")
    for width in ("64", "128"):
        opened(ask(api, image, ada, width=width))
    sql.run("UPDATE requested_renditions SET asked_at = asked_at - interval '1 hour'")
    opened(ask(api, image, ada, width="64"))
    opened(ask(api, image, ada, width="256"))

    assert [row[0] for row in sql.run(TABLE)] == [64, 256]
    # Whoever was told where the third is can still open it.
    ((key,),) = sql.run("SELECT object_key FROM forgotten_objects")
    assert key not in [row[4] for row in sql.run(TABLE)]


def test_a_killed_renderer_is_an_attempt_and_the_third_is_the_last(
    api: Api, ada: str, image: int, lambda_server: LambdaServer, sql: Connection
) -> None:
    invoke = lambda_server.invoke
    lambda_server.invoke = (  # type: ignore[method-assign]
        lambda *_: (
            200,
            {"X-Amz-Function-Error": "Unhandled"},
            b'{"errorType": "Runtime.ExitError"}',
        )
    )
    answers = [ask(api, image, ada, width="64") for _ in range(4)]
    assert [answer["statusCode"] for answer in answers] == [503, 503, 503, 409]
    assert {body_of(answer)["code"] for answer in answers[:3]} == {"rendition_under_way"}
    assert header_of(answers[0], "Retry-After") == "2"
    assert body_of(answers[3])["code"] == "image_failed"

    lambda_server.invoke = invoke  # type: ignore[method-assign]
    assert opened(ask(api, image, ada, width="128")).ok
    sql.run("UPDATE requested_renditions SET making_until = now() - interval '1 hour'")
    assert opened(ask(api, image, ada, width="64")).ok


def test_when_all_renderers_are_busy_that_is_no_attempt(
    api: Api, ada: str, image: int, lambda_server: LambdaServer, sql: Connection
) -> None:
    lambda_server.invoke = lambda *_: (429, {}, b"{}")  # type: ignore[method-assign]
    assert [ask(api, image, ada, width="64")["statusCode"] for _ in range(4)] == [503] * 4
    assert [row[3] for row in sql.run(TABLE)] == [0]


def test_a_removal_waits_for_a_renderer_whose_connection_broke(
    api: Api, ada: str, image: int, lambda_server: LambdaServer, sql: Connection
) -> None:
    lambda_server.invoke = lambda *_: (502, {}, b"{}")  # type: ignore[method-assign]
    assert ask(api, image, ada, width="64")["statusCode"] == 503
    assert api.delete(ada, image)["statusCode"] == 200
    api.consume()
    assert sql.run("SELECT count(*) FROM images") == [[1]]
    sql.run("UPDATE requested_renditions SET making_until = now()")
    # Its message is back as soon as it is looked again.
    api.consume()
    assert sql.run("SELECT count(*) FROM images") == [[0]]


def test_one_that_takes_longer_goes_on_and_is_there_the_next_time(
    api: Api,
    ada: str,
    image: int,
    lambda_server: LambdaServer,
    monkeypatch: pytest.MonkeyPatch,
    sql: Connection,
) -> None:
    monkeypatch.setattr(on_demand, "PATIENCE_SECONDS", 0.3)
    invoke, may_end, ended = lambda_server.invoke, threading.Event(), threading.Event()

    def slow(path: str, payload: bytes) -> tuple[int, dict[str, str], bytes]:
        may_end.wait()
        try:
            return invoke(path, payload)
        finally:
            ended.set()

    monkeypatch.setattr(lambda_server, "invoke", slow)
    for _ in range(2):
        answer = ask(api, image, ada, width="64")
        assert (answer["statusCode"], body_of(answer)["code"]) == (503, "rendition_under_way")
    may_end.set()
    assert ended.wait(60)
    # Whoever began it is not waited for any more.
    sql.run("UPDATE requested_renditions SET claimed_at = claimed_at - interval '10 seconds'")
    monkeypatch.setattr(lambda_server, "invoke", lambda *_: pytest.fail("made twice"))

    def look() -> dict[str, Any] | None:
        # On a busy machine looking for it may take longer than anybody waits here.
        answer = ask(api, image, ada, width="64")
        return None if answer["statusCode"] == 503 else answer

    assert opened(eventually(look, "it is there")).ok


@pytest.fixture
def make_renditions(
    api: Api, make_database: Callable[[], Database]
) -> Callable[[], RenditionsOnDemand]:
    """As many as one likes, each with a connection of its own, and the role of the function."""
    from image_api import wiring

    api.take_role("rendition")

    def make() -> RenditionsOnDemand:
        records = PostgresRenditionRecords(make_database(), RenditionLimits(64, 120))
        return RenditionsOnDemand(
            records, wiring.url_signer(), wiring.renderings(), wiring.stored_objects()
        )

    return make


def test_twenty_at_once_make_one(
    make_renditions: Callable[[], RenditionsOnDemand],
    api: Api,
    image: int,
    lambda_server: LambdaServer,
    monkeypatch: pytest.MonkeyPatch,
    sql: Connection,
) -> None:
    invoke, made = lambda_server.invoke, []

    def counted(path: str, payload: bytes) -> tuple[int, dict[str, str], bytes]:
        made.append(path)
        return invoke(path, payload)

    monkeypatch.setattr(lambda_server, "invoke", counted)
    ((user_id,),) = sql.run("SELECT id FROM users")
    makers = [make_renditions() for _ in range(20)]
    asked = Asked(64, None, ("webp", "webp"))
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(
                lambda maker: maker.answer(Viewer("192.0.2.1", user_id), image, asked), makers
            )
        )

    assert len(made) == 1
    assert len({unsigned(answer.url) for answer in answers}) == 1
    assert requests.get(answers[0].url).ok
    assert sql.run("SELECT begun FROM new_renditions") == [[1]]


@pytest.mark.parametrize("change", ["hidden", "deleted"])
def test_what_vanishes_while_it_is_made_is_not_shown(
    make_renditions: Callable[[], RenditionsOnDemand],
    api: Api,
    ada: str,
    bob: str,
    image: int,
    lambda_server: LambdaServer,
    monkeypatch: pytest.MonkeyPatch,
    s3_client: Any,
    sql: Connection,
    change: str,
) -> None:
    invoke, asked = lambda_server.invoke, Asked(64, None, ("webp", "webp"))
    maker = make_renditions()

    def meanwhile(path: str, payload: bytes) -> tuple[int, dict[str, str], bytes]:
        monkeypatch.setattr(lambda_server, "invoke", invoke)
        if change == "hidden":
            api.update(ada, image, visibility="private")
        else:
            api.delete(ada, image)
        outcome = api.consume()
        # A removal waits for whoever may still store something.
        assert outcome == ({"applied": 1} if change == "hidden" else {"postponed": 1, "waiting": 1})
        api.take_role("rendition")
        return invoke(path, payload)

    monkeypatch.setattr(lambda_server, "invoke", meanwhile)
    with pytest.raises((ImageNotFound, RenditionUnderWay)):
        maker.answer(Viewer("192.0.2.1", 2), image, asked)
    with pytest.raises(ImageNotFound):
        maker.answer(Viewer("192.0.2.1", 2), image, asked)

    if change == "deleted":
        sql.run("UPDATE changes SET due_at = now() WHERE outcome IS NULL")
        api.consume()
        assert "Contents" not in s3_client.list_objects_v2(Bucket=api.bucket)
    else:
        keys = [each["Key"] for each in s3_client.list_objects_v2(Bucket=api.bucket)["Contents"]]
        assert not any("on-demand" in key for key in keys)
