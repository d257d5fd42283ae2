"""What happens between an address and pictures, for somebody who has been here before."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from playwright.sync_api import Route, expect

from tests.gallery.visitor import Visitor

SCRIPT = re.compile(r"/gallery/gallery-[^/]*\.js$")
VIEWER = re.compile(r"/gallery/photoswipe[^/]*\.js$")
RENEWAL = re.compile(r"/auth/refresh$")
LIST = re.compile(r"/image/get_all_images\?(?!ids=)")


@pytest.fixture
def ada(looking: Visitor) -> Visitor:
    return looking


def test_pictures_are_asked_for_once_and_before_the_script_is_there(ada: Visitor) -> None:
    asked: Counter[re.Pattern[str]] = Counter()
    held: list[Route] = []
    ada.page.on(
        "request",
        lambda request: asked.update(p for p in (RENEWAL, LIST) if p.search(request.url)),
    )
    ada.page.route(SCRIPT, lambda route: held.append(route))
    ada.page.reload(wait_until="commit")
    ada.waits_until(lambda: bool(held) and asked[LIST] == 1)
    held.pop().continue_()
    expect(ada.picture("sea.png").locator("img.there")).to_be_visible()
    assert asked == {RENEWAL: 1, LIST: 1}


@pytest.mark.parametrize("pattern", [RENEWAL, LIST], ids=["renewal", "list"])
def test_what_was_lost_on_the_way_is_asked_for_again(
    ada: Visitor, pattern: re.Pattern[str]
) -> None:
    ada.page.route(pattern, lambda route: route.abort("connectionreset"), times=1)
    ada.page.reload()
    expect(ada.picture("sea.png").locator("img.there")).to_be_visible()


def test_whoever_was_signed_out_meanwhile_signs_in_and_sees_pictures(ada: Visitor) -> None:
    ada.page.context.clear_cookies()
    ada.page.reload()
    ada.sign_in()
    expect(ada.picture("sea.png").locator("img.there")).to_be_visible()


def test_a_viewer_that_cannot_be_loaded_says_so_and_opens_later(ada: Visitor) -> None:
    ada.page.route(VIEWER, lambda route: route.abort())
    ada.page.reload()
    ada.picture("sea.png").click()
    ada.says("The server cannot be reached")
    ada.page.unroute(VIEWER)
    ada.picture("sea.png").click()
    expect(ada.page.get_by_role("dialog", name="Pictures")).to_be_visible()
