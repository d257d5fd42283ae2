"""An image as soon as it is processed: for a bounded number of requests at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Any, Protocol

from image_api.core.library import images
from image_api.core.library.images import ImageRecords, Links
from image_api.errors import ServiceUnavailable

# Far below what a gateway waits for a function.
MAX_WAIT_SECONDS = 15
# Most images are ready within the first of these; the last one repeats.
_PAUSES_SECONDS = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0)


class WaitingPlaces(Protocol):
    """How many requests may wait: of all, and of each user."""

    def take(self, user_id: int) -> str | None:
        """A place, which is free again by itself once nobody can still be waiting on it; None when
        too many wait. Raises ServiceUnavailable.
        """

    def give_back(self, place: str) -> None:
        """Raises ServiceUnavailable."""

    def disconnect(self) -> None:
        """Leaves the connection to others during a pause."""


def get_image(
    records: ImageRecords,
    places: WaitingPlaces,
    links: Links,
    user_id: int,
    image_id: int,
    wait_seconds: int | None,
    *,
    pause: Callable[[float], None] = time.sleep,
    now_seconds: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """As images.get; with `wait_seconds` once the image is no longer `processing`, or as it is when
    they are over, or at once where too many wait. It may be gone meanwhile.
    """
    wait_until = now_seconds() + (wait_seconds or 0)
    image = images.get(records, links, user_id, image_id)
    if wait_seconds is None or image["status"] != "processing":
        return image
    place = places.take(user_id)
    if place is None:
        return image
    try:
        for pause_seconds in _pauses():
            seconds_left = wait_until - now_seconds()
            if image["status"] != "processing" or seconds_left <= 0:
                break
            places.disconnect()
            pause(min(pause_seconds, seconds_left))
            image = images.get(records, links, user_id, image_id)
    except ServiceUnavailable:
        # Whoever gives the place back would wait for the database once more.
        raise
    except Exception:
        _give_back(places, place)
        raise
    _give_back(places, place)
    return image


def _pauses() -> Iterator[float]:
    return chain(_PAUSES_SECONDS, repeat(_PAUSES_SECONDS[-1]))


def _give_back(places: WaitingPlaces, place: str) -> None:
    """The answer is known, whatever becomes of the place."""
    with suppress(ServiceUnavailable):
        places.give_back(place)
