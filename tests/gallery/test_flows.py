"""All that the gallery can do: with a mouse, a finger at 360 pixels, or the keyboard alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests import samples
from tests.e2e.api_client import PASSWORD
from tests.gallery.conftest import NewVisitor
from tests.gallery.interactions import HANDS, Hand, payload
from tests.gallery.visitor import Visitor

_PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
}
NEW_PASSWORD = "difference!engine"
FILES = {
    "sea.jpg": samples.jpeg(samples.photo(1600, 1066)),
    "dune.jpg": samples.jpeg(samples.photo(300, 450, "coffee.png")),
    "sky.jpg": samples.jpeg(samples.photo(420, 280, "chelsea.png")),
}


class Walk:
    """The steps of a person in the gallery, with whichever hand."""

    def __init__(self, ada: Visitor, hand: Hand) -> None:
        self.ada, self.page, self.hand = ada, ada.page, hand

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.page.locator("body")).get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        return self.page.get_by_label(name, exact=True).last

    def choice(self, name: str) -> Locator:
        return self.page.get_by_role("combobox", name=name, exact=True)

    def press(self, name: str, within: Locator | None = None) -> None:
        self.hand.press(self.button(name, within).first)

    def registers(self) -> None:
        self.ada.arrive()
        self.press("New here? Create an account")
        self.hand.write(self.field("User name"), self.ada.username)
        self.hand.write(self.field("Password"), PASSWORD)
        self.press("Create account")
        expect(self.ada.heading("No pictures yet")).to_be_visible()

    def adds_files(self) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.press("Add pictures")
        chooser.value.set_files([payload(name, data) for name, data in FILES.items()])
        for name in FILES:
            expect(self.ada.picture(name).locator("img.there")).to_be_visible()
        self.press("Close the list")

    def opens(self, title: str) -> Locator:
        self.hand.press(self.ada.picture(title))
        viewer = self.page.get_by_role("dialog", name="Pictures")
        expect(viewer.get_by_text(title)).to_be_visible()
        return viewer

    def leaves_the_viewer(self) -> None:
        viewer = self.page.get_by_role("dialog", name="Pictures")
        self.press("Close", viewer)
        expect(viewer).to_have_count(0)

    def looks(self) -> None:
        first, second = self.ada.titles()[:2]
        viewer = self.opens(first)
        for turn, title in ((self.hand.turn_on, second), (self.hand.turn_back, first)):
            turn()
            expect(viewer.get_by_text(title)).to_be_visible()
            self.rests(viewer, title)
        self.leaves_the_viewer()
        viewer = self.opens("sea.jpg")
        shown = viewer.get_by_alt_text("sea.jpg")
        expect(shown).to_be_visible()
        fitted = width(shown)
        self.hand.zoom_in()
        self.ada.waits_until(lambda: width(shown) > 1.2 * fitted)
        self.leaves_the_viewer()

    def rests(self, viewer: Locator, title: str) -> None:
        """Until the picture that was turned to stands still."""
        shown = viewer.get_by_alt_text(title)
        self.ada.waits_until(lambda: abs(middle(shown) - middle(viewer)) < 1)

    def edits(self) -> None:
        viewer = self.opens("sea.jpg")
        self.press("Details", viewer)
        self.hand.write(self.field("Title"), "The sea")
        self.hand.write(self.field("Description"), "At noon")
        self.hand.write(self.field("Tags"), "water, summer")
        self.ada.settles()
        self.hand.press(self.page.get_by_text("Crop to a size"))
        self.hand.write(self.field("Width"), "400")
        self.hand.write(self.field("Height"), "400")
        self.press("Apply")
        details = self.page.get_by_role("dialog", name="Details")
        expect(details.get_by_text(re.compile("^400 . 400$"))).to_be_visible()
        self.hand.press(self.page.get_by_text("History"))
        expect(details.get_by_text("Changed (tags), done")).to_be_visible()
        for name, size in {
            "Download 400 \N{MULTIPLICATION SIGN} 400, JPEG": (400, 400),
            "The original file": (1600, 1066),
        }.items():
            with self.page.expect_download() as download:
                self.press(name, details)
            assert download.value.suggested_filename == "The sea.jpg"
            with Image.open(download.value.path()) as saved:
                assert saved.size == size

    def shares(self) -> None:
        self.hand.choose(self.choice("Who sees it"), "Public: Anyone with the link")
        assert self.copies("To embed").startswith("<img src=")
        link = self.copies("Public link")
        assert self.page.request.get(link, headers={"Accept": "image/*"}).status == 200
        self.press("Close", self.page.get_by_role("dialog", name="Details"))
        self.leaves_the_viewer()

    def copies(self, what: str) -> str:
        self.ada.forgets_notices()
        self.press(f"Copy: {what}")
        self.ada.says("Copied")
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        assert text == self.field(what).input_value()
        return text

    def finds(self) -> None:
        self.press("Filters")
        self.hand.choose(self.choice("Order"), "Title, A to Z")
        self.ada.waits_until(lambda: self.ada.titles() == ["dune.jpg", "sea.jpg", "sky.jpg"])
        self.hand.choose(self.choice("Order"), "Newest first")
        self.hand.choose(self.choice("Visibility"), "Public")
        expect(self.ada.heading("Nothing found")).to_be_visible()
        self.press("Clear filters")
        self.hand.write(self.page.get_by_label("Find pictures"), "dune")
        self.ada.waits_until(lambda: self.ada.titles() == ["dune.jpg"])
        self.hand.write(self.page.get_by_label("Find pictures"), "")
        self.ada.waits_until(lambda: len(self.ada.titles()) == 3)
        self.press("Filters")

    def selects(self) -> None:
        for title in ("dune.jpg", "sky.jpg"):
            self.hand.press(self.page.get_by_label(f"Select {title}", exact=True))
        bar = self.page.get_by_role("region", name="Selected pictures")
        self.press("Add tags", bar)
        self.hand.write(self.field("Tags"), "beach, summer")
        self.press("Add tags", self.page.get_by_role("dialog", name="Add tags"))
        self.ada.says("2 pictures tagged")
        self.press("Who sees them", bar)
        self.press("Public: Anyone with the link")
        self.ada.says("2 pictures changed")
        self.ada.settles()
        self.press("Filters")
        self.hand.write(self.choice("Tag"), "beach, summer")
        self.ada.waits_until(lambda: sorted(self.ada.titles()) == ["dune.jpg", "sky.jpg"])
        self.hand.choose(self.choice("Visibility"), "Public")
        self.ada.waits_until(lambda: sorted(self.ada.titles()) == ["dune.jpg", "sky.jpg"])
        self.press("Clear filters")
        self.ada.waits_until(lambda: len(self.ada.titles()) == 3)
        self.press("Filters")
        for title in ("dune.jpg", "sky.jpg"):
            expect(self.page.get_by_label(f"Select {title}", exact=True)).to_be_checked()
        # With the keyboard alone it takes a while to get there.
        with self.ada.holding_the_notice("2 pictures moved to the trash"):
            self.press("Trash", bar)
        self.hand.press(self.button("Undo").last)
        self.ada.waits_until(lambda: len(self.ada.titles()) == 3)

    def empties_the_trash(self) -> None:
        for title in ("dune.jpg", "sky.jpg"):
            self.hand.press(self.page.get_by_label(f"Select {title}", exact=True))
        bar = self.page.get_by_role("region", name="Selected pictures")
        self.press("Trash", bar)
        self.press("Trash", self.page.get_by_role("banner"))
        self.hand.press(self.page.get_by_label("Select dune.jpg", exact=True))
        self.press("Bring back", bar)
        expect(self.ada.picture("dune.jpg")).to_have_count(0)
        self.hand.press(self.page.get_by_label("Select sky.jpg", exact=True))
        self.press("Delete", bar)
        self.press("Delete for good", self.ada.dialog("Delete 1 picture for good?"))
        expect(self.ada.heading("The trash is empty")).to_be_visible()
        self.press("Back to the pictures")
        self.ada.waits_until(lambda: sorted(self.ada.titles()) == ["dune.jpg", "sea.jpg"])

    def is_asked_for_a_pause(self) -> None:
        self.page.route(
            "**/image/batch",
            lambda route: route.fulfill(
                status=429,
                headers={"Retry-After": "60"},
                json={"detail": "Try again in 60 seconds", "code": "too_much_under_way"},
            ),
        )
        self.hand.press(self.page.get_by_label("Select dune.jpg", exact=True))
        with self.ada.holding_the_notice("Try again in"):
            self.press("Trash", self.page.get_by_role("region", name="Selected pictures"))
        expect(self.page.get_by_text(re.compile(r"^Try again in \d\d seconds$"))).to_be_visible()
        expect(self.ada.picture("dune.jpg")).to_be_visible()

    def signs_out_and_in(self) -> None:
        self.press("Your account")
        self.press("Sign out")
        self.hand.write(self.field("User name"), self.ada.username)
        self.hand.write(self.field("Password"), PASSWORD)
        self.press("Sign in")
        expect(self.ada.heading("No pictures yet")).to_be_visible()

    def changes_the_password(self) -> None:
        self.press("Your account")
        self.hand.press(self.page.get_by_text("Change the password"))
        self.hand.write(self.field("Current password"), PASSWORD)
        self.hand.write(self.field("New password"), NEW_PASSWORD)
        self.press("Change password")
        self.ada.says("The password is changed")

    def leaves(self) -> None:
        self.hand.press(self.page.get_by_text("Delete the account", exact=True))
        self.hand.write(self.field("Password"), NEW_PASSWORD)
        self.press("Delete my account")
        self.press("Delete everything")
        expect(self.button("Sign in")).to_be_visible()


def width(locator: Locator) -> float:
    box = locator.bounding_box()
    return box["width"] if box else 0.0


def middle(locator: Locator) -> float:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2 if box else float("nan")


@pytest.fixture(params=HANDS)
def walk(request: pytest.FixtureRequest, new_visitor: NewVisitor) -> Walk:
    ada = new_visitor(
        permissions=["clipboard-read", "clipboard-write"],
        **(_PHONE if request.param == "phone" else {}),
    )
    walk = Walk(ada, HANDS[request.param](ada.page))
    walk.registers()
    return walk


def test_an_account_is_made_kept_and_left(walk: Walk) -> None:
    walk.signs_out_and_in()
    walk.changes_the_password()
    walk.leaves()


def test_a_picture_is_added_looked_at_edited_and_shared(walk: Walk) -> None:
    walk.adds_files()
    walk.looks()
    walk.edits()
    walk.shares()


def test_pictures_are_found_chosen_changed_and_thrown_away(walk: Walk) -> None:
    walk.adds_files()
    walk.finds()
    walk.selects()
    walk.empties_the_trash()
    walk.is_asked_for_a_pause()
