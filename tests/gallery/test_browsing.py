"""What somebody reaches, sees and reads who looks at pictures, and changes none of them."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.gallery.conftest import PICTURES
from tests.gallery.visitor import Visitor

_CONTRAST = """(field) => {
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const { borderTopColor, backgroundColor } = getComputedStyle(field);
  const [dark, light] = [borderTopColor, backgroundColor].map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}"""
_IS_ON_TOP = """(picture) => {
  const box = picture.getBoundingClientRect();
  const at = (y) => document.elementFromPoint(box.x + box.width / 2, y);
  return [box.top + 2, box.bottom - 2].every((y) => picture.contains(at(y)));
}"""


@pytest.fixture
def ada(looking: Visitor) -> Visitor:
    return looking


def box(ada: Visitor, title: str) -> Locator:
    return ada.page.get_by_label(f"Select {title}", exact=True)


def edge(picture: Locator) -> Image.Image:
    """Its left one, half way down."""
    with Image.open(BytesIO(picture.screenshot())) as opened:
        image = opened.convert("RGB")
    return image.crop((0, image.height // 3, 3, 2 * image.height // 3))


def test_all_pictures_are_one_stop_of_the_tab_key_and_arrow_keys_lead_on(ada: Visitor) -> None:
    first, second, third = ada.titles()
    keys = ada.page.keyboard
    ada.page.get_by_label("New pictures are").focus()
    keys.press("Tab")
    expect(ada.picture(first)).to_be_focused()
    keys.press("ArrowRight")
    keys.press("Tab")
    expect(box(ada, second)).to_be_focused()
    keys.press("Space")
    keys.press("ArrowRight")
    expect(box(ada, third)).to_be_focused()
    keys.press("Space")
    expect(ada.page.get_by_text("2 pictures selected")).to_be_visible()
    keys.press("Tab")
    expect(ada.button("Clear the selection")).to_be_focused()
    keys.press("Shift+Tab")
    keys.press("Shift+Tab")
    expect(ada.picture(third)).to_be_focused()


def test_the_picture_that_has_the_focus_has_an_edge_that_shows_it(ada: Visitor) -> None:
    first = ada.picture(ada.titles()[0])
    ada.page.mouse.move(0, 0)
    ada.waits_until(lambda: edge(first).getcolors(1) is None)
    ada.page.get_by_label("New pictures are").focus()
    ada.page.keyboard.press("Tab")
    expect(first).to_be_focused()
    # A line of one colour.
    ada.waits_until(lambda: edge(first).getcolors(1) is not None)


def test_the_picture_that_has_the_focus_is_below_no_bar(ada: Visitor) -> None:
    ada.page.set_viewport_size({"width": 360, "height": 560})
    # The rows become as narrow in the next frame, which may be a late one.
    ada.waits_until(lambda: ada.page.evaluate("document.documentElement.scrollWidth") == 360)
    titles = ada.titles()
    ada.choose(titles[:1])
    for title in (*titles, *reversed(titles)):
        ada.page.evaluate("scrollBy(0, 9999)" if title == titles[-1] else "scrollTo(0, 0)")
        ada.picture(title).focus()
        assert ada.picture(title).evaluate(_IS_ON_TOP), title


def test_keys_that_are_the_browsers_stay_so_on_a_picture(ada: Visitor) -> None:
    first = ada.picture(ada.titles()[0])
    first.focus()
    assert first.evaluate("""(picture) => picture.dispatchEvent(new KeyboardEvent(
        "keydown", { key: "ArrowRight", altKey: true, bubbles: true, cancelable: true }))""")
    expect(first).to_be_focused()


def test_escape_clears_the_selection_as_soon_as_a_dialog_is_closed(ada: Visitor) -> None:
    ada.choose(PICTURES)
    ada.button("Add tags").click()
    expect(ada.dialog("Add tags")).to_be_visible()
    # As quickly as a key that is pressed twice.
    ada.page.evaluate("""() => {
      document.querySelector("dialog[open]").close();
      const again = new KeyboardEvent("keydown", { key: "Escape", bubbles: true });
      document.activeElement.dispatchEvent(again);
    }""")
    expect(ada.page.get_by_role("region", name="Selected pictures")).to_have_count(0)


def test_whoever_selects_sees_what_else_can_be_selected(ada: Visitor) -> None:
    first, *others = ada.titles()
    ada.page.mouse.move(0, 0)
    mark = box(ada, others[-1]).locator("+ span")
    expect(mark).to_have_css("opacity", "0")
    ada.choose([first])
    ada.page.mouse.move(0, 0)
    expect(mark).to_have_css("opacity", "0.85")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_where_something_can_be_written_has_an_edge_that_is_seen(
    ada: Visitor, scheme: Literal["light", "dark"]
) -> None:
    ada.page.emulate_media(color_scheme=scheme)
    ada.button("Filters").click()
    fields = ada.page.locator("#filters").locator("input, select").all()
    assert fields and all(field.evaluate(_CONTRAST) >= 3 for field in fields)


def test_words_from_right_to_left_are_written_so(ada: Visitor) -> None:
    find = ada.page.get_by_label("Find pictures")
    expect(find).to_have_css("direction", "ltr")
    find.fill("שלום")
    expect(find).to_have_css("direction", "rtl")


def test_whoever_reads_large_letters_has_them_and_room_for_them(ada: Visitor) -> None:
    session = ada.page.context.new_cdp_session(ada.page)
    session.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    ada.page.set_viewport_size({"width": 1900, "height": 900})
    ada.page.reload()
    ada.button("Filters").click()
    for field in ada.page.locator("#filters").locator("input, select").all():
        expect(field).to_have_css("font-size", "32px")
        lies = field.bounding_box()
        assert lies is not None and lies["height"] >= 1.45 * 32
    ada.picture(ada.titles()[0]).click()
    ada.button("Details").click()
    details = ada.dialog("Details").bounding_box()
    viewer = ada.dialog("Pictures").bounding_box()
    turn = ada.button("Next picture").bounding_box()
    assert details is not None and viewer is not None and turn is not None
    assert viewer["x"] + viewer["width"] <= details["x"]
    assert turn["x"] + turn["width"] <= details["x"]
