"""Every function invoked with its sample event in events/."""

from __future__ import annotations

import json
from typing import Any

from tests.application import ROOT
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud

EVENTS = ROOT / "events"


def _event(function: str, client: ApiClient, image_id: int | None = None) -> dict[str, Any]:
    """The sample event, with a token and an image that exist."""
    text = (EVENTS / f"{function}.json").read_text(encoding="utf-8")
    event: dict[str, Any] = json.loads(text.replace("Bearer TOKEN", f"Bearer {client.token}"))
    if image_id is not None:
        event["path"] = event["path"].replace("/1", f"/{image_id}")
        event["pathParameters"] = {"image_id": str(image_id)}
    return event


def test_the_sample_events_of_a_whole_life_of_an_image_succeed(
    cloud: RunningCloud, ada: ApiClient
) -> None:
    answer = cloud.invoke("upload", _event("upload", ada))
    assert answer["statusCode"] == 200, answer
    image_id = json.loads(answer["body"])["id"]
    assert ada.settled(image_id)["title"] == "A rocket"

    listed = cloud.invoke("list", _event("list", ada))
    assert listed["statusCode"] == 200
    assert json.loads(listed["body"])[0]["id"] == image_id

    updated = cloud.invoke("update", _event("update", ada, image_id))
    assert updated["statusCode"] == 200
    assert ada.settled(image_id)["resolution"] == "320x200"

    shown = cloud.invoke("get", _event("get", ada, image_id))
    assert json.loads(shown["body"])["title"] == "Lift-off"

    assert cloud.invoke("delete", _event("delete", ada, image_id))["statusCode"] == 200
    assert ada.image(image_id).status_code == 404


def test_the_sample_events_without_a_token_are_answered_with_401(
    cloud: RunningCloud, visitor: ApiClient
) -> None:
    for function in ("upload", "direct_upload", "list", "get", "update", "delete"):
        event = json.loads((EVENTS / f"{function}.json").read_bytes())

        assert cloud.invoke(function, event)["statusCode"] == 401, function


def test_the_sample_events_of_accounts_and_operations_succeed(
    cloud: RunningCloud, ada: ApiClient
) -> None:
    for function in ("register", "login", "direct_upload", "health", "docs"):
        answer = cloud.invoke(function, _event(function, ada))

        assert answer["statusCode"] == 200, (function, answer)


def test_the_sample_events_of_the_background_succeed(
    cloud: RunningCloud, visitor: ApiClient
) -> None:
    consumed = cloud.invoke("consumer", _event("consumer", visitor))
    relayed = cloud.invoke("relay", _event("relay", visitor))
    swept = cloud.invoke("janitor", _event("janitor", visitor))
    migrated = cloud.invoke("migrate", _event("migrate", visitor))

    # It names a change that nobody has accepted.
    assert consumed["rejected"] == 1
    assert relayed.keys() == {"published", "repeated"}
    assert swept["finished"] is True
    assert migrated.get("Revision"), migrated
