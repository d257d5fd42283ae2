"""The events in events/: complete, current, and what AWS would send."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from image_api.core.change_log import events
from image_api.rabbitmq import lambda_event
from infra.tools import sample_events
from tests.proxy_events import KEYS, keys_of

ROOT = Path(__file__).parents[3]
EVENTS = sample_events.sample_events()
AWS_BATCH = json.loads((ROOT / "tests" / "conformance" / "rabbitmq_event.json").read_bytes())
REQUESTS = {name: event for name, event in EVENTS.items() if "httpMethod" in event}


def test_every_function_has_a_sample_event() -> None:
    functions = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}

    assert set(EVENTS) == functions
    assert {path.stem for path in (ROOT / "events").glob("*.json")} == functions


@pytest.mark.parametrize("function", sorted(EVENTS))
def test_generating_a_sample_event_again_gives_what_is_committed(function: str) -> None:
    committed = (ROOT / "events" / f"{function}.json").read_text(encoding="utf-8")

    assert committed == sample_events.as_text(EVENTS[function])


@pytest.mark.parametrize("function", sorted(REQUESTS))
def test_a_request_goes_to_a_route_of_the_api(function: str) -> None:
    document = json.loads((ROOT / "functions" / "docs" / "openapi.json").read_bytes())
    event = REQUESTS[function]
    path_pattern = re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(event["resource"]))

    assert event["httpMethod"].lower() in document["paths"][event["resource"]]
    assert re.fullmatch(path_pattern, event["path"])
    assert event["requestContext"]["path"] == "/v1" + event["path"]


@pytest.mark.parametrize("function", sorted(REQUESTS))
def test_a_request_has_the_keys_of_a_rest_proxy_event(function: str) -> None:
    event = REQUESTS[function]

    assert keys_of(event) == KEYS
    assert event["multiValueHeaders"] == {k: [v] for k, v in event["headers"].items()}


@pytest.mark.parametrize("function", sorted(REQUESTS))
def test_the_context_of_a_request_fits_the_request(function: str) -> None:
    event = REQUESTS[function]
    context = event["requestContext"]

    assert context["resourcePath"] == event["resource"]
    assert context["httpMethod"] == event["httpMethod"]
    # Set for every request, whoever sends it; the gateway adds neither of the other two.
    added = {"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Amzn-Trace-Id"}
    assert added <= event["headers"].keys()
    assert {"Content-Length", "Connection"} & event["headers"].keys() == set()


def test_the_events_of_a_user_differ_in_token_and_image_alone() -> None:
    own = sample_events.sample_events("my.own.token", 4711)

    for function, event in EVENTS.items():
        if function == "consumer":
            continue
        text = sample_events.as_text(own[function])
        for of_user, of_nobody in (
            *(("my.own.token", "TOKEN"), ("/4711", "/1"), ("[4711]", "[1]")),
            ('"image_id": "4711"', '"image_id": "1"'),
        ):
            text = text.replace(of_user, of_nobody)
        assert text == sample_events.as_text(event)
    (delivery,) = lambda_event.messages_of(own["consumer"])
    decoded, (sample,) = events.decode(delivery.body), lambda_event.messages_of(EVENTS["consumer"])
    assert (decoded.image_id, decoded.sequence) == (4711, 1)
    assert decoded.id != events.decode(sample.body).id


def test_the_upload_holds_the_photo_byte_for_byte() -> None:
    body = base64.b64decode(EVENTS["upload"]["body"])

    assert (ROOT / "tests" / "photos" / "rocket.jpg").read_bytes() in body
    assert EVENTS["upload"]["isBase64Encoded"] is True


def test_the_batch_of_messages_is_one_that_the_consumer_understands() -> None:
    event = EVENTS["consumer"]
    (delivery,) = lambda_event.messages_of(event)
    decoded = events.decode(delivery.body)
    (message,) = event["rmqMessagesByQueue"]["image_events::/"]
    properties: dict[str, Any] = message["basicProperties"]

    # The fields, in the order of AWS's own example.
    ((example,),) = AWS_BATCH["rmqMessagesByQueue"].values()
    assert list(event) == list(AWS_BATCH)
    assert list(message) == list(example)
    assert list(properties) == list(example["basicProperties"])
    assert event["eventSource"] == "aws:rmq"
    assert (delivery.message_id, delivery.type) == (decoded.id, events.UPLOAD_REQUESTED)
    assert delivery.correlation_id == decoded.correlation_id
    assert properties["bodySize"] == len(delivery.body)
    assert properties["timestamp"] == "Nov 2, 2026, 6:10:16 PM"
