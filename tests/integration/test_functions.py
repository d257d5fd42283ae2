"""Each function as Lambda invokes it: events in, answers out, real services behind."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from image_api import __version__
from image_api.core.change_log import events
from image_api.core.change_log.queues import dead_queue
from image_api.errors import ServiceUnavailable
from image_api.postgres.users import PostgresUserRecords
from image_api.rabbitmq.broker import Broker
from tests import samples
from tests.amqp import open_channel
from tests.application import forget
from tests.integration.accepting import age, changes
from tests.integration.functions import PASSWORD, Api
from tests.log_lines import log_lines
from tests.proxy_events import body_of, header_of, oauth_form_event, proxy_event, upload_event
from tests.waiting import eventually

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-0012345678901234-01"


def test_the_life_of_an_image(api: Api, ada: str, bob: str, s3_client: Any) -> None:
    image_id = api.upload(ada, samples.png(samples.photo(640, 480)), filename="../rocket.png")
    accepted = api.get(ada, image_id)
    assert (accepted["status"], accepted["title"], accepted["url"]) == (
        "processing",
        "rocket.png",
        None,
    )
    assert api.consume() == {"applied": 1}
    ready = api.get(bob, image_id)
    assert (ready["status"], ready["resolution"], ready["content_type"]) == (
        "ready",
        "640x480",
        "image/png",
    )
    served = requests.get(ready["url"])
    assert served.headers["Content-Type"] == "image/png"
    assert len(served.content) == ready["size"]
    assert samples.opened(served.content).size == (640, 480)
    thumbnail = samples.opened(requests.get(ready["thumbnail_url"]).content)
    assert max(thumbnail.size) == 320
    preview = samples.opened(requests.get(ready["preview_url"]).content)
    assert preview.size == (640, 480)
    assert len(base64.b64decode(ready["placeholder"])) > 5

    answer = api.update(ada, image_id, title="Lift-off", resolution="100X50", fit="stretch")
    assert answer["statusCode"] == 200
    assert body_of(answer) == {
        "detail": "Image update request sent to the processing service",
        "id": image_id,
        "version": 2,
    }
    assert api.get(ada, image_id)["url"].split("?")[0] == ready["url"].split("?")[0]
    assert api.consume() == {"applied": 1}
    changed = api.get(ada, image_id)
    assert (changed["title"], changed["resolution"], changed["status"]) == (
        "Lift-off",
        "100x50",
        "ready",
    )
    served = requests.get(changed["url"])
    assert samples.opened(served.content).size == (100, 50)
    assert len(served.content) == changed["size"]

    answer = api.delete(ada, image_id)
    assert body_of(answer)["detail"] == "Image deletion request sent to the processing service"
    assert body_of(api.list_images(ada)) == []
    assert api.consume() == {"applied": 1}
    assert "Contents" not in s3_client.list_objects_v2(Bucket=api.bucket)


def test_the_correlation_id_leads_from_the_request_to_the_outcome(
    api: Api, ada: str, channel: BlockingChannel
) -> None:
    listener = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(listener, events.EXCHANGE, "image.#")
    headers = {"X-Correlation-Id": "from-the-client", "traceparent": TRACEPARENT}
    event = upload_event(samples.png(), token=ada, headers=headers)
    ours = header_of(api.call("upload", event), "X-Correlation-Id")
    with log_lines() as lines:
        api.consume()
    (ended,) = (line for line in lines if line["message"] == "attempt ended")
    assert ended["correlation_id"] == ours
    assert ended["client_correlation_id"] == "from-the-client"
    assert ended["trace_id"] in TRACEPARENT
    types = []
    for _ in range(2):
        _, properties, _ = eventually(
            lambda: found if (found := channel.basic_get(listener, auto_ack=True))[0] else None,
            "an event",
        )
        assert properties.correlation_id == ours
        assert properties.headers["traceparent"] == TRACEPARENT
        types.append(properties.type)
    assert types == [events.UPLOAD_REQUESTED, events.UPLOAD_COMPLETED]


def test_registering_a_name_twice_is_refused_in_words(api: Api, ada: str) -> None:
    event = proxy_event(
        "POST", "/auth/register", json_body={"username": "ADA", "password": PASSWORD}
    )
    response = api.call("register", event)
    assert response["statusCode"] == 400
    assert body_of(response)["errors"] == [
        {"field": "username", "message": "This name is taken; choose another one"}
    ]


def test_both_broken_rules_of_a_registration_are_named(api: Api) -> None:
    event = proxy_event("POST", "/auth/register", json_body={"username": " ", "password": "abc"})
    response = api.call("register", event)
    assert response["statusCode"] == 400
    assert [problem["field"] for problem in body_of(response)["errors"]] == ["username", "password"]


def test_signing_in_takes_json_and_the_oauth_form(api: Api, ada: str) -> None:
    json_event = proxy_event(
        "POST", "/auth/login", json_body={"username": "ada", "password": PASSWORD}
    )
    for event in (json_event, oauth_form_event("ada", PASSWORD)):
        response = api.call("login", event)
        assert response["statusCode"] == 200
        assert body_of(response)["token_type"] == "bearer"
        assert body_of(api.list_images(body_of(response)["access_token"])) == []


def test_failed_sign_ins_are_refused_alike_and_then_throttled(api: Api, ada: str) -> None:
    def guess(username: str, address: str) -> dict[str, Any]:
        credentials = {"username": username, "password": "wrong"}
        event = proxy_event("POST", "/auth/login", json_body=credentials, source_ip=address)
        return api.call("login", event)

    for username, address in (("ada", "203.0.113.1"), ("nobody", "203.0.113.2")):
        refused = [guess(username, address) for _ in range(5)]
        assert {response["statusCode"] for response in refused} == {401}
        assert {response["body"] for response in refused} == {
            '{"detail":"The username or the password is wrong","code":"wrong_credentials"}'
        }
        throttled = guess(username, address)
        assert throttled["statusCode"] == 429
        assert 0 < int(header_of(throttled, "Retry-After") or "0") <= 60


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"hello, I am a text", 400),
        (samples.png()[:40], 400),
        (b"8BPS\x00\x01" + bytes(100), 415),
        (samples.png_bomb(), 413),
    ],
    ids=["empty", "text", "cut off", "photoshop", "bomb"],
)
def test_what_is_no_picture_is_refused_and_nothing_is_kept(
    api: Api, ada: str, s3_client: Any, sql: Connection, data: bytes, status: int
) -> None:
    response = api.call("upload", upload_event(data, token=ada))
    assert response["statusCode"] == status
    assert body_of(response)["detail"]
    assert sql.run("SELECT count(*) FROM images") == [[0]]
    assert "Contents" not in s3_client.list_objects_v2(Bucket=api.bucket)


def test_the_format_is_what_the_bytes_are(api: Api, ada: str) -> None:
    image_id = api.upload(ada, samples.gif(), filename="liar.png")
    assert api.get(ada, image_id)["content_type"] == "image/gif"


def test_a_form_without_the_file_names_the_field(api: Api, ada: str) -> None:
    response = api.call("upload", upload_event(samples.png(), token=ada, field="file"))
    assert response["statusCode"] == 400
    assert body_of(response)["errors"] == [
        {"field": "file", "message": "Unknown field or parameter; see /docs"},
        {"field": "image", "message": "This field is required"},
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": "folder/"}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"colour": "red"}, "colour"),
        ({"visibility": "x"}, "visibility"),
    ],
)
def test_a_broken_rule_of_an_upload_names_the_field(
    api: Api, ada: str, fields: dict[str, Any], field: str
) -> None:
    response = api.call("upload", upload_event(samples.png(), token=ada, **fields))
    assert response["statusCode"] == 400
    assert [problem["field"] for problem in body_of(response)["errors"]] == [field]


def test_a_file_over_the_limit_is_told_the_limit(api: Api, ada: str) -> None:
    response = api.call("upload", upload_event(bytes(4_600_000), token=ada))
    assert response["statusCode"] == 413
    assert "4.5 MB" in body_of(response)["detail"]


def test_a_direct_upload_becomes_an_image(api: Api, ada: str) -> None:
    offer = body_of(
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=ada))
    )
    data = samples.jpeg(samples.photo(800, 600))
    sent = requests.post(offer["url"], offer["fields"], files={"file": ("x", data)})
    assert sent.ok
    complete = proxy_event(
        "POST",
        f"/image/direct_upload/{offer['upload_id']}",
        token=ada,
        json_body={"filename": "large.jpg"},
    )
    response = api.call("direct_upload", complete)
    assert response["statusCode"] == 200, response
    assert api.consume() == {"applied": 1}
    image = api.get(ada, body_of(response)["id"])
    assert (image["title"], image["status"], image["resolution"]) == (
        "large.jpg",
        "ready",
        "800x600",
    )
    assert body_of(api.call("direct_upload", complete)) == body_of(response)


def test_an_account_that_has_what_it_may_is_told_so_and_when_to_return(
    api: Api, ada: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("LIMIT_IMAGES", "2")
    environment.setenv("LIMIT_UNFINISHED_CHANGES", "2")
    environment.setenv("LIMIT_OPEN_DIRECT_UPLOADS", "1")
    image_id = api.upload(ada)
    api.upload(ada)
    offers = [
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=ada))
        for _ in range(2)
    ]
    full = api.call("upload", upload_event(samples.png(), token=ada))
    busy = api.update(ada, image_id, title="new")

    assert (full["statusCode"], body_of(full)["code"]) == (403, "quota_exceeded")
    assert [offer["statusCode"] for offer in offers] == [403, 403]
    assert (busy["statusCode"], body_of(busy)["code"]) == (429, "too_much_under_way")
    assert header_of(busy, "Retry-After") == "5"
    assert api.delete(ada, image_id)["statusCode"] == 200


def test_only_so_many_direct_uploads_are_open_at_a_time(
    api: Api, ada: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("LIMIT_OPEN_DIRECT_UPLOADS", "1")
    offers = [
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=ada))
        for _ in range(2)
    ]
    assert [offer["statusCode"] for offer in offers] == [200, 429]
    assert body_of(offers[1])["code"] == "too_much_under_way"
    assert 890 < int(header_of(offers[1], "Retry-After") or 0) <= 900


def test_what_is_hidden_moves_with_the_rights_of_the_consumer(api: Api, ada: str, bob: str) -> None:
    image_id = api.upload(ada)
    api.consume()
    before = api.get(bob, image_id)
    api.update(ada, image_id, visibility="private")
    hidden = api.call("get", proxy_event("GET", f"/image/{image_id}", token=bob))
    assert hidden["statusCode"] == 404
    assert api.consume() == {"applied": 1}
    assert api.get(ada, image_id)["file_path"] != before["file_path"]


def test_a_private_image_is_not_there_for_others(api: Api, ada: str, bob: str) -> None:
    image_id = api.upload(ada, visibility="private")
    asked = [
        api.call("get", proxy_event("GET", f"/image/{image_id}", token=bob)),
        api.update(bob, image_id, title="mine"),
        api.delete(bob, image_id),
        api.call("get", proxy_event("GET", "/image/999999", token=bob)),
    ]
    assert {response["statusCode"] for response in asked} == {404}
    assert {response["body"] for response in asked} == {
        '{"detail":"There is no such image","code":"image_not_found"}'
    }
    assert body_of(api.list_images(bob)) == []
    assert [image["id"] for image in body_of(api.list_images(ada))] == [image_id]


def test_a_deployment_may_keep_images_private_by_default(
    api: Api, ada: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DEFAULT_VISIBILITY", "private")
    forget()
    assert api.get(ada, api.upload(ada))["visibility"] == "private"
    assert api.get(ada, api.upload(ada, visibility="shared"))["visibility"] == "shared"


def test_the_link_of_each_page_leads_through_the_whole_list(api: Api, ada: str) -> None:
    ids = [api.upload(ada) for _ in range(5)]
    seen: list[int] = []
    query = {"limit": "2", "owner": "me"}
    while True:
        response = api.list_images(ada, **query)
        assert header_of(response, "X-Total-Count") == "5"
        seen += [image["id"] for image in body_of(response)]
        link = header_of(response, "Link")
        if link is None:
            break
        address, _, relation = link.partition("; ")
        assert relation == 'rel="next"'
        parameters = address.strip("<>").partition("?")[2]
        query = dict(part.split("=") for part in parameters.split("&"))
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"cursor": "abc"},
        {"owner": "you"},
        {"status": "done"},
        {"colour": "red"},
        {"title": "a\x00b"},
    ],
    ids=str,
)
def test_a_broken_rule_of_a_list_names_the_parameter(
    api: Api, ada: str, query: dict[str, str]
) -> None:
    response = api.list_images(ada, **query)
    assert response["statusCode"] == 400
    assert [problem["field"] for problem in body_of(response)["errors"]] == list(query)


def test_a_deleted_users_token_is_not_good_any_more(api: Api, ada: str, sql: Connection) -> None:
    sql.run("DELETE FROM users")
    responses = [
        api.list_images(ada),
        api.call("get", proxy_event("GET", "/image/1", token=ada)),
        api.update(ada, 1, title="x"),
        api.delete(ada, 1),
        api.call("upload", upload_event(samples.png(), token=ada)),
        api.call("direct_upload", proxy_event("POST", "/image/direct_upload", token=ada)),
    ]
    assert {response["statusCode"] for response in responses} == {401}


@pytest.mark.parametrize(
    ("function", "method", "path"),
    [
        ("upload", "POST", "/image/upload_image"),
        ("direct_upload", "POST", "/image/direct_upload"),
        ("list", "GET", "/image/get_all_images"),
        ("tags", "GET", "/image/tags"),
        ("get", "GET", "/image/1"),
        ("update", "PUT", "/image/update/1"),
        ("delete", "DELETE", "/image/delete/1"),
        ("batch", "POST", "/image/batch"),
    ],
)
def test_what_concerns_images_needs_a_token(
    api: Api, function: str, method: str, path: str
) -> None:
    for token in (None, "forged"):
        response = api.call(function, proxy_event(method, path, token=token))
        assert response["statusCode"] == 401
        assert header_of(response, "WWW-Authenticate") == "Bearer"


def test_an_accepted_change_outlives_a_broker_that_is_away(
    api: Api, ada: str, environment: pytest.MonkeyPatch, sql: Connection, services: Any
) -> None:
    environment.setenv("RABBITMQ_URL", "amqp://nobody:nothing@127.0.0.1:1/%2F")
    forget()
    image_id = api.upload(ada)
    assert api.update(ada, image_id, title="while it was away")["statusCode"] == 200
    assert changes(sql, "published_at") == [[None], [None]]
    environment.setenv("RABBITMQ_URL", services.rabbitmq_url)
    forget()
    age(sql, 20)
    seen_when_forgetting = []

    def fail(*_: object) -> int:
        seen_when_forgetting.append(changes(sql, "published_at IS NULL"))
        raise KeyError("odd")

    environment.setattr(PostgresUserRecords, "forget_old_failures", fail)
    assert api.call("relay", {}) == {"published": 2, "repeated": 0}
    # Publishing comes first, and one table that fails keeps nothing from its end.
    assert seen_when_forgetting == [[[False], [False]]]
    assert api.consume(2) == {"applied": 2}
    assert api.get(ada, image_id)["title"] == "while it was away"


def test_a_damaged_picture_fails_and_says_why(api: Api, ada: str, channel: BlockingChannel) -> None:
    # Whole to whoever does not inflate the pixels, and those are none.
    header = samples.png()[:33]
    pixels = samples.png_chunk(b"IDAT", b"no pixels" * 20)
    image_id = api.upload(ada, header + pixels + samples.png_chunk(b"IEND", b""))
    assert api.consume() == {"dead": 1}
    image = api.get(ada, image_id)
    assert image["status"] == "failed"
    assert image["error"]
    _, properties, _ = eventually(
        lambda: (
            found if (found := channel.basic_get(dead_queue(api.queue), auto_ack=True))[0] else None
        ),
        "a dead letter",
    )
    assert properties.headers["x-reason"] == image["error"]


def test_a_batch_with_a_bad_message_and_a_duplicate_does_what_can_be_done(
    api: Api, ada: str
) -> None:
    ids = [api.upload(ada) for _ in range(3)]
    messages = api.messages(3)
    bad = {**messages[0], "data": base64.b64encode(b"\xff").decode()}
    assert api.deliver([bad, *messages, messages[0]]) == {
        "rejected": 1,
        "applied": 3,
        "duplicate": 1,
    }
    assert {api.get(ada, image_id)["status"] for image_id in ids} == {"ready"}


def test_a_message_whose_change_waits_comes_back_through_the_delay(
    api: Api, ada: str, sql: Connection
) -> None:
    image_id = api.upload(ada)
    assert api.update(ada, image_id, title="second")["statusCode"] == 200
    first, overtaking = api.messages(2)
    # Somebody else is at work on the first.
    sql.run("UPDATE changes SET due_at = now() + interval '1 hour' WHERE sequence = 1")
    assert api.deliver([overtaking]) == {"waiting": 1}
    sql.run("UPDATE changes SET due_at = now()")
    # A round through the delay, with what the broker adds to the headers on the way.
    returned = api.messages(1)
    assert returned[0]["basicProperties"]["headers"]["x-waits"] == 1
    assert api.deliver(returned) == {"applied": 1, "waiting": 1}
    assert api.deliver([first]) == {"duplicate": 1}
    assert api.consume() == {"applied": 1}
    assert api.get(ada, image_id)["title"] == "second"


def test_health_says_that_the_work_queue_is_gone_and_does_not_make_another(
    api: Api, broker: Broker, services: Any, queue: str, channel: BlockingChannel
) -> None:
    channel.queue_delete(queue)
    try:
        with pytest.raises(ServiceUnavailable, match="no queue"):
            broker.ping()
        response = api.call("health", proxy_event("GET", "/health"))
        with (
            open_channel(services.rabbitmq_url) as looking,
            pytest.raises(ChannelClosedByBroker, match="NOT_FOUND"),
        ):
            looking.queue_declare(queue, passive=True)
    finally:
        broker.declare_topology()
    assert response["statusCode"] == 503
    body = body_of(response)
    assert (body["detail"], body["code"]) == ("Down: broker", "service_unavailable")
    assert (body["database"], body["broker"], body["storage"]) == ("up", "down", "up")
    assert api.call("health", proxy_event("GET", "/health"))["statusCode"] == 200


def test_health_says_what_is_up_and_names_what_is_down(
    api: Api, environment: pytest.MonkeyPatch
) -> None:
    healthy = api.call("health", proxy_event("GET", "/health"))
    assert healthy["statusCode"] == 200
    assert body_of(healthy) == {
        "status": "ok",
        "database": "up",
        "broker": "up",
        "storage": "up",
        "version": __version__,
    }
    environment.setenv("RABBITMQ_URL", "amqp://nobody:nothing@127.0.0.1:1/%2F")
    environment.setenv("IMAGES_BUCKET", "no-such-bucket")
    forget()
    api.handlers.clear()
    response = api.call("health", proxy_event("GET", "/health"))
    assert response["statusCode"] == 503
    assert body_of(response)["detail"] == "Down: broker, storage"
    assert header_of(response, "Retry-After") == "5"
    assert body_of(response)["database"] == "up"


def test_the_janitor_empties_the_trash_unless_it_only_looks(
    api: Api, ada: str, environment: pytest.MonkeyPatch, sql: Connection
) -> None:
    image_id = api.upload(ada)
    api.update(ada, image_id, trashed=True)
    api.consume(2)
    sql.run("UPDATE images SET trashed_at = now() - interval '31 days'")
    for dry_run, trash_days, deleted in (("true", "30", 0), ("false", "0", 0), ("false", "30", 1)):
        environment.setenv("JANITOR_DRY_RUN", dry_run)
        environment.setenv("TRASH_DAYS", trash_days)
        forget()
        api.handlers.clear()
        assert api.get(ada, image_id)["trashed_at"] is not None
        assert api.call("janitor", {})["trash_deleted"] == deleted
    gone = api.call("get", proxy_event("GET", f"/image/{image_id}", token=ada))
    assert gone["statusCode"] == 404


def test_an_outage_of_the_database_is_an_answer(
    api: Api, ada: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", "postgresql://ada:hunter2@127.0.0.1:1/images")
    forget()
    api.handlers.clear()
    response = api.list_images(ada)
    assert response["statusCode"] == 503
    assert header_of(response, "Retry-After") == "5"
    assert "hunter2" not in json.dumps(response)


def test_migrating_again_is_a_success(
    api: Api, environment: pytest.MonkeyPatch, administrator_url: str
) -> None:
    environment.setenv("DATABASE_ADMIN_URL", administrator_url)
    forget()
    assert api.call("migrate", {})["Revision"]
