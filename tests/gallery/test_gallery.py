"""What people do in the gallery, as they do it."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests import samples
from tests.e2e.api_client import PASSWORD
from tests.gallery.conftest import NODE, NewVisitor
from tests.gallery.visitor import Visitor
from tests.variables import ROOT

ROCKET = {"rocket.jpg": samples.rocket()}
THREE = {
    f"{name}.png": samples.png(samples.photo(*size))
    for name, size in {"sea": (96, 64), "dune": (64, 96), "sky": (120, 60)}.items()
}


class TestSigningIn:
    def test_whoever_comes_back_is_still_signed_in(self, ada: Visitor) -> None:
        ada.page.reload()
        expect(ada.heading("No pictures yet")).to_be_visible()

    def test_whoever_signs_out_in_one_tab_has_left_the_others(self, ada: Visitor) -> None:
        other = ada.page.context.new_page()
        other.goto(ada.url)
        expect(other.get_by_role("heading", name="No pictures yet")).to_be_visible()
        ada.button("Your account").click()
        ada.button("Sign out").click()
        expect(other.get_by_role("button", name="Sign in")).to_be_visible()

    def test_scripts_find_no_token_anywhere(self, ada: Visitor) -> None:
        kept = ada.page.evaluate(
            "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
        )
        assert not re.search(r"eyJ|[A-Za-z0-9_-]{32}", kept), kept
        cookies = ada.page.context.cookies()
        assert [(c["name"], c["httpOnly"], c["secure"], c["sameSite"]) for c in cookies] == [
            ("refresh_token", True, True, "Strict")
        ]

    def test_a_wrong_password_is_told_in_the_apis_words(self, ada: Visitor) -> None:
        ada.button("Your account").click()
        ada.button("Sign out").click()
        ada.sign_in("wrong!")
        expect(ada.page.get_by_role("alert")).not_to_be_empty()
        ada.sign_in()
        expect(ada.heading("No pictures yet")).to_be_visible()

    def test_the_password_is_changed_and_the_account_left(self, ada: Visitor) -> None:
        ada.button("Your account").click()
        ada.page.get_by_text("Change the password").click()
        ada.page.get_by_label("Current password").fill(PASSWORD)
        ada.page.get_by_label("New password").fill("difference!engine")
        ada.button("Change password").click()
        ada.says("The password is changed")
        ada.page.get_by_text("Delete the account", exact=True).click()
        ada.page.get_by_label("Password", exact=True).last.fill("difference!engine")
        ada.button("Delete my account").click()
        expect(ada.button("Sign in")).to_be_visible()
        ada.sign_in("difference!engine")
        expect(ada.page.get_by_role("alert")).not_to_be_empty()


class TestUploading:
    def test_dropped_files_become_pictures_without_a_reload(self, ada: Visitor) -> None:
        ada.add({**ROCKET, **THREE})
        assert sorted(ada.titles()) == ["dune.png", "rocket.jpg", "sea.png", "sky.png"]

    def test_what_is_refused_says_why_and_the_others_go_on(self, ada: Visitor) -> None:
        ada.drop({"notes.jpg": b"not a picture", **ROCKET})
        expect(ada.picture("rocket.jpg").locator("img.there")).to_be_visible()
        uploads = ada.page.get_by_role("region", name="Uploads")
        expect(uploads).to_contain_text("1 picture was refused")
        expect(uploads.get_by_role("listitem").filter(has_text="notes.jpg")).to_contain_text(
            "not an image"
        )

    def test_a_large_file_goes_straight_to_the_storage(self, ada: Visitor) -> None:
        large = samples.bmp(samples.photo(1600, 1200))
        assert len(large) > 4_500_000
        sent: list[str] = []
        ada.page.on("request", lambda request: sent.append(request.url))
        ada.add({"large.bmp": large})
        assert not any(url.endswith("/image/upload_image") for url in sent)

    def test_a_network_that_fails_loses_and_doubles_nothing(self, ada: Visitor) -> None:
        context = ada.page.context
        ada.drop({f"{number}.png": samples.png(samples.photo(40 + number)) for number in range(12)})
        context.set_offline(True)
        expect(ada.page.get_by_text("You are offline")).to_be_visible()
        context.set_offline(False)
        expect(ada.page.get_by_role("region", name="Uploads")).to_contain_text(
            "12 pictures are ready"
        )
        ada.page.reload()
        expect(ada.page.get_by_text("12 pictures", exact=True)).to_be_visible()


class TestLooking:
    @pytest.fixture(autouse=True)
    def pictures(self, ada: Visitor) -> None:
        ada.add(THREE)

    def test_the_keyboard_alone_goes_through_pictures_and_back(self, ada: Visitor) -> None:
        first, second = ada.titles()[:2]
        ada.picture(first).focus()
        ada.page.keyboard.press("ArrowRight")
        expect(ada.picture(second)).to_be_focused()
        ada.page.keyboard.press("Enter")
        viewer = ada.page.get_by_role("dialog", name="Pictures")
        expect(viewer).to_contain_text("2 / 3")
        # Keys are lost while it opens.
        ada.presses_until("ArrowLeft", lambda: "1 / 3" in viewer.inner_text())
        ada.page.keyboard.press("i")
        expect(ada.heading("Details")).to_be_visible()
        ada.page.keyboard.press("Escape")
        expect(ada.heading("Details")).to_be_hidden()
        ada.presses_until("Escape", lambda: not viewer.is_visible())
        expect(ada.picture(first)).to_be_focused()

    def test_details_are_edited_where_they_stand(self, ada: Visitor) -> None:
        ada.picture("sea.png").click()
        ada.page.get_by_role("button", name="Details").click()
        ada.page.get_by_label("Title").fill("The sea")
        ada.page.keyboard.press("Tab")
        ada.says("Saved")
        expect(ada.page.get_by_label("Title")).to_have_value("The sea")
        ada.page.get_by_label("Tags").fill("water, summer")
        ada.page.keyboard.press("Tab")
        ada.page.get_by_text("History").click()
        expect(ada.page.get_by_role("list").last).to_contain_text("Changed (tags)")

    def test_words_and_filters_find_and_are_cleared(self, ada: Visitor) -> None:
        ada.page.get_by_label("Find pictures").fill("dune")
        expect(ada.picture("sea.png")).to_be_hidden()
        expect(ada.picture("dune.png")).to_be_visible()
        ada.page.get_by_label("Find pictures").fill("nowhere")
        expect(ada.heading("Nothing found")).to_be_visible()
        ada.button("Clear filters").first.click()
        expect(ada.picture("sea.png")).to_be_visible()
        ada.button("Filters").click()
        ada.page.get_by_label("Order").select_option("Title, A to Z")
        expect(ada.picture("dune.png")).to_be_visible()
        assert ada.titles() == ["dune.png", "sea.png", "sky.png"]


class TestMany:
    @pytest.fixture(autouse=True)
    def pictures(self, ada: Visitor) -> None:
        ada.add(THREE)

    def test_selected_pictures_go_to_the_trash_and_come_back(self, ada: Visitor) -> None:
        ada.choose(["sea.png", "sky.png"])
        expect(ada.page.get_by_text("2 pictures selected")).to_be_visible()
        ada.button("Trash").last.click()
        ada.says("2 pictures moved to the trash")
        expect(ada.picture("sea.png")).to_be_hidden()
        ada.button("Undo").click()
        expect(ada.picture("sea.png")).to_be_visible()
        ada.choose(["sea.png"])
        ada.button("Trash").last.click()
        expect(ada.picture("sea.png")).to_be_hidden()
        ada.button("Trash").first.click()
        expect(ada.heading("Trash")).to_be_visible()
        ada.choose(["sea.png"])
        ada.button("Bring back").click()
        expect(ada.heading("The trash is empty")).to_be_visible()

    def test_whoever_is_in_the_trash_before_the_pictures_sees_them_come(self, ada: Visitor) -> None:
        held: list[Route] = []
        ada.page.route("**/image/batch", lambda route: held.append(route))
        ada.choose(["sea.png"])
        ada.button("Trash").last.click()
        ada.button("Trash").first.click()
        expect(ada.heading("The trash is empty")).to_be_visible()
        held.pop().continue_()
        expect(ada.picture("sea.png")).to_be_visible()
        ada.choose(["sea.png"])
        ada.button("Bring back").click()
        ada.button("Back to the pictures").click()
        expect(ada.page.get_by_text("2 pictures", exact=True)).to_be_visible()
        held.pop().continue_()
        expect(ada.picture("sea.png")).to_be_visible()

    def test_selected_pictures_get_a_tag_and_are_found_by_it(self, ada: Visitor) -> None:
        ada.choose(["sea.png", "dune.png"])
        ada.button("Add a tag").click()
        ada.page.get_by_label("Tag", exact=True).fill("beach")
        ada.page.keyboard.press("Enter")
        ada.says("2 pictures tagged")
        # Accepted is not yet found.
        expect(ada.page.get_by_text("Being processed")).to_have_count(0)
        ada.page.get_by_label("Find pictures").fill("beach")
        expect(ada.picture("sky.png")).to_be_hidden()
        expect(ada.picture("dune.png")).to_be_visible()

    def test_a_picture_that_comes_in_does_not_take_the_place_of_the_one_looked_at(
        self, ada: Visitor
    ) -> None:
        held: list[Route] = []
        ada.page.route("**/image/upload_image", lambda route: held.append(route))
        ada.drop(ROCKET)
        ada.waits_until(lambda: bool(held))
        ada.picture("dune.png").click()
        held.pop().continue_()
        ada.waits_until(lambda: "rocket.jpg" in ada.titles())
        ada.button("Details").click()
        expect(ada.page.get_by_label("Title", exact=True)).to_have_value("dune.png")

    def test_deleting_asks_first(self, ada: Visitor) -> None:
        ada.choose(["sea.png"])
        ada.page.once("dialog", lambda dialog: dialog.dismiss())
        ada.button("Delete").click()
        expect(ada.picture("sea.png")).to_be_visible()
        ada.page.once("dialog", lambda dialog: dialog.accept())
        ada.button("Delete").click()
        expect(ada.picture("sea.png")).to_be_hidden()
        ada.says("1 picture deleted")


def test_a_public_picture_has_a_link_that_strangers_can_open(
    ada: Visitor, new_visitor: NewVisitor
) -> None:
    ada.add(ROCKET)
    ada.picture("rocket.jpg").click()
    ada.page.get_by_role("button", name="Details").click()
    ada.page.get_by_label("Who sees it").select_option("public")
    link = ada.page.get_by_label("Public link", exact=True).input_value()
    embed = ada.page.get_by_label("To embed", exact=True).input_value()
    assert embed.startswith("<img src=") and "srcset=" in embed
    answer = new_visitor().page.goto(link)
    assert answer is not None and answer.status == 200
    assert answer.headers["content-type"].startswith("image/")


def test_a_phone_shows_all_without_scrolling_sideways(new_visitor: NewVisitor) -> None:
    ada = new_visitor(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    ada.sign_up()
    ada.add(THREE)
    ada.button("Filters").click()
    assert ada.page.evaluate("document.documentElement.scrollWidth") == 360
    ada.picture("sea.png").tap()
    ada.page.get_by_role("button", name="Details").tap()
    box = ada.page.get_by_role("dialog", name="Details").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_what_is_served_is_built_from_the_source(tmp_path: Path) -> None:
    source = shutil.copytree(ROOT / "gallery", tmp_path / "gallery", symlinks=True)
    (source / "node_modules").unlink(missing_ok=True)
    (source / "node_modules").symlink_to(NODE.packages)
    document = ROOT / "functions" / "docs" / "openapi.json"
    NODE.make_types(document, "src/api/schema.d.ts", cwd=source)
    checked = NODE.run("node_modules/typescript/bin/tsc", "--noEmit", cwd=source)
    assert checked.returncode == 0, checked.stdout
    made = NODE.run("build.mjs", tmp_path / "page", cwd=source)
    assert made.returncode == 0, made.stderr
    served = ROOT / "functions" / "gallery" / "page"
    assert {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()} == {
        path.name: path.read_bytes() for path in served.iterdir()
    }


def test_the_page_is_light_to_load() -> None:
    page = ROOT / "functions" / "gallery" / "page"
    sent = sum(len(gzip.compress(path.read_bytes(), 6)) for path in page.iterdir())
    assert sent <= 150_000
