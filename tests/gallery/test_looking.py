"""The viewer and the details beside it: what is seen, pressed and reached."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, expect

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import NewClient
from tests.gallery.conftest import NewVisitor
from tests.gallery.visitor import Visitor

SMALL = {
    f"{name}.png": samples.png(samples.photo(*size))
    for name, size in {"sea": (96, 64), "dune": (64, 96), "sky": (120, 60)}.items()
}


def viewer(ada: Visitor) -> Locator:
    return ada.dialog("Pictures")


def details(ada: Visitor) -> Locator:
    return ada.dialog("Details")


def opens(ada: Visitor, title: str) -> None:
    """And waits until the keys are the viewer's."""
    ada.picture(title).click()
    expect(viewer(ada)).to_be_focused()


def opens_details(ada: Visitor, title: str) -> None:
    ada.picture(title).click()
    ada.button("Details").click()
    expect(details(ada)).to_be_visible()


def pauses(ada: Visitor) -> None:
    """As between two double clicks: what is clicked after it is not the second half of one."""
    ada.page.wait_for_timeout(500)


def width(shown: Locator) -> float:
    box = shown.bounding_box()
    return box["width"] if box else 0.0


def luminances(shown: Locator) -> set[int]:
    """Of what lies in the upper left quarter."""
    with Image.open(BytesIO(shown.screenshot())) as opened:
        image = opened.convert("L")
    quarter = image.crop((4, 4, image.width // 2 - 4, image.height // 2 - 4))
    counts = quarter.histogram()
    return {value for value, count in enumerate(counts) if count > 100}


def test_what_is_transparent_shows_black_and_white_alike(ada: Visitor) -> None:
    logo = Image.new("RGBA", (400, 300))
    ImageDraw.Draw(logo).rectangle((210, 160, 390, 290), fill="black")
    ada.add({"logo.png": samples.png(logo)})
    tile = ada.picture("logo.png").locator("img.there")
    ada.page.mouse.move(0, 0)
    ada.waits_until(lambda: len(luminances(tile)) >= 2)
    ada.picture("logo.png").click()
    shown = viewer(ada).get_by_alt_text("logo.png").last
    ada.waits_until(lambda: len(luminances(shown)) >= 2)
    assert all(80 < value < 180 for value in luminances(shown))


def test_a_single_pixel_is_large_enough_to_be_seen(ada: Visitor) -> None:
    ada.add({"pixel.png": samples.png(samples.photo(1, 1))})
    opens(ada, "pixel.png")
    shown = viewer(ada).get_by_alt_text("pixel.png").last
    ada.waits_until(lambda: width(shown) >= 48)


def test_words_over_a_picture_can_be_read_whatever_it_shows(ada: Visitor) -> None:
    ada.add({"snow.png": samples.png(Image.new("RGB", (1600, 1000), "white"))})
    opens(ada, "snow.png")
    ada.page.keyboard.press("z")
    shown = viewer(ada).get_by_alt_text("snow.png").last
    ada.waits_until(lambda: width(shown) >= 1600)
    title = viewer(ada).get_by_text("snow.png", exact=True)
    ada.waits_until(lambda: dark_share(title) > 0.5)


def dark_share(shown: Locator) -> float:
    """Of which white words stand out."""
    with Image.open(BytesIO(shown.screenshot())) as opened:
        counts = opened.convert("L").histogram()
    return sum(counts[:119]) / sum(counts)


class TestWithdrawn:
    @pytest.fixture
    def bob(self, new_user: NewClient) -> ApiClient:
        return new_user()

    def test_a_picture_that_its_owner_withdraws_leads_to_the_next_and_then_to_the_grid(
        self, ada: Visitor, bob: ApiClient
    ) -> None:
        first, second = (f"{name} of {bob.username}" for name in ("sea", "sky"))
        for title in (second, first):
            bob.uploaded(SMALL["sea.png"], title=title)
        ada.page.goto(f"{ada.url}?owner=&q={bob.username}")
        opens_details(ada, first)
        expect(viewer(ada)).to_contain_text("1 / 2")
        self.withdraws(bob, ada, first)
        ada.says(f"“{first}” is no longer there")
        expect(details(ada)).to_contain_text(second)
        expect(viewer(ada)).to_contain_text("1 / 1")
        self.withdraws(bob, ada, second)
        ada.says(f"“{second}” is no longer there")
        expect(viewer(ada)).to_have_count(0)
        expect(details(ada)).to_have_count(0)
        assert "details" not in ada.page.evaluate("location.search")
        expect(ada.page.get_by_role("main")).to_be_focused()

    def withdraws(self, bob: ApiClient, ada: Visitor, title: str) -> None:
        """And waits until the one who looks at it has been led on."""
        (image,) = (each for each in bob.images(owner="me").json() if each["title"] == title)
        bob.updated(image["id"], visibility="private")

        def is_left() -> bool:
            ada.comes_back()
            return details(ada).get_by_text(title).count() == 0

        ada.waits_until(is_left)


class TestOneselfs:
    @pytest.fixture(autouse=True)
    def pictures(self, ada: Visitor) -> None:
        for name in ("sea.png", "dune.png", "sky.png"):
            ada.add({name: SMALL[name]})

    def test_tab_stays_in_the_viewer_and_its_details(self, ada: Visitor) -> None:
        opens(ada, "dune.png")
        for is_detailed in (False, True):
            reached: set[str] = set()
            for _ in range(30):
                ada.page.keyboard.press("Tab")
                reached.add(
                    ada.page.evaluate(
                        """() => {
                          const has = document.activeElement;
                          return has.closest(".panel") ? "details"
                            : has.closest(".pswp") || has === document.body ? "viewer"
                            : has.outerHTML;
                        }"""
                    )
                )
            assert reached == ({"viewer", "details"} if is_detailed else {"viewer"})
            if not is_detailed:
                ada.button("Details").click()
                expect(details(ada)).to_be_focused()

    def test_the_focus_is_seen_on_black(self, ada: Visitor) -> None:
        opens(ada, "dune.png")
        ada.page.keyboard.press("Tab")
        ring = "(it) => [getComputedStyle(it).outlineColor, getComputedStyle(it).outlineOffset]"
        assert viewer(ada).locator("button:focus").evaluate(ring) == ["rgb(255, 255, 255)", "-3px"]

    def test_details_stand_beside_the_picture_and_turn_over_with_it(self, ada: Visitor) -> None:
        opens_details(ada, "sky.png")
        panel, next_picture = details(ada).bounding_box(), ada.button("Next picture").bounding_box()
        assert panel is not None and next_picture is not None
        assert next_picture["x"] + next_picture["width"] <= panel["x"]
        title = ada.page.get_by_label("Title", exact=True)
        ada.button("Next picture").click()
        expect(title).to_have_value("dune.png")
        ada.page.keyboard.press("ArrowRight")
        expect(title).to_have_value("sea.png")
        # In a field they move within what is written.
        title.focus()
        ada.page.keyboard.press("ArrowLeft")
        expect(title).to_have_value("sea.png")
        ada.page.keyboard.press("Escape")
        expect(details(ada)).to_have_count(0)
        expect(ada.button("Details")).to_be_focused()
        expect(viewer(ada)).to_contain_text("sea.png")

    def test_what_is_said_covers_nothing_of_the_details(
        self, ada: Visitor, new_visitor: NewVisitor
    ) -> None:
        phone = new_visitor(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        phone.username = ada.username
        phone.arrive()
        phone.sign_in()
        for each, title in ((ada, "sky.png"), (phone, "sea.png")):
            opens_details(each, title)
            each.page.get_by_label("Description").fill("At noon")
            with each.holding_the_notice("Saved"):
                each.page.get_by_label("Title", exact=True).focus()
            body = details(each).locator(".dialog-body").bounding_box()
            said = each.page.get_by_role("log").bounding_box()
            assert body is not None and said is not None
            assert said["x"] + said["width"] <= body["x"] or said["y"] >= body["y"] + body["height"]

    def test_whoever_trashes_from_the_details_goes_on_at_the_next(self, ada: Visitor) -> None:
        opens_details(ada, "dune.png")
        title = ada.page.get_by_label("Title", exact=True)
        for goes_on_at, count in (("sea.png", "2 / 2"), ("sky.png", "1 / 1")):
            ada.button("Move to the trash").click()
            expect(title).to_have_value(goes_on_at)
            expect(viewer(ada)).to_contain_text(count)
            expect(details(ada)).to_be_focused()
        ada.button("Move to the trash").click()
        expect(viewer(ada)).to_have_count(0)
        expect(ada.heading("No pictures yet")).to_be_visible()
        expect(ada.page.get_by_role("main")).to_be_focused()

    def test_a_double_click_on_a_small_picture_changes_nothing(self, ada: Visitor) -> None:
        ada.picture("dune.png").dblclick()
        shown = viewer(ada).get_by_alt_text("dune.png").last
        expect(shown).to_be_visible()
        pauses(ada)
        shown.dblclick()
        pauses(ada)
        expect(viewer(ada)).to_contain_text("dune.png")
        ada.page.mouse.dblclick(300, 750)
        expect(viewer(ada)).to_have_count(0)
        pauses(ada)
        expect(viewer(ada)).to_have_count(0)

    def test_a_double_click_on_a_large_picture_zooms_in(self, ada: Visitor) -> None:
        ada.add({"large.jpg": samples.jpeg(samples.photo(2400, 1600))})
        ada.picture("large.jpg").click()
        shown = viewer(ada).get_by_alt_text("large.jpg").last
        expect(shown).to_be_visible()
        pauses(ada)
        ada.page.mouse.dblclick(640, 400)
        # Where the second click took back the first, it would never be as large.
        ada.waits_until(lambda: width(shown) >= 2400)

    def test_the_viewer_counts_what_the_list_counts(self, ada: Visitor) -> None:
        def larger(route: object) -> None:
            answer = route.fetch()  # type: ignore[attr-defined]
            headers = answer.headers | {"x-total-count": "1305"}
            route.fulfill(response=answer, headers=headers)  # type: ignore[attr-defined]

        ada.page.route("**/image/get_all_images*", larger)
        ada.page.reload()
        ada.picture("dune.png").click()
        expect(viewer(ada)).to_contain_text("2 / 1,305")
