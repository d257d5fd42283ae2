"""Whoever presses what is gone then goes on where a person would, and never nowhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests import samples
from tests.gallery.visitor import Visitor

PICTURES = {
    f"{name}.png": samples.png(samples.photo(*size))
    for name, size in {"sea": (96, 64), "dune": (64, 96), "sky": (120, 60)}.items()
}


@pytest.fixture(autouse=True)
def pictures(ada: Visitor) -> None:
    """The newest first: sky, dune, sea."""
    for name, data in PICTURES.items():
        ada.add({name: data})


def presses(ada: Visitor, name: str) -> None:
    """With the keyboard, where it stands last on the page."""
    button = ada.button(name).last
    button.focus()
    ada.page.keyboard.press("Enter")


def test_after_the_trash_it_is_at_the_next_picture_and_after_undo_among_them(ada: Visitor) -> None:
    ada.choose(["dune.png"])
    with ada.holding_the_notice("1 picture moved to the trash"):
        presses(ada, "Trash")
    expect(ada.picture("sea.png")).to_be_focused()
    presses(ada, "Undo")
    expect(ada.picture("dune.png")).to_be_visible()
    assert ada.page.evaluate("document.activeElement !== document.body")


def test_after_bringing_back_and_deleting_it_is_at_the_next_in_the_trash(ada: Visitor) -> None:
    ada.choose(PICTURES)
    presses(ada, "Trash")
    expect(ada.page.get_by_role("main")).to_be_focused()
    ada.button("Trash").first.click()
    expect(ada.picture("sky.png")).to_be_visible()
    first, second, third = ada.titles()
    ada.choose([second])
    presses(ada, "Bring back")
    expect(ada.picture(third)).to_be_focused()
    ada.choose([first])
    presses(ada, "Delete")
    ada.button("Delete for good").focus()
    ada.page.keyboard.press("Enter")
    expect(ada.picture(first)).to_have_count(0)
    expect(ada.picture(third)).to_be_focused()


def test_what_closes_by_itself_leaves_it_on_the_page(ada: Visitor) -> None:
    ada.choose(["dune.png"])
    presses(ada, "Clear the selection")
    expect(ada.picture("dune.png")).to_be_focused()
    ada.page.get_by_label("Find pictures").fill("nowhere")
    expect(ada.heading("Nothing found")).to_be_visible()
    presses(ada, "Clear filters")
    expect(ada.page.get_by_role("main")).to_be_focused()


def test_after_signing_in_it_is_at_the_pictures(ada: Visitor) -> None:
    ada.button("Your account").click()
    ada.button("Sign out").click()
    for press in ("New here? Create an account", "Already have an account? Sign in"):
        expect(ada.page.get_by_label("User name")).to_be_focused()
        presses(ada, press)
    expect(ada.page.get_by_label("User name")).to_be_focused()
    ada.page.get_by_label("User name").fill(ada.username)
    ada.page.get_by_label("Password").fill("wrong!")
    presses(ada, "Sign in")
    expect(ada.page.get_by_role("alert")).not_to_be_empty()
    expect(ada.page.get_by_label("Password")).to_be_focused()
    ada.sign_in()
    expect(ada.page.get_by_role("main")).to_be_focused()
