"""What people do in the gallery, as they do it."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Route, expect

from tests import samples
from tests.e2e.api_client import PASSWORD, ApiClient
from tests.e2e.holding import Processing
from tests.gallery.conftest import NODE, NewVisitor
from tests.gallery.visitor import Visitor
from tests.variables import ROOT

ROCKET = {"rocket.jpg": samples.rocket()}
THREE = {
    f"{name}.png": samples.png(samples.photo(*size))
    for name, size in {"sea": (96, 64), "dune": (64, 96), "sky": (120, 60)}.items()
}


_COPY = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""


_TEN_MINUTES_PASS_BEFORE_AN_ALERT_IS_PAINTED = """() => {
  const now = Date.now;
  new MutationObserver((_, watch) => {
    if (!document.querySelector("[role=alert]")?.textContent) return;
    watch.disconnect();
    Date.now = () => now() + 600_000;
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


# Whether what a field shows before anything is written in it can be read whole.
_FITS = """(field) => {
  const style = getComputedStyle(field);
  const context = document.createElement("canvas").getContext("2d");
  context.font = style.font;
  const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return context.measureText(field.placeholder).width <= room;
}"""


class TestSigningIn:
    def test_whoever_comes_back_is_still_signed_in(self, ada: Visitor) -> None:
        ada.page.reload()
        expect(ada.heading("No pictures yet")).to_be_visible()

    def test_whose_session_has_ended_is_told_what_to_do(self, ada: Visitor) -> None:
        for asked in ("**/image/get_all_images*", "**/auth/refresh"):
            ada.page.route(asked, lambda route: route.fulfill(status=401, json={}))
        ada.comes_back()
        expect(ada.page.get_by_role("main")).to_contain_text("Your session has ended. Sign in")
        expect(ada.button("Sign in")).to_be_visible()

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

    def test_a_pause_that_is_asked_for_is_counted_down(self, ada: Visitor) -> None:
        ada.page.clock.install()
        ada.page.reload()
        self.is_told_to_pause(ada)
        for passed, said in {
            0: r"attempts; try again in [89]\d\d seconds$",
            600: r"attempts; try again in [123]\d\d seconds$",
            300: r"^You can try again now\.$",
        }.items():
            ada.page.clock.fast_forward(1000 * passed)
            expect(ada.page.get_by_role("alert")).to_have_text(re.compile(said))

    def test_a_pause_is_counted_from_when_it_is_said(self, ada: Visitor) -> None:
        ada.page.evaluate(_TEN_MINUTES_PASS_BEFORE_AN_ALERT_IS_PAINTED)
        self.is_told_to_pause(ada)
        expect(ada.page.get_by_role("alert")).to_have_text(re.compile(r"in [123]\d\d seconds$"))

    def is_told_to_pause(self, ada: Visitor) -> None:
        ada.button("Your account").click()
        ada.button("Sign out").click()
        ada.page.route(
            "**/auth/login",
            lambda route: route.fulfill(
                status=429,
                headers={"Retry-After": "900"},
                json={"detail": "Too many failed attempts; try again in 900 seconds"},
            ),
        )
        ada.sign_in()

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
        question = ada.dialog("Delete your account for good?")
        expect(question).to_contain_text(f"“{ada.username}” goes, with 0 pictures")
        question.get_by_role("button", name="Cancel").click()
        expect(ada.heading("Your account")).to_be_visible()
        ada.button("Delete my account").click()
        ada.button("Delete everything").click()
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

    def test_what_becomes_of_a_file_is_asked_until_somebody_answers(self, ada: Visitor) -> None:
        unanswered: list[Route] = []

        def fail(route: Route) -> None:
            unanswered.append(route)
            route.fulfill(status=500, json={})

        def has_asked_on() -> bool:
            ada.page.clock.fast_forward(3_000)
            return len(unanswered) > 15

        ada.page.clock.install()
        ada.page.route("**/image/get_all_images?ids=*", fail)
        ada.drop({"half.jpg": samples.jpeg(samples.photo(300, 200))[:-3000]})
        ada.waits_until(has_asked_on)
        ada.page.unroute("**/image/get_all_images?ids=*")
        expect(ada.page.get_by_role("region", name="Uploads")).to_contain_text(
            "1 picture was refused"
        )

    def test_what_was_refused_is_not_counted_as_uploaded(
        self, ada: Visitor, processing: Processing
    ) -> None:
        uploads = ada.page.get_by_role("region", name="Uploads")
        ada.add(THREE)
        with processing.held():
            ada.drop({"notes.jpg": b"not a picture", **ROCKET})
            expect(uploads.get_by_role("status")).to_have_text(
                "1 of 2 uploaded, 1 picture was refused"
            )

    def test_a_large_file_goes_straight_to_the_storage(self, ada: Visitor) -> None:
        large = samples.bmp(samples.photo(1600, 1200))
        assert len(large) > 4_500_000
        sent: list[str] = []
        ada.page.on("request", lambda request: sent.append(request.url))
        ada.add({"large.bmp": large})
        assert not any(url.endswith("/image/upload_image") for url in sent)

    def test_a_picture_is_pasted(self, new_visitor: NewVisitor) -> None:
        ada = new_visitor(permissions=["clipboard-read", "clipboard-write"])
        ada.sign_up()
        ada.page.evaluate(_COPY, base64.b64encode(THREE["sea.png"]).decode())
        ada.page.keyboard.press("Control+v")
        expect(ada.picture("image.png").locator("img.there")).to_be_visible()

    def test_what_could_not_be_processed_opens_and_says_why(self, ada: Visitor) -> None:
        ada.drop({"half.jpg": samples.jpeg(samples.photo(300, 200))[:-3000]})
        uploads = ada.page.get_by_role("region", name="Uploads")
        expect(uploads).to_contain_text("1 picture was refused")
        why = uploads.get_by_role("listitem").inner_text().removeprefix("half.jpg").strip()
        ada.button("Close the list").click()
        ada.picture("half.jpg").click()
        expect(ada.page.get_by_role("dialog", name="Pictures")).to_contain_text(why)

    def test_what_is_added_where_it_is_not_seen_is_a_step_away(self, ada: Visitor) -> None:
        ada.button("Trash").first.click()
        expect(ada.heading("The trash is empty")).to_be_visible()
        ada.drop(ROCKET)
        ada.button("Show them").click()
        expect(ada.picture("rocket.jpg").locator("img.there")).to_be_visible()
        expect(ada.button("Show them")).to_have_count(0)

    def test_what_is_cancelled_on_its_way_never_arrives_and_the_others_do(
        self, ada: Visitor
    ) -> None:
        held: list[Route] = []
        ada.page.route("**/image/upload_image", lambda route: held.append(route))
        ada.drop(THREE)
        ada.waits_until(lambda: len(held) == 3)
        ada.button("Cancel dune.png").click()
        expect(ada.page.get_by_role("list", name="Uploads")).to_be_focused()
        ada.says("1 upload cancelled")
        for route in held:
            if b"dune.png" not in (route.request.post_data_buffer or b""):
                route.continue_()
        expect(ada.page.get_by_role("region", name="Uploads")).to_contain_text(
            "2 pictures are ready"
        )
        assert sorted(ada.comes_back()) == ["sea.png", "sky.png"]

    def test_all_that_is_not_there_yet_is_cancelled_at_once_and_sent_after_all(
        self, ada: Visitor
    ) -> None:
        held: list[Route] = []
        ada.page.route("**/image/upload_image", lambda route: held.append(route))
        ada.drop({f"{number}.png": samples.png(samples.photo(40 + number)) for number in range(8)})
        ada.waits_until(lambda: len(held) == 3)
        with ada.holding_the_notice("8 uploads cancelled"):
            ada.button("Cancel all").click()
        uploads = ada.page.get_by_role("region", name="Uploads")
        expect(uploads).to_have_count(0)
        ada.page.unroute("**/image/upload_image")
        ada.button("Undo").click()
        expect(uploads).to_contain_text("8 pictures are ready")
        assert sorted(ada.comes_back()) == [f"{number}.png" for number in range(8)]

    def test_a_file_that_waits_for_its_next_attempt_makes_room_when_it_is_cancelled(
        self, ada: Visitor
    ) -> None:
        def refuse(route: Route) -> None:
            if b"rocket.jpg" in (route.request.post_data_buffer or b""):
                route.continue_()
            else:
                route.fulfill(status=503, headers={"Retry-After": "3600"}, json={})

        ada.page.route("**/image/upload_image", refuse)
        ada.drop({**THREE, **ROCKET})
        uploads = ada.page.get_by_role("region", name="Uploads")
        expect(uploads.get_by_role("listitem").filter(has_text="rocket.jpg")).to_contain_text(
            "Waiting"
        )
        ada.button("Cancel sky.png").click()
        expect(ada.picture("rocket.jpg").locator("img.there")).to_be_visible()

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

    def test_what_is_written_finds_before_its_word_is_whole(self, ada: Visitor) -> None:
        ada.page.get_by_label("Find pictures").press_sequentially("un")
        expect(ada.page.get_by_text("1 picture with “un” in the title")).to_be_visible()
        assert ada.titles() == ["dune.png"]
        ada.page.get_by_label("Find pictures").press_sequentially("known")
        expect(ada.heading("Nothing found")).to_be_visible()

    def test_what_is_downloaded_is_the_picture_as_it_is_now(self, ada: Visitor) -> None:
        ada.picture("sea.png").click()
        ada.page.get_by_role("button", name="Details").click()
        ada.page.get_by_text("Crop to a size").click()
        for width, height in ((96, 64), (48, 32), (20, 20)):
            if width < 96:
                ada.page.get_by_label("Width").fill(str(width))
                ada.page.get_by_label("Height").fill(str(height))
                ada.button("Apply").click()
            with ada.page.expect_download() as download:
                ada.button(f"Download {width} \N{MULTIPLICATION SIGN} {height}, PNG").click()
            assert download.value.suggested_filename == "sea.png"
            with Image.open(download.value.path()) as saved:
                assert saved.size == (width, height)
        # So does the viewer.
        ada.page.keyboard.press("Escape")
        shown = ada.page.get_by_role("dialog", name="Pictures").get_by_alt_text("sea.png")
        ada.waits_until(lambda: shown.evaluate("(img) => img.naturalWidth === img.naturalHeight"))

    def test_words_and_filters_find_and_are_cleared(self, ada: Visitor) -> None:
        ada.page.get_by_label("Find pictures").fill("dune")
        expect(ada.picture("sea.png")).to_be_hidden()
        expect(ada.picture("dune.png")).to_be_visible()
        ada.page.get_by_label("Find pictures").fill("nowhere")
        expect(ada.heading("Nothing found")).to_be_visible()
        ada.button("Clear filters").first.click()
        expect(ada.picture("sea.png")).to_be_visible()
        old, new = (samples.exif(taken_at=f"{year}:05:17 09:41:00") for year in (1999, 2020))
        ada.add({"new.jpg": samples.jpeg(samples.photo(), exif=new)})
        ada.add({"old.jpg": samples.jpeg(samples.photo(), exif=old)})
        held: list[Route] = []
        ada.page.route("**/image/tags*", lambda route: held.append(route))
        ada.button("Filters").click()
        tag = ada.page.get_by_role("combobox", name="Tag")
        tag.press_sequentially("be")
        ada.waits_until(lambda: bool(held))
        with ada.page.expect_response("**/image/tags*"):
            held.pop().continue_()
        # What comes in meanwhile takes away nothing that is being written.
        ada.page.evaluate("new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
        expect(tag).to_have_value("be")
        tag.fill("")
        ada.page.get_by_label("Order").select_option("Title, A to Z")
        expect(ada.picture("dune.png")).to_be_visible()
        ada.waits_until(
            lambda: ada.titles() == ["dune.png", "new.jpg", "old.jpg", "sea.png", "sky.png"]
        )
        ada.page.get_by_label("Order").select_option("Last taken first")
        ada.waits_until(lambda: ada.titles()[:2] == ["new.jpg", "old.jpg"])
        # Of others' pictures nobody learns it.
        ada.page.get_by_label("Whose").select_option("Everybody's")
        expect(ada.page.get_by_label("Order")).to_have_value("-created_at")


class TestMany:
    @pytest.fixture(autouse=True)
    def pictures(self, ada: Visitor) -> None:
        ada.add(THREE)

    def test_selected_pictures_go_to_the_trash_and_come_back(self, ada: Visitor) -> None:
        ada.choose(["sea.png", "sky.png"])
        expect(ada.page.get_by_text("2 pictures selected")).to_be_visible()
        with ada.holding_the_notice("2 pictures moved to the trash"):
            ada.button("Trash").last.click()
        expect(ada.picture("sea.png")).to_be_hidden()
        ada.button("Undo").click()
        expect(ada.picture("sea.png")).to_be_visible()
        ada.choose(["sea.png"])
        ada.button("Trash").last.click()
        expect(ada.picture("sea.png")).to_be_hidden()
        ada.button("Trash").first.click()
        expect(ada.heading("Trash")).to_be_visible()
        ada.page.get_by_role("main").get_by_role("button", name="Back to the pictures").click()
        expect(ada.picture("sky.png")).to_be_visible()
        ada.button("Trash").first.click()
        ada.choose(["sea.png"])
        ada.button("Bring back").click()
        expect(ada.heading("The trash is empty")).to_be_visible()
        ada.page.get_by_role("main").get_by_role("button", name="Back to the pictures").click()
        expect(ada.heading("Gallery")).to_be_visible()

    def test_a_box_is_ticked_in_the_moment_in_which_it_is_pressed(self, ada: Visitor) -> None:
        box = ada.page.get_by_label("Select sea.png", exact=True)
        assert box.evaluate("(box) => { box.click(); return box.checked }")
        ada.page.keyboard.press("Escape")
        expect(box).not_to_be_checked()
        expect(ada.page.get_by_role("region", name="Selected pictures")).to_have_count(0)

    def test_the_trash_says_when_it_empties_and_is_emptied_as_a_whole(self, ada: Visitor) -> None:
        ada.choose([name for name in THREE if name != "sky.png"])
        ada.button("Trash").last.click()
        ada.button("Trash").first.click()
        expect(ada.page.get_by_text("is deleted for good after 30 days")).to_be_visible()
        ada.button("Empty the trash").click()
        ada.dialog("Delete 2 pictures for good?").get_by_text("Delete for good", exact=True).click()
        expect(ada.heading("The trash is empty")).to_be_visible()
        ada.button("Back to the pictures").first.click()
        expect(ada.page.get_by_text("1 picture", exact=True)).to_be_visible()

    def test_nothing_opens_that_was_to_be_selected_before_it_is_known_whose_it_is(
        self, ada: Visitor
    ) -> None:
        held: list[Route] = []
        ada.page.route("**/auth/me", lambda route: held.append(route))
        ada.page.reload()
        ada.picture("sea.png").click(modifiers=["Control"])
        ada.waits_until(lambda: bool(held))
        expect(ada.page.get_by_role("dialog")).to_have_count(0)
        held.pop().continue_()
        expect(ada.page.get_by_role("checkbox", name="Select sea.png")).to_be_attached()
        ada.picture("sea.png").click(modifiers=["Control"])
        expect(ada.page.get_by_role("region", name="Selected pictures")).to_be_visible()
        expect(ada.page.get_by_role("dialog")).to_have_count(0)

    def test_whoever_is_in_the_trash_before_the_pictures_sees_them_come(self, ada: Visitor) -> None:
        held: list[Route] = []
        ada.page.route("**/image/batch", lambda route: held.append(route))
        ada.choose(["sea.png"])
        ada.button("Trash").last.click()
        ada.button("Trash").first.click()
        expect(ada.heading("The trash is empty")).to_be_visible()
        ada.waits_until(lambda: bool(held))
        held.pop().continue_()
        expect(ada.picture("sea.png")).to_be_visible()
        ada.choose(["sea.png"])
        ada.button("Bring back").click()
        ada.button("Back to the pictures").first.click()
        expect(ada.page.get_by_text("2 pictures", exact=True)).to_be_visible()
        ada.waits_until(lambda: bool(held))
        held.pop().continue_()
        expect(ada.picture("sea.png")).to_be_visible()

    def test_what_was_done_to_many_is_taken_back_with_a_button_or_with_keys(
        self, ada: Visitor, device: ApiClient
    ) -> None:
        def fields(name: str) -> list[Any]:
            ada.settles()
            return [image[name] for image in device.images(owner="me", sort="title").json()]

        (dune, *_) = device.images(owner="me", sort="title").json()
        device.updated(dune["id"], tags=["Sand"], visibility="private")
        ada.page.reload()
        ada.choose(THREE)
        ada.button("Add tags").click()
        ada.page.get_by_label("Tags", exact=True).fill("sand, sea")
        with ada.holding_the_notice("3 pictures tagged"):
            ada.page.keyboard.press("Enter")
        ada.page.keyboard.press("Control+z")
        ada.says("3 pictures are as before")
        ada.waits_until(lambda: fields("tags") == [["Sand"], [], []])
        ada.button("Who sees them").click()
        with ada.holding_the_notice("3 pictures changed"):
            ada.page.get_by_role("button", name=re.compile("^Public")).click()
        ada.waits_until(lambda: fields("visibility") == ["public"] * 3)
        ada.button("Undo").click()
        ada.waits_until(lambda: fields("visibility") == ["private", "shared", "shared"])
        with ada.holding_the_notice("3 pictures moved to the trash"):
            ada.button("Trash").last.click()
        ada.page.keyboard.press("Control+z")
        ada.waits_until(lambda: len(ada.titles()) == 3)

    def test_a_way_back_is_offered_as_long_as_somebody_is_at_it(self, ada: Visitor) -> None:
        ada.page.clock.install()
        ada.page.reload()
        ada.choose(["sea.png"])
        with ada.holding_the_notice("moved to the trash"):
            ada.button("Trash").last.click()
        undo = ada.button("Undo")
        undo.hover()
        ada.page.clock.fast_forward(60_000)
        expect(undo).to_be_visible()
        ada.page.mouse.move(0, 0)
        undo.focus()
        ada.page.clock.fast_forward(60_000)
        expect(undo).to_be_visible()
        undo.blur()
        ada.page.clock.fast_forward(60_000)
        expect(undo).to_have_count(0)

    def test_selected_pictures_get_a_tag_and_are_found_by_it(self, ada: Visitor) -> None:
        ada.choose(["sea.png", "dune.png"])
        ada.button("Add tags").click()
        ada.page.get_by_label("Tags", exact=True).fill("beach, summer")
        ada.page.keyboard.press("Enter")
        ada.says("2 pictures tagged")
        # Accepted is not yet found.
        ada.settles()
        ada.page.get_by_label("Find pictures").fill("summer beach")
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
        for answer in ("Cancel", "Delete for good"):
            expect(ada.picture("sea.png")).to_be_visible()
            ada.button("Delete").click()
            question = ada.dialog("Delete 1 picture for good?")
            expect(question.get_by_role("button", name="Cancel")).to_be_focused()
            question.get_by_role("button", name=answer).click()
        expect(ada.picture("sea.png")).to_be_hidden()
        ada.says("1 picture deleted")


def test_a_public_picture_has_a_link_that_strangers_can_open(
    ada: Visitor, new_visitor: NewVisitor
) -> None:
    ada.add(ROCKET)
    ada.picture("rocket.jpg").click()
    ada.page.get_by_role("button", name="Details").click()
    ada.page.get_by_label("Who sees it").select_option("public")
    ada.page.get_by_label("Description").fill("Lift-off\nat dawn")
    ada.page.keyboard.press("Tab")
    link = ada.page.get_by_label("Public link", exact=True).input_value()
    expect(ada.page.get_by_label("To embed", exact=True)).to_have_value(
        re.compile('alt="Lift-off at dawn"')
    )
    embed = ada.page.get_by_label("To embed", exact=True).input_value()
    assert embed.startswith("<img src=") and "srcset=" in embed
    answer = new_visitor().page.goto(link)
    assert answer is not None and answer.status == 200
    assert answer.headers["content-type"].startswith("image/")


def test_a_phone_shows_all_without_scrolling_sideways(new_visitor: NewVisitor) -> None:
    ada = new_visitor(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    ada.sign_up()
    ada.add(THREE)
    assert ada.page.get_by_label("Find pictures").evaluate(_FITS)
    ada.drop({"notes.jpg": b"not a picture"})
    expect(ada.page.get_by_text("1 picture was refused")).to_be_visible()
    uploads = ada.page.get_by_role("region", name="Uploads").bounding_box()
    assert uploads is not None and uploads["height"] < 80
    ada.button("Show the list").tap()
    expect(ada.page.get_by_role("listitem").filter(has_text="notes.jpg")).to_be_visible()
    ada.button("Close the list").tap()
    ada.button("Filters").click()
    assert ada.page.evaluate("document.documentElement.scrollWidth") == 360
    for field in ada.page.locator("#filters label").all():
        assert edges(field)[1] <= 360 - edges(ada.page.locator("#filters"))[0]
        for control in field.locator("input, select").all():
            assert edges(control)[1] <= edges(field)[1]
            assert control.evaluate(
                "(it) => it.type !== 'date' || it.scrollWidth <= it.clientWidth"
            )
    ada.choose(["sea.png", "sky.png"])
    ada.button("Who sees them").tap()
    with ada.holding_the_notice("2 pictures changed"):
        ada.page.get_by_role("button", name=re.compile("^Private")).tap()
    notices = ada.page.get_by_role("log").bounding_box()
    bar = ada.page.get_by_role("region", name="Selected pictures").bounding_box()
    assert notices is not None and bar is not None
    assert notices["y"] + notices["height"] <= bar["y"]
    ada.button("Clear the selection").tap()
    ada.picture("sea.png").tap()
    ada.page.get_by_role("button", name="Details").tap()
    box = ada.page.get_by_role("dialog", name="Details").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360


def edges(element: Locator) -> tuple[float, float]:
    """Left and right."""
    box = element.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


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
