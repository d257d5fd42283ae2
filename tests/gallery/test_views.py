"""Every view, on a desktop and a phone, in light and in dark: how it looks, and what axe says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import NewClient
from tests.gallery.album import ALBUM, picture
from tests.gallery.appearance import REFERENCES, difference
from tests.gallery.conftest import NODE, NewVisitor
from tests.gallery.visitor import Visitor
from tests.samples import png
from tests.waiting import eventually

_IS_STILL = """() => !document.getAnimations().some(
    (each) => each instanceof CSSTransition && each.playState === "running")
  && [...document.images].every((image) => image.complete)
  && ![...document.querySelectorAll(".pswp__img--placeholder")].some((each) => each.isConnected
    && getComputedStyle(each).display !== "none")"""
_WITH_TIMES = re.compile(r"/(image/get_all_images|image/\d+|image/\d+/history|auth/me)(\?.*)?$")
_TIME = re.compile(r'("(?:created|updated|accepted|settled)_at": ?")[^"]+"')
# Addresses, ids and signatures are others every time.
_STEADY_LINKS = """() => document.querySelectorAll("input[readonly]").forEach((input) =>
    input.value = input.value.replaceAll(/http[^ ]*\\/image\\/\\d+/g, "https://pictures.example/image/7")
      .replaceAll(/\\?[^ "]*/g, "?width=1280&signature=0a1b2c3d4e5f"))"""


def with_steady_times(route: Route) -> None:
    answer = route.fetch(max_redirects=0)
    route.fulfill(response=answer, body=_TIME.sub(r'\g<1>2026-05-17T09:41:00Z"', answer.text()))


def fill(client: ApiClient, shots: Any) -> None:
    for shot in shots:
        client.uploaded(picture(shot), shot.title, tags=shot.tags)


def views(ada: Visitor, client: ApiClient) -> Iterator[str]:
    """Goes from view to view, and says the name of each when it is there."""
    page = ada.page
    page.route(_WITH_TIMES, with_steady_times)
    ada.arrive()
    expect(ada.button("Sign in")).to_be_visible()
    yield "sign-in"
    ada.sign_up()
    yield "empty"
    client.token = client.sign_in(ada.username).json()["access_token"]
    fill(client, ALBUM)
    page.reload()
    expect(ada.picture("Lift-off").locator("img.there")).to_be_visible()
    yield "grid"
    ada.button("Filters").click()
    yield "filters"
    page.get_by_label("Find pictures").fill("nowhere")
    expect(ada.heading("Nothing found")).to_be_visible()
    yield "nothing-found"
    ada.button("Clear filters").first.click()
    ada.button("Filters").click()
    ada.choose(["Coffee", "Chelsea"])
    yield "selection"
    ada.button("Clear the selection").click()
    ada.picture("Lift-off").click()
    expect(page.get_by_role("dialog", name="Pictures")).to_contain_text("1 / 12")
    yield "lightbox"
    page.get_by_role("button", name="Details").click()
    expect(ada.heading("Details")).to_be_visible()
    yield "details"
    page.get_by_label("Who sees it").select_option("public")
    ada.says("Saved")
    ada.forgets_notices()
    ada.settles()
    page.get_by_text("Crop to a size").click()
    page.get_by_text("History").click()
    expect(page.get_by_text("Changed (visibility), done")).to_be_visible()
    ada.button("Delete for good").scroll_into_view_if_needed()
    yield "sharing"
    page.get_by_label("Title").scroll_into_view_if_needed()
    (newest, *_) = client.images(owner="me", limit=1).json()
    page.get_by_label("Title").press("End")
    page.keyboard.type(" at dawn")
    client.updated(newest["id"], title="Lift-off, 9 May")
    page.keyboard.press("Tab")
    expect(ada.heading("Changed elsewhere meanwhile")).to_be_visible()
    yield "conflict"
    ada.button("Keep what is there").click()
    page.keyboard.press("Escape")
    ada.presses_until("Escape", lambda: page.locator(".pswp").count() == 0)
    ada.button("Your account").click()
    expect(ada.heading("Your account")).to_be_visible()
    yield "account"
    page.keyboard.press("Escape")
    ada.drop({"notes.jpg": b"not a picture"})
    expect(page.get_by_text("1 picture was refused")).to_be_visible()
    yield "uploads"
    ada.button("Close the list").click()
    ada.choose(["Spoon"])
    with ada.holding_the_notice("1 picture moved to the trash"):
        ada.button("Trash").last.click()
    yield "undo"
    ada.forgets_notices()
    ada.button("Trash").first.click()
    expect(ada.picture("Spoon").locator("img.there")).to_be_visible()
    ada.settles()
    yield "trash"


def violations(visitor: Visitor) -> list[str]:
    visitor.page.evaluate((NODE.packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = visitor.page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


_DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1200, "height": 780}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", _DEVICES)
def test_every_view_looks_as_it_did_and_axe_finds_nothing_in_it(
    new_visitor: NewVisitor, new_client: NewClient, scheme: Literal["light", "dark"], device: str
) -> None:
    ada = new_visitor(color_scheme=scheme, timezone_id="UTC", **_DEVICES[device])
    ada.username = f"ada.{scheme}.{device}"
    found: list[str] = []
    for name in views(ada, new_client()):
        eventually(lambda: ada.page.evaluate(_IS_STILL), f"nothing moves in {name}")
        # Whether a pointer is over something is no matter of the view.
        ada.page.mouse.move(0, 0)
        ada.page.evaluate(_STEADY_LINKS)
        differs = lasting_difference(ada.page, f"{name}-{device}-{scheme}")
        found += [*([differs] if differs else []), *(f"{name}: {each}" for each in violations(ada))]
    assert found == []


def lasting_difference(page: Page, name: str) -> str | None:
    """On a busy machine the browser draws pictures roughly first, and says so nowhere."""
    differs: list[str | None] = []

    def is_the_same() -> bool:
        differs.append(difference(name, page.screenshot(animations="disabled")))
        return differs[-1] is None

    with suppress(AssertionError):
        eventually(is_the_same, f"{name} looks as it did", patience_seconds=5)
    return differs[-1]


@pytest.mark.parametrize("change", ["a button moved by 3 pixels", "a button in another green"])
def test_what_a_person_would_see_is_a_difference(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.gallery.appearance.IS_ACCEPTING", False)
    with Image.open(REFERENCES / "grid-desktop-light.webp") as opened:
        view = opened.convert("RGB")
    assert difference("grid-desktop-light", png(view)) is None
    box = (960, 0, 1140, 56)
    button = view.crop(box)
    if "moved" in change:
        view.paste(button, (box[0] - 3, box[1]))
    else:
        red, green, blue = button.split()
        view.paste(Image.merge("RGB", (red, green, blue.point(lambda value: value + 30))), box)
    said = difference("grid-desktop-light", png(view))
    assert said is not None and "pixels differ" in said
