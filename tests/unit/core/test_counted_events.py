"""Whatever a dashboard or an alarm counts is written where it happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from image_api.core.accounts import users
from image_api.core.accounts.sessions import Sessions
from image_api.core.accounts.tokens import TokenSigner
from image_api.core.accounts.users import Credentials, Registration
from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.publishing import PublishingSink
from image_api.core.library import uploads
from image_api.core.library.images import Caller
from image_api.core.library.uploads import UploadDetails
from image_api.core.upkeep import expiry
from image_api.errors import ImageApiError
from image_api.imaging import Header
from tests.fakes import (
    FakeImageRecords,
    FakeSessionRecords,
    FakeStorage,
    FakeUserRecords,
    RecordingSink,
)
from tests.unit.core.test_janitor import OLD, Bucket, Rows, sweep

SIGNER = TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600)
SESSIONS = Sessions(FakeSessionRecords(), SIGNER)
EVENT = Event(events.new_id(), events.UPLOAD_REQUESTED, 1, 1, {}, "r", "2026-11-26T00:00:00Z")


def upload() -> None:
    uploads.upload(
        *(FakeImageRecords(users={1}), FakeStorage(), RecordingSink(), Caller(1, "request-1")),
        b"bytes",
        UploadDetails(filename=None, title="photo", visibility="shared"),
    )


def sign_in(password: str, retry_after_seconds: int = 0) -> None:
    records = FakeUserRecords()
    registration = Registration(username="Ada", password="analytical!engine")
    users.register(records, SESSIONS, registration, "203.0.113.7")
    records.retry_after_seconds = retry_after_seconds
    users.sign_in(records, SESSIONS, Credentials(username="Ada", password=password), "203.0.113.7")


class Odd:
    """Fails for a reason that nobody has thought of, whatever is asked."""

    def publish_event(self, event: Event) -> None:
        raise KeyError(event.id)

    def publish_events(self, batch: Sequence[Event], _seconds: float) -> list[Event]:
        raise KeyError(len(batch))

    def forget(self, batch_size: int) -> int:
        raise KeyError(batch_size)


def sink() -> PublishingSink:
    nobody: Any = None
    return PublishingSink(nobody, Odd())


def reuse_a_token() -> None:
    records = FakeSessionRecords()
    sessions = Sessions(records, SIGNER)
    first = str(sessions.begin(7, 3).refresh_token)
    sessions.refresh(first)
    records.now += 10_000
    sessions.refresh(first)


def clean_up(missing: int) -> None:
    keys = [f"storage/{number:04}" for number in range(100)]
    sweep(Rows(dict.fromkeys(keys[missing:])), Bucket(dict.fromkeys(keys, OLD)), max_percent=10)


COUNTED: dict[str, tuple[Callable[[], object], dict[str, float]]] = {
    "an upload": (upload, {"Uploads": 1, "UploadedBytes": 5}),
    "a sign-in": (lambda: sign_in("analytical!engine"), {}),
    "a wrong password": (lambda: sign_in("difference!engine"), {"SignInFailures": 1}),
    "too many": (lambda: sign_in("analytical!engine", 60), {"SignInsRefused": 1}),
    "a token again": (reuse_a_token, {"RefreshTokensReused": 1}),
    "an event": (lambda: sink().publish(EVENT), {"PublishingFailed": 1}),
    "outcomes": (lambda: sink().publish_outcomes([EVENT] * 9), {"PublishingFailed": 1}),
    "requests": (lambda: sink().publish_requests([EVENT] * 9), {"PublishingFailed": 1}),
    "old rows": (
        lambda: expiry.forget_old({"odd": Odd().forget}, lambda: 50_000),
        {"ForgettingFailed": 1},
    ),
    "few files without row": (lambda: clean_up(10), {"JanitorStopped": 0}),
    "many files without row": (lambda: clean_up(11), {"JanitorStopped": 1}),
}


@pytest.mark.parametrize("what", COUNTED)
def test_what_happens_is_counted_once(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "images-of-ada")
    monkeypatch.setattr(uploads, "identify", lambda _: Header("image/png", "png", 640, 480))
    happen, expected = COUNTED[what]
    with suppress(ImageApiError):
        happen()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    counted: dict[str, float] = {}
    for line in lines:
        for declared in line.get("_aws", {}).get("CloudWatchMetrics", []):
            # What the alarms look for.
            assert (declared["Namespace"], declared["Dimensions"]) == ("ImageApi", [["service"]])
            assert line["service"] == "images-of-ada"
            for metric in declared["Metrics"]:
                assert metric["Name"] not in counted
                (counted[metric["Name"]],) = line[metric["Name"]]
    assert counted == expected
