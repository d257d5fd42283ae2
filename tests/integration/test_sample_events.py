"""The events in events/, one after the other as somebody tries them by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from pika.adapters.blocking_connection import BlockingChannel

from tests import samples
from tests.application import ROOT, Handler, LambdaContext, forget, load_function
from tests.proxy_events import body_of, header_of

EVENTS = ROOT / "events"

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture
def invoked() -> list[str]:
    return []


@pytest.fixture
def invoke(
    environment: pytest.MonkeyPatch,
    administrator_url: str,
    database_url: str,
    bucket: str,
    queue: str,
    invoked: list[str],
) -> Invoke:
    """Runs a function on its own event, with a token where TOKEN stands."""
    environment.setenv("DATABASE_ADMIN_URL", administrator_url)
    environment.setenv("DATABASE_URL", database_url)
    environment.setenv("IMAGES_BUCKET", bucket)
    environment.setenv("RABBITMQ_QUEUE", queue)
    forget()
    handlers: dict[str, Handler] = {}

    def invoke(function: str, token: str = "TOKEN") -> dict[str, Any]:
        invoked.append(function)
        text = (EVENTS / f"{function}.json").read_text(encoding="utf-8")
        if function not in handlers:
            handlers[function] = load_function(function).lambda_handler
        event = json.loads(text.replace("Bearer TOKEN", f"Bearer {token}"))
        return handlers[function](event, LambdaContext())

    return invoke


def test_every_sample_event_does_what_it_is_for(
    invoke: Invoke, invoked: list[str], channel: BlockingChannel
) -> None:
    assert invoke("migrate").keys() == {"Revision"}
    assert body_of(invoke("health"))["status"] == "ok"
    assert "paths" in body_of(invoke("docs"))
    assert "<title>" in invoke("gallery")["body"]

    assert body_of(invoke("register"))["token_type"] == "bearer"
    token = body_of(invoke("login"))["access_token"]
    assert body_of(invoke("session"))["code"] == "refresh_token_refused"
    for function in (
        "account",
        "batch",
        "rendition",
        "tags",
        "upload",
        "direct_upload",
        "list",
        "get",
        "update",
        "delete",
    ):
        assert invoke(function)["statusCode"] == 401

    assert body_of(invoke("upload", token))["id"] == 1
    assert body_of(invoke("get", token))["status"] == "processing"
    # It names no change that was accepted, and so is set aside; but it wakes.
    assert invoke("consumer") == {"applied": 1, "rejected": 1}
    assert invoke("consumer") == {"rejected": 1}
    image = body_of(invoke("get", token))
    assert (image["status"], image["title"], image["resolution"]) == (
        "ready",
        "A rocket",
        "640x427",
    )
    thumbnail = requests.get(image["thumbnail_url"])
    assert thumbnail.headers["Content-Type"] == "image/webp"
    served = requests.get(image["url"])
    assert samples.opened(served.content).tobytes() == samples.opened(samples.rocket()).tobytes()

    listed = invoke("list", token)
    assert [item["id"] for item in body_of(listed)] == [1]
    assert header_of(listed, "X-Total-Count") == "1"
    assert body_of(invoke("tags", token)) == []
    assert [each["status_code"] for each in body_of(invoke("batch", token))["results"]] == [200]
    assert body_of(invoke("update", token))["id"] == 1
    assert body_of(invoke("get", token))["status"] == "processing"
    assert body_of(invoke("delete", token))["id"] == 1
    assert invoke("get", token)["statusCode"] == 404
    assert body_of(invoke("list", token)) == []

    assert body_of(invoke("account", token))["username"] == "ada"

    begun = body_of(invoke("direct_upload", token))
    assert begun["url"].startswith("http")
    assert begun["fields"]["key"].endswith(begun["upload_id"])
    # Everything was published at once, and everything is younger than a day.
    assert invoke("relay") == {"published": 0, "repeated": 0}
    channel.queue_declare("a-queue-of-another-service", exclusive=True)
    # Four requests, and the one outcome that there is.
    assert invoke("replay")["sent"] == 5
    assert invoke("interfaces") == {}
    assert invoke("operate")["revision"].isdigit()
    swept = invoke("janitor")
    assert (swept["finished"], swept["objects_without_row"]) == (True, 0)
    assert invoke("rerender")["finished"] is True

    # What is signed in it is good no longer.
    assert invoke("renderer").keys() == {"unavailable"}

    assert set(invoked) == {path.stem for path in EVENTS.glob("*.json")}
