"""Events on the wire: CloudEvents 1.0."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_api import __version__
from image_api.core.change_log import events, messages
from image_api.core.change_log.events import Event, MalformedEvent
from tests import asyncapi

EVENT = Event(
    id="0b0a5f5e-8f52-4c2b-9d5f-0d9a5a3c6f10",
    type=events.UPLOAD_REQUESTED,
    image_id=7,
    sequence=1,
    data={"title": "Zoë 🖼.png"},
    correlation_id="request-1",
    occurred_at="2026-01-02T03:04:05.000006Z",
)

# What Postgres keeps as text, and UTF-8 has a form for.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
event_strategy = st.builds(
    Event,
    id=st.uuids().map(str),
    type=st.sampled_from(sorted(events.REQUESTS)),
    image_id=st.integers(1, 2**63 - 1),
    sequence=st.integers(1, 2**31 - 1),
    data=st.dictionaries(
        st.text().filter(lambda name: name not in ("image_id", "sequence")),
        json_values,
        max_size=4,
    ),
    correlation_id=TEXT,
    occurred_at=TEXT,
)


def test_each_type_of_event_is_a_channel_of_the_document() -> None:
    types = {
        value
        for name, value in vars(events).items()
        if name.endswith(("_REQUESTED", "_COMPLETED", "_FAILED"))
    }
    channels = asyncapi.DOCUMENT["channels"].values()
    assert {channel["address"] for channel in channels} == types
    exchanges = {channel["bindings"]["amqp"]["exchange"]["name"] for channel in channels}
    assert exchanges == {events.EXCHANGE}
    assert asyncapi.DOCUMENT["info"]["version"] == __version__
    assert asyncapi.DOCUMENT["defaultContentType"] == events.CONTENT_TYPE


def test_the_document_says_what_is_wrong_with_an_event_that_is_not_its_own() -> None:
    right = document(data={"image_id": 7, "sequence": 1, "user_id": 3})
    assert asyncapi.faults(events.DELETE_REQUESTED, right | {"type": events.DELETE_REQUESTED}) == []
    # Of another type, without its title, and with a field that nobody knows.
    assert len(asyncapi.faults(events.DELETE_REQUESTED, right)) == 1
    assert any("title" in fault for fault in asyncapi.faults(events.UPLOAD_REQUESTED, right))
    odd = document(data={"image_id": 7, "sequence": 1, "user_id": 3, "status": "failed", "x": 1})
    faults = asyncapi.faults(events.UPLOAD_FAILED, odd | {"type": events.UPLOAD_FAILED})
    assert len(faults) == 2
    assert "x is not documented" in faults


def document(**changed: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(events.encode(EVENT))
    for name, value in changed.items():
        if value is ...:
            del fields[name]
        else:
            fields[name] = value
    return fields


def reason(body: bytes) -> str:
    with pytest.raises(MalformedEvent) as refused:
        events.decode(body)
    return str(refused.value)


def test_an_event_is_a_cloudevents_document() -> None:
    assert json.loads(events.encode(EVENT)) == {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "/image-management-api",
        "type": "image.upload.requested",
        "subject": "images/7",
        "time": "2026-01-02T03:04:05.000006Z",
        "datacontenttype": "application/json",
        "correlationid": "request-1",
        "data": {"image_id": 7, "sequence": 1, "title": "Zoë 🖼.png"},
    }


def test_the_names_of_cloudevents_attributes_are_lower_case_letters_and_digits() -> None:
    assert all(name.isalnum() and name == name.lower() for name in document())


@given(event_strategy)
def test_an_event_is_the_same_after_the_wire(event: Event) -> None:
    assert events.decode(events.encode(event)) == event


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_as_malformed(body: bytes) -> None:
    reason(body)


@given(st.dictionaries(st.sampled_from([*document(), "other"]), json_values))
def test_any_document_is_an_event_or_malformed(changed: dict[str, Any]) -> None:
    try:
        event = events.decode(json.dumps({**document(), **changed}).encode())
    except MalformedEvent:
        return
    assert event.image_id > 0
    assert event.sequence > 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "The message is not JSON"),
        (b"{", "The message is not JSON"),
        (b"\xff\xfe\x00", "The message is not JSON"),
        (b"[]", "The message is not a CloudEvents 1.0 document"),
        (b"7", "The message is not a CloudEvents 1.0 document"),
        (b"{}", "The message is not a CloudEvents 1.0 document"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(body: bytes, why: str) -> None:
    assert reason(body) == why


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"specversion":' + b"9" * 10_000 + b"}"],
    ids=["deep list", "deep object", "long number"],
)
def test_a_document_made_to_break_the_parser_is_refused(body: bytes) -> None:
    assert reason(body) == "The message is not JSON"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"specversion": "2.0"}, "not a CloudEvents 1.0 document"),
        ({"specversion": ...}, "not a CloudEvents 1.0 document"),
        ({"data": ...}, "The event has no data"),
        ({"data": "base64"}, "The event has no data"),
        ({"data": {"sequence": 1}}, "lacks image_id"),
        ({"data": {"image_id": 1}}, "lacks sequence"),
        ({"id": ...}, "lacks id"),
        ({"type": ...}, "lacks type"),
        ({"time": ...}, "lacks time"),
        ({"id": "7"}, "wrong form"),
        ({"id": 7}, "wrong form"),
        ({"id": None}, "wrong form"),
        ({"type": 7}, "wrong form"),
        ({"time": 7}, "wrong form"),
        ({"correlationid": 7}, "wrong form"),
        ({"data": {"image_id": "7", "sequence": 1}}, "wrong form"),
        ({"data": {"image_id": 0, "sequence": 1}}, "wrong form"),
        ({"data": {"image_id": True, "sequence": 1}}, "wrong form"),
        ({"data": {"image_id": 2**63, "sequence": 1}}, "wrong form"),
        ({"data": {"image_id": 1.5, "sequence": 1}}, "wrong form"),
        ({"data": {"image_id": 7, "sequence": -1}}, "wrong form"),
        ({"data": {"image_id": 7, "sequence": 2**31}}, "wrong form"),
        ({"type": "image\0"}, "wrong form"),
        ({"correlationid": "\ud800"}, "wrong form"),
    ],
    ids=str,
)
def test_an_event_with_a_wrong_or_missing_attribute_is_refused(
    changed: dict[str, Any], why: str
) -> None:
    assert why in reason(json.dumps(document(**changed)).encode())


def test_a_refusal_quotes_nothing_of_the_message() -> None:
    secret = "hunter2"
    for changed in ({"id": secret}, {"type": [secret]}, {"specversion": secret}):
        assert secret not in reason(json.dumps(document(**changed)).encode())
    assert secret not in reason(secret.encode())


def test_an_event_without_a_correlation_id_is_accepted() -> None:
    event = events.decode(json.dumps(document(correlationid=...)).encode())
    assert event.correlation_id == ""


def test_an_id_is_read_in_its_canonical_form() -> None:
    event = events.decode(json.dumps(document(id=EVENT.id.upper())).encode())
    assert event.id == EVENT.id


def test_ids_do_not_repeat() -> None:
    assert len({events.new_id() for _ in range(1000)}) == 1000


def test_the_message_carries_what_the_contract_says() -> None:
    message = messages.message_of(EVENT)
    assert message.message_id == EVENT.id
    assert message.correlation_id == "request-1"
    assert message.type == "image.upload.requested"
    assert message.content_type == "application/cloudevents+json"
    assert events.decode(message.body) == EVENT
