"""Back, a reload and a bookmark lead to where somebody was."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.gallery.conftest import PICTURES, NewVisitor
from tests.gallery.visitor import Visitor


@pytest.fixture
def ada(looking: Visitor) -> Visitor:
    return looking


def viewer(ada: Visitor) -> Locator:
    return ada.page.get_by_role("dialog", name="Pictures")


def search(ada: Visitor) -> str:
    found: str = ada.page.evaluate("location.search")
    return found


def test_back_closes_what_was_opened_last_and_forward_opens_it_again(ada: Visitor) -> None:
    ada.picture("dune.png").click()
    ada.page.get_by_role("button", name="Details").click()
    expect(ada.heading("Details")).to_be_visible()
    ada.page.go_back()
    expect(ada.heading("Details")).to_be_hidden()
    expect(viewer(ada)).to_contain_text("dune.png")
    ada.page.go_back()
    expect(viewer(ada)).to_have_count(0)
    assert search(ada) == ""
    ada.page.go_forward()
    expect(viewer(ada)).to_contain_text("dune.png")
    ada.page.go_forward()
    expect(ada.page.get_by_label("Title", exact=True)).to_have_value("dune.png")


def test_what_was_closed_by_hand_is_not_on_the_way_back(ada: Visitor) -> None:
    ada.button("Trash").first.click()
    ada.button("Back to the pictures").first.click()
    for title in ("dune.png", "sea.png"):
        ada.picture(title).click()
        ada.page.get_by_role("button", name="Details").click()
        expect(ada.heading("Details")).to_be_visible()
        ada.page.keyboard.press("Escape")
        expect(ada.heading("Details")).to_be_hidden()
        ada.presses_until("Escape", lambda: viewer(ada).count() == 0)
    ada.waits_until(lambda: search(ada) == "")
    ada.page.go_back()
    expect(ada.heading("Trash")).to_be_visible()


def test_a_picture_that_was_turned_to_is_left_with_one_step_back(ada: Visitor) -> None:
    first, second = ada.titles()[:2]
    ada.picture(first).click()
    expect(viewer(ada)).to_contain_text(first)
    # From here on the keys are the viewer's; pressed twice, this one would turn to the third.
    expect(viewer(ada)).to_be_focused()
    ada.page.keyboard.press("ArrowRight")
    expect(viewer(ada)).to_contain_text(second)
    ada.page.go_back()
    expect(viewer(ada)).to_have_count(0)
    expect(ada.picture(second)).to_be_focused()


def test_a_reload_comes_back_to_search_order_and_open_picture(ada: Visitor) -> None:
    ada.button("Filters").click()
    ada.page.get_by_label("Order").select_option("Title, A to Z")
    ada.page.get_by_label("Kind").select_option("PNG")
    ada.waits_until(lambda: ada.titles() == sorted(PICTURES))
    ada.picture("sea.png").click()
    ada.page.get_by_role("button", name="Details").click()
    expect(ada.heading("Details")).to_be_visible()
    ada.page.reload()
    expect(ada.page.get_by_label("Title", exact=True)).to_have_value("sea.png")
    expect(viewer(ada)).to_contain_text("2 / 3")
    ada.page.go_back()
    ada.page.go_back()
    expect(viewer(ada)).to_have_count(0)
    assert ada.titles() == sorted(PICTURES)


def test_words_that_are_typed_are_one_step(ada: Visitor) -> None:
    find = ada.page.get_by_label("Find pictures")
    for text in ("sea", "dune", "sky"):
        find.fill(text)
        expect(ada.page.get_by_role("button", name="Open ")).to_have_count(1)
        expect(ada.picture(f"{text}.png")).to_be_visible()
    ada.page.go_back()
    ada.waits_until(lambda: len(ada.titles()) == 3)
    expect(find).to_have_value("")


def test_a_bookmark_opens_what_the_first_page_does_not_show(ada: Visitor) -> None:
    ada.picture("dune.png").click()
    ada.waits_until(lambda: "picture=" in search(ada))
    bookmark = f"{ada.url}{search(ada)}&q=sea"
    ada.page.goto(bookmark)
    expect(viewer(ada)).to_contain_text("dune.png")
    ada.button("Close").click()
    ada.waits_until(lambda: search(ada) == "?q=sea")


@pytest.mark.parametrize("address", ["?picture=999999999", "?sort=worst&kind=7&picture=x"])
def test_an_address_that_leads_nowhere_leads_to_all_pictures(ada: Visitor, address: str) -> None:
    ada.page.goto(f"{ada.url}{address}")
    ada.waits_until(lambda: len(ada.titles()) == 3)
    ada.waits_until(lambda: search(ada) == "")


def test_whoever_signs_out_leaves_nothing_in_the_address(
    ada: Visitor, new_visitor: NewVisitor
) -> None:
    ada.page.get_by_label("Find pictures").fill("sea")
    ada.waits_until(lambda: search(ada) == "?q=sea")
    ada.button("Your account").click()
    ada.button("Sign out").click()
    expect(ada.button("Sign in")).to_be_visible()
    assert search(ada) == ""


def test_a_link_to_a_picture_leads_there_after_signing_in(
    ada: Visitor, new_visitor: NewVisitor
) -> None:
    ada.picture("dune.png").click()
    ada.waits_until(lambda: "picture=" in search(ada))
    elsewhere = new_visitor()
    elsewhere.username = ada.username
    elsewhere.page.goto(f"{ada.url}{search(ada)}")
    elsewhere.sign_in()
    expect(viewer(elsewhere)).to_contain_text("dune.png")


def test_the_skip_link_stays_on_the_page(ada: Visitor) -> None:
    ada.page.get_by_label("Find pictures").fill("sea")
    ada.waits_until(lambda: search(ada) == "?q=sea")
    ada.page.get_by_role("link", name="Skip to the pictures").focus()
    ada.page.keyboard.press("Enter")
    expect(ada.page.get_by_role("main")).to_be_focused()
    assert search(ada) == "?q=sea"
