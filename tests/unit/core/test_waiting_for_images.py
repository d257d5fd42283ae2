"""GET with `wait`: as soon as the image is processed, and never longer than asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from image_api.core.library import long_polling
from image_api.core.library.images import Caller
from image_api.core.library.uploads import NewImage
from image_api.errors import ImageNotFound, ServiceUnavailable
from tests.fakes import FakeImageRecords, FakeUrlSigner

ADA = 1


@dataclass
class Places:
    """With the clock, and what happens at which of its seconds."""

    records: FakeImageRecords
    is_full: bool = False
    seconds: float = 0.0
    taken: int = 0
    given_back: list[str] = field(default_factory=list)
    disconnected: int = 0
    at: dict[float, Any] = field(default_factory=dict)

    def take(self, user_id: int) -> str | None:
        assert user_id == ADA
        self.taken += not self.is_full
        return None if self.is_full else "a place"

    def give_back(self, place: str) -> None:
        self.given_back.append(place)

    def disconnect(self) -> None:
        self.disconnected += 1

    def pause(self, seconds: float) -> None:
        assert self.disconnected > 0
        self.seconds += seconds
        for moment in [each for each in self.at if each <= self.seconds]:
            self.at.pop(moment)()

    def wait(self, image_id: int, seconds: int = 15) -> dict[str, Any]:
        return long_polling.get_image(
            self.records,
            self,
            FakeUrlSigner(),
            ADA,
            image_id,
            seconds,
            pause=self.pause,
            now_seconds=lambda: self.seconds,
        )


@pytest.fixture
def places() -> Places:
    return Places(FakeImageRecords(users={ADA}))


@pytest.fixture
def image_id(places: Places) -> int:
    image = NewImage("photo.png", "shared", "storage/a/original.png", "image/png", 5, 640, 480)
    image_id = places.records.accept_upload(Caller(ADA, "request-1"), image).image_id
    places.records.images[image_id]["status"] = "processing"
    return image_id


def test_an_image_that_is_processed_takes_no_place(places: Places, image_id: int) -> None:
    places.records.images[image_id]["status"] = "failed"
    assert places.wait(image_id)["status"] == "failed"
    assert (places.taken, places.seconds) == (0, 0.0)


def test_the_answer_comes_soon_after_the_image_is_ready(places: Places, image_id: int) -> None:
    places.at[3.2] = lambda: places.records.images[image_id].update(status="ready")
    assert places.wait(image_id)["status"] == "ready"
    assert 3.2 <= places.seconds <= 4.2
    assert places.given_back == ["a place"]


@pytest.mark.parametrize("seconds", [1, 15])
def test_what_takes_longer_is_answered_as_it_is_when_the_time_is_over(
    places: Places, image_id: int, seconds: int
) -> None:
    assert places.wait(image_id, seconds)["status"] == "processing"
    assert places.seconds == pytest.approx(seconds)
    assert places.given_back == ["a place"]


def test_where_too_many_wait_the_answer_comes_at_once(places: Places, image_id: int) -> None:
    places.is_full = True
    assert places.wait(image_id)["status"] == "processing"
    assert (places.seconds, places.given_back) == (0.0, [])


def test_an_image_that_goes_meanwhile_is_not_found(places: Places, image_id: int) -> None:
    places.at[0.3] = lambda: places.records.images.pop(image_id)
    with pytest.raises(ImageNotFound):
        places.wait(image_id)
    assert places.given_back == ["a place"]
    with pytest.raises(ImageNotFound):
        places.wait(image_id)
    assert places.taken == 1


def test_a_database_that_goes_meanwhile_is_not_asked_for_the_place_as_well(
    places: Places, image_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ServiceUnavailable("The database did not answer")

    places.at[0.1] = lambda: monkeypatch.setattr(places.records, "find", away)
    with pytest.raises(ServiceUnavailable):
        places.wait(image_id)
    assert places.given_back == []


def test_a_place_that_cannot_be_given_back_spoils_no_answer(
    places: Places, image_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_place: str) -> None:
        raise ServiceUnavailable("The database did not answer")

    monkeypatch.setattr(places, "give_back", away)
    assert places.wait(image_id, 1)["status"] == "processing"
