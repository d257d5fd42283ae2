"""Filters, as people set them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.gallery.visitor import Visitor

_CHOOSES = """(field) => {
  field.value = "no such tag";
  const chosen = { bubbles: true, inputType: "insertReplacementText" };
  field.dispatchEvent(new InputEvent("input", chosen));
}"""


@pytest.fixture
def ada(looking: Visitor) -> Visitor:
    looking.button("Filters").click()
    return looking


@pytest.mark.parametrize("how", ["Enter", "Tab", "a suggestion"])
def test_a_tag_counts_once_it_is_written_or_chosen(ada: Visitor, how: str) -> None:
    tag = ada.page.get_by_role("combobox", name="Tag")
    if how == "a suggestion":
        tag.evaluate(_CHOOSES)
    else:
        tag.press_sequentially("no such tag")
        assert len(ada.titles()) == 3
        ada.page.keyboard.press(how)
    expect(ada.heading("Nothing found")).to_be_visible()


def test_the_mark_on_the_filters_is_of_filters(ada: Visitor) -> None:
    mark = ada.button("Filters").locator(".dot")
    ada.page.get_by_label("Find pictures").fill("sea")
    ada.waits_until(lambda: ada.titles() == ["sea.png"])
    expect(mark).to_have_count(0)
    ada.page.get_by_label("Kind").select_option("PNG")
    expect(mark).to_have_count(1)


def test_filters_are_of_one_height_and_none_is_indented(ada: Visitor) -> None:
    ada.page.get_by_label("Kind").select_option("PNG")
    fields = ada.page.locator("#filters :is(input, select)").all()
    assert len({each.evaluate("(it) => it.offsetHeight") for each in fields}) == 1
    indent = ada.button("Clear filters").first.evaluate(
        """(it) => { const range = document.createRange(); range.selectNodeContents(it);
                     return range.getBoundingClientRect().x - it.getBoundingClientRect().x; }"""
    )
    assert indent < 1


def test_a_list_that_could_not_be_loaded_is_there_when_the_network_is(ada: Visitor) -> None:
    # Neither a press of "Try again" nor an event tells it.
    ada.page.route("**/image/get_all_images*", lambda route: route.abort())
    ada.page.get_by_label("Find pictures").fill("sea")
    expect(ada.page.get_by_role("alert")).to_contain_text("cannot be reached")
    ada.page.unroute("**/image/get_all_images*")
    expect(ada.picture("sea.png")).to_be_visible()
    expect(ada.page.get_by_role("alert")).to_have_count(0)


def test_what_was_found_before_is_there_without_a_network_too(ada: Visitor) -> None:
    titles = ada.titles()
    find = ada.page.get_by_label("Find pictures")
    find.fill("sea")
    ada.waits_until(lambda: ada.titles() == ["sea.png"])
    ada.page.context.set_offline(True)
    find.fill("")
    ada.waits_until(lambda: ada.titles() == titles)
    expect(ada.page.get_by_text("3 pictures", exact=True)).to_be_visible()
    expect(ada.page.get_by_text("You are offline")).to_have_count(1)
    find.fill("sky")
    expect(ada.picture("sea.png")).to_have_count(0)
    expect(ada.page.get_by_text("You are offline")).to_have_count(1)
    ada.page.context.set_offline(False)
    ada.waits_until(lambda: ada.titles() == ["sky.png"])
