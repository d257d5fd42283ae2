"""Who sees what: what a picture's owner is told, and what others are offered."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import NewClient
from tests.e2e.holding import Processing
from tests.gallery.visitor import Visitor

SEA = {"sea.png": samples.png(samples.photo(96, 64))}


def test_new_pictures_are_seen_by_whom_the_page_says(ada: Visitor, device: ApiClient) -> None:
    choice = ada.page.get_by_role("combobox", name="New pictures are", exact=True)
    expect(choice).to_have_value("shared")
    expect(choice.locator("option:checked")).to_have_text("Shared: Everyone signed in")
    ada.add(SEA)
    choice.select_option("private")
    ada.add({"dune.png": SEA["sea.png"], "large.bmp": samples.bmp(samples.photo(1600, 1200))})
    seen = {image["title"]: image["visibility"] for image in device.images(owner="me").json()}
    assert seen == {"sea.png": "shared", "dune.png": "private", "large.bmp": "private"}
    ada.page.reload()
    expect(choice).to_have_value("private")
    ada.hold(SEA)
    ada.page.evaluate(
        """document.body.dispatchEvent(
            new DragEvent("dragover", { dataTransfer: window.held, bubbles: true }))"""
    )
    expect(ada.page.get_by_text("Who sees them: Only you")).to_be_visible()


def test_a_public_link_is_shown_once_it_is_the_one_that_stays(
    ada: Visitor, device: ApiClient, processing: Processing
) -> None:
    ada.add(SEA)
    ada.picture("sea.png").click()
    ada.page.get_by_role("button", name="Details").click()
    link = ada.page.get_by_label("Public link", exact=True)
    with processing.held():
        ada.page.get_by_label("Who sees it").select_option("public")
        expect(ada.page.get_by_text("The public link is being made")).to_be_visible()
        expect(link).to_have_count(0)
    shown = urlsplit(link.input_value())
    (image,) = device.images(owner="me").json()
    stays = urlsplit(image["rendition_url"])
    assert (shown.path, parse_qs(shown.query)["token"]) == (
        stays.path,
        parse_qs(stays.query)["token"],
    )


def test_a_link_that_is_no_longer_public_says_so_in_words(ada: Visitor, device: ApiClient) -> None:
    image = device.uploaded(SEA["sea.png"], visibility="public")
    device.updated(image["id"], visibility="private")
    ada.page.goto(image["rendition_url"])
    expect(ada.heading("There is no such image")).to_be_visible()


def test_of_others_pictures_nothing_is_offered_that_is_their_owners(
    ada: Visitor, new_user: NewClient
) -> None:
    bob = new_user()
    title = f"of {bob.username}"
    bob.uploaded(SEA["sea.png"], title=title)
    ada.add(SEA)
    ada.button("Filters").click()
    ada.page.get_by_label("Whose").select_option("Everybody's")
    expect(ada.picture(title)).to_be_visible()
    expect(ada.page.get_by_label(f"Select {title}", exact=True)).to_have_count(0)
    ada.choose(["sea.png"])
    ada.button("Select all").click()
    expect(ada.page.get_by_text("1 picture selected")).to_be_visible()


def test_another_window_shows_what_changes_in_this_one(ada: Visitor) -> None:
    other = Visitor(ada.page.context.new_page(), ada.url)
    other.arrive()
    expect(other.heading("No pictures yet")).to_be_visible()
    ada.add({**SEA, "dune.png": SEA["sea.png"]})
    for title in ("sea.png", "dune.png"):
        expect(other.picture(title).locator("img.there")).to_be_visible()
    ada.choose(["dune.png"])
    with ada.holding_the_notice("1 picture moved to the trash"):
        ada.button("Trash").last.click()
    expect(other.picture("dune.png")).to_have_count(0)
    ada.button("Undo").click()
    expect(other.picture("dune.png")).to_be_visible()


def test_whoever_comes_back_to_the_page_sees_what_was_changed_elsewhere(
    ada: Visitor, device: ApiClient
) -> None:
    ada.add(SEA)
    (image,) = device.images(owner="me").json()
    device.updated(image["id"], title="The sea")
    device.uploaded(SEA["sea.png"], title="Dune")
    ada.waits_until(lambda: ada.comes_back() == ["Dune", "The sea"])
