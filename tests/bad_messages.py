"""Messages that are no accepted change, as anybody may send them who can reach the queue."""

from __future__ import annotations

import json
from typing import Any

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from tests.fakes import OCCURRED_AT


def body(event: Event, **fields: Any) -> bytes:
    document = json.loads(events.encode(event))
    data = fields.pop("data", {})
    return json.dumps(document | fields | {"data": document["data"] | data}).encode()


def forged(kind: str, image_id: int, sequence: int, **data: Any) -> bytes:
    return events.encode(Event(events.new_id(), kind, image_id, sequence, data, "", OCCURRED_AT))


def bad_bodies(real: Event, other_image_id: int) -> dict[str, bytes]:
    """Of each kind one; `real` is accepted and not settled."""
    strange = "\ud800"
    return {
        "empty": b"",
        "no text": b"\xff\xfe\x00",
        "cut off": events.encode(real)[:-1],
        "deep": b"[" * 100_000,
        "deep object": b'{"a":' * 100_000,
        "long number": b'{"specversion":' + b"9" * 10_000 + b"}",
        "a list": b"[]",
        "null": b"null",
        "another document": b"{}",
        "another version": body(real, specversion="2.0"),
        "no data": json.dumps(json.loads(events.encode(real)) | {"data": None}).encode(),
        "an outcome": body(real, type=events.UPLOAD_COMPLETED),
        "unknown type": body(real, type="image.rotate.requested"),
        "no id": body(real, id=None),
        "an id that is none": body(real, id="7"),
        "NUL in the id": body(real, id="\0"),
        "unknown id": body(real, id=events.new_id()),
        "id with a surrogate": body(real, id=strange),
        "type that is a number": body(real, type=7),
        "NUL in the type": body(real, type="image\0"),
        "image 0": body(real, data={"image_id": 0}),
        "negative image": body(real, data={"image_id": -1}),
        "image 2**63": body(real, data={"image_id": 2**63}),
        "image that is text": body(real, data={"image_id": "1"}),
        "image that is true": body(real, data={"image_id": True}),
        "image that is a fraction": body(real, data={"image_id": 1.5}),
        "another image": body(real, data={"image_id": other_image_id}),
        "image that is not there": body(real, data={"image_id": 2**62}),
        "sequence 2**31": body(real, data={"sequence": 2**31}),
        "sequence 2**63": body(real, data={"sequence": 2**63}),
        "sequence 2**31-1": body(real, data={"sequence": 2**31 - 1}),
        "sequence 0": body(real, data={"sequence": 0}),
        "infinite sequence": body(real, data={"sequence": float("inf")}),
        "another sequence": body(real, data={"sequence": 1}),
        "altered title": body(real, data={"changes": {"title": "altered"}}),
        "altered visibility": body(real, data={"changes": {"visibility": "shared"}}),
        "NUL in the title": body(real, data={"changes": {"title": "\0"}}),
        "surrogate in the title": body(real, data={"changes": {"title": strange}}),
        "a wish more": body(real, data={"changes": real.data.get("changes"), "more": 1}),
        "NaN": body(real, data={"changes": float("nan")}),
        "turned into a deletion": body(real, type=events.DELETE_REQUESTED),
        "turned into an upload": body(real, type=events.UPLOAD_REQUESTED),
        "forged deletion": forged(events.DELETE_REQUESTED, other_image_id, 2),
        "forged update": forged(
            events.UPDATE_REQUESTED, other_image_id, 2, changes={"title": "forged"}
        ),
        "forged upload": forged(events.UPLOAD_REQUESTED, other_image_id, 1),
        "forged next change": forged(
            events.UPDATE_REQUESTED, real.image_id, real.sequence + 1, changes={}
        ),
        "correlation id with NUL": body(real, id=events.new_id(), correlationid="\0"),
        "correlation id with a surrogate": body(real, id=events.new_id(), correlationid=strange),
        "endless correlation id": body(real, id=events.new_id(), correlationid="x" * 100_000),
        "time that is a number": body(real, time=7),
    }


KINDS = list(bad_bodies(Event(events.new_id(), "", 1, 2, {"changes": {}}, "", OCCURRED_AT), 1))


def deep(depth: int) -> Any:
    nested: Any = 0.5
    for _ in range(depth):
        nested = [nested]
    return nested


HEADERS: dict[str, dict[str, Any]] = {
    "a double": {"a": 0.5},
    "not a number": {"a": float("nan")},
    "nested doubles": {"a": {"b": [0.5, {"c": 1e300}]}},
    "a number of 64 bits": {"a": 2**63},
    "a number of 5,000 digits": {"a": 10**5000},
    "nothing": {"a": None},
    "140 kB": {"a": "x" * 140_000},
    "1,000 of them": {f"a{number}": "x" for number in range(1000)},
    "a long name": {"a" * 1000: 1},
    "a surrogate": {"a": "\ud800", "\ud800": 1},
    "NUL": {"a": "\0"},
    "an attempt that is none": {"x-attempt": {"a": 1}, "x-waits": -7},
    "deep lists": {"a": deep(50)},
    "the broker's own account": {"x-death": [{"count": 1}], "x-first-death-reason": "expired"},
}
