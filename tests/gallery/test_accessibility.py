"""axe looks at each view, in light and in dark."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.gallery.conftest import NODE, NewVisitor
from tests.gallery.test_gallery import THREE
from tests.gallery.visitor import Visitor
from tests.waiting import eventually

_IS_MOVING = """() => document.getAnimations().some(
    (each) => each instanceof CSSTransition && each.playState === "running")"""


def violations(visitor: Visitor) -> list[str]:
    # Fading in, colours are others.
    eventually(lambda: not visitor.page.evaluate(_IS_MOVING), "nothing fades any more")
    visitor.page.evaluate((NODE.packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = visitor.page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(
    new_visitor: NewVisitor, scheme: Literal["light", "dark"]
) -> None:
    ada = new_visitor(color_scheme=scheme)
    ada.arrive()
    expect(ada.button("Sign in")).to_be_visible()
    assert violations(ada) == []
    ada.sign_up()
    assert violations(ada) == []
    ada.add({**THREE})
    assert violations(ada) == []
    ada.button("Filters").click()
    assert violations(ada) == []
    ada.choose(["sea.png"])
    assert violations(ada) == []
    ada.button("Clear the selection").click()
    ada.button("Your account").click()
    expect(ada.heading("Your account")).to_be_visible()
    assert violations(ada) == []
    ada.page.keyboard.press("Escape")
    ada.picture("sea.png").click()
    ada.page.get_by_role("button", name="Details").click()
    expect(ada.heading("Details")).to_be_visible()
    assert violations(ada) == []
    ada.page.keyboard.press("Escape")
    ada.presses_until("Escape", lambda: ada.page.locator(".pswp").count() == 0)
    ada.drop({"notes.jpg": b"not a picture"})
    expect(ada.page.get_by_text("1 was refused")).to_be_visible()
    assert violations(ada) == []
