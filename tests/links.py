"""An image's links are signed anew each quarter of an hour: what of them lasts longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

LINKS = ("url", "thumbnail_url", "preview_url", "rendition_url")
_WINDOW_SECONDS = 900

Found = TypeVar("Found")


def unsigned(url: str) -> str:
    """What it leads to, however it was signed."""
    return url.partition("?")[0]


def lasting(image: Mapping[str, Any]) -> dict[str, Any]:
    """The image, to be compared with how it is seen at another time."""
    return {
        name: unsigned(value) if name in LINKS and value else value for name, value in image.items()
    }


def within_one_window(check: Callable[[], Found]) -> Found:
    """What is checked while no link is signed anew: where one was meanwhile, it is done again."""
    while True:
        begun = _window()
        try:
            found = check()
        except AssertionError:
            if _window() == begun:
                raise
        else:
            return found


def _window() -> int:
    return int(time.time()) // _WINDOW_SECONDS
