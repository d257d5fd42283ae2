"""What is read while a change is under way never shows a picture as it was before."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.holding import Processing
from tests.gallery.visitor import Visitor

PNG = samples.png(samples.photo(96, 64))
BATCH = "**/image/batch"
# Not of single pictures.
LIST = re.compile(r"/image/get_all_images\?(?!ids=)")
_WATCH = """(label) => {
  const holds = (node) =>
    node instanceof Element && (node.matches(label) || node.querySelector(label) !== null);
  window.seen = [];
  new MutationObserver((records) => {
    for (const { addedNodes } of records) {
      if ([...addedNodes].some(holds)) window.seen.push(label);
    }
  }).observe(document.body, { childList: true, subtree: true });
}"""


class Held:
    """Requests of a page that wait: before they are sent, or with the answer that they got."""

    def __init__(
        self, page: Page, address: str | re.Pattern[str], *, is_answered: bool = False
    ) -> None:
        self._waiting: list[tuple[Route, APIResponse | None]] = []
        self._is_answered = is_answered
        self._after: Callable[[Route], None] | None = None
        page.route(address, self._hold)

    def _hold(self, route: Route) -> None:
        if self._after:
            self._after(route)
        else:
            self._waiting.append((route, route.fetch() if self._is_answered else None))

    def __len__(self) -> int:
        return len(self._waiting)

    def let_through(self, number: int = 0) -> None:
        """One of them; those that come after it are held, too."""
        route, response = self._waiting.pop(number)
        if response:
            route.fulfill(response=response)
        else:
            route.continue_()

    def end(self) -> None:
        self._after = lambda route: route.continue_()
        while self._waiting:
            self.let_through()

    def answer_next(self, answer: Callable[[Route], None]) -> None:
        answer(self._waiting.pop(0)[0])

    def lose(self) -> None:
        """What is sent again is lost, too."""
        self._after = lambda route: route.abort()
        while self._waiting:
            self.answer_next(self._after)


def sends(ada: Visitor, button: str, *titles: str) -> Held:
    """A change of these, and how it is held on its way."""
    held = Held(ada.page, BATCH)
    ada.choose(titles)
    ada.button(button).last.click()
    if button == "Delete":
        ada.button("Delete for good").click()
    ada.waits_until(lambda: bool(held))
    return held


@pytest.fixture
def pictures(ada: Visitor) -> list[str]:
    """In the order in which they stand."""
    for name in ("sea", "dune", "sky"):
        ada.add({f"{name}.png": PNG})
    return ada.titles()


def titles(ada: Visitor) -> list[str]:
    """Without the news."""
    return [title for title in ada.titles() if not title.startswith("News")]


def reads(ada: Visitor, device: ApiClient, **fields: Any) -> list[str]:
    """What stands there as soon as the page has read a list with something new in it."""
    title = f"News {len(device.images(owner='me').json())}"
    image = device.uploaded(PNG, title=title)
    if fields:
        device.updated(image["id"], **fields)
    ada.waits_until(lambda: title in ada.comes_back())
    return titles(ada)


def never_appears(ada: Visitor, title: str) -> Callable[[], None]:
    """From now on, not for a moment; what it returns looks whether that was so."""
    ada.page.evaluate(_WATCH, f'[aria-label="Open {title}"]')

    def look() -> None:
        assert ada.page.evaluate("window.seen") == []

    return look


def shows_what_has_arrived(ada: Visitor) -> None:
    """What is asked for after it is answered after it."""
    for _ in range(3):
        ada.page.evaluate("fetch('health').then((answer) => answer.text())")


def count(ada: Visitor, number: int) -> Locator:
    return ada.page.get_by_role("status").get_by_text(f"{number} pictures", exact=True)


def without(titles: list[str], *gone: str) -> list[str]:
    return [title for title in titles if title not in gone]


@pytest.mark.parametrize("button", ["Trash", "Delete"])
def test_what_goes_stays_away_whatever_is_read_meanwhile(
    ada: Visitor, device: ApiClient, pictures: list[str], button: str
) -> None:
    change = sends(ada, button, pictures[1])
    expect(ada.picture(pictures[1])).to_have_count(0)
    stays_away = never_appears(ada, pictures[1])
    assert reads(ada, device) == without(pictures, pictures[1])
    expect(count(ada, 3)).to_be_visible()
    # Read before the answer, it arrives after it.
    lists = Held(ada.page, LIST, is_answered=True)
    ada.waits_until(lambda: bool(ada.comes_back() and lists))
    change.end()
    ada.says("1 picture moved to the trash" if button == "Trash" else "1 picture deleted")
    lists.end()
    reads(ada, device)
    expect(count(ada, 4)).to_be_visible()
    stays_away()


def test_what_could_not_be_trashed_is_back_in_its_place(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    change = sends(ada, "Trash", pictures[1])
    assert reads(ada, device) == without(pictures, pictures[1])
    others_stay = never_appears(ada, pictures[2])
    change.lose()
    ada.says("cannot be reached")
    assert titles(ada) == pictures
    expect(count(ada, 4)).to_be_visible()
    others_stay()


def refuses(device: ApiClient, title: str, code: str) -> Callable[[Route], None]:
    """The change of this one, and accepts all others."""

    def take_others(route: Route) -> None:
        wish = route.request.post_data_json
        assert wish is not None
        ids = {device.image(each).json()["title"]: each for each in wish["ids"]}
        refusal = {"id": ids.pop(title), "status_code": 429, "code": code, "detail": "Later"}
        response = route.fetch(post_data={**wish, "ids": list(ids.values())})
        results = [*response.json()["results"], refusal]
        route.fulfill(response=response, json={"results": results})

    return take_others


def test_of_many_those_that_are_refused_come_back_and_the_others_do_not(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    refused = pictures[0]
    change = sends(ada, "Trash", *pictures)
    assert reads(ada, device) == []
    with ada.holding_the_notice("2 pictures moved to the trash"):
        change.answer_next(refuses(device, refused, "busy"))
        ada.says("1 picture was refused: Later")
    assert titles(ada) == [refused]
    expect(count(ada, 2)).to_be_visible()
    change.end()
    ada.button("Undo").click()
    ada.waits_until(lambda: titles(ada) == pictures)


def test_what_is_too_much_at_once_is_asked_for_again(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    change = sends(ada, "Trash", *pictures)
    stays_away = never_appears(ada, pictures[0])
    change.answer_next(refuses(device, pictures[0], "too_much_under_way"))
    ada.waits_until(lambda: bool(change))
    change.end()
    ada.says("3 pictures moved to the trash")
    stays_away()
    ada.waits_until(lambda: len(device.images(trashed="true").json()) == 3)


def test_what_is_gone_elsewhere_does_not_come_back_when_its_change_is_refused(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    gone = pictures[1]
    ids = {image["title"]: image["id"] for image in device.images(owner="me").json()}
    change = sends(ada, "Trash", gone)
    assert device.delete(ids[gone]).status_code == 200
    change.end()
    ada.says("1 picture was refused")
    expect(ada.picture(gone)).to_have_count(0)
    expect(count(ada, 2)).to_be_visible()


def test_an_answer_that_is_still_being_made_is_waited_for(
    ada: Visitor, pictures: list[str]
) -> None:
    change = sends(ada, "Trash", pictures[1])
    stays_away = never_appears(ada, pictures[1])
    change.answer_next(
        lambda route: route.fulfill(
            status=409,
            headers={"Retry-After": "1"},
            json={"detail": "The same request is still running", "code": "request_in_progress"},
        )
    )
    change.end()
    ada.says("1 picture moved to the trash")
    stays_away()


def test_undo_is_seen_at_once_and_where_it_is_lost_taken_back(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    ada.choose([pictures[1]])
    with ada.holding_the_notice("1 picture moved to the trash"):
        ada.button("Trash").last.click()
    assert reads(ada, device) == without(pictures, pictures[1])
    undo = Held(ada.page, BATCH)
    ada.button("Undo").click()
    ada.waits_until(lambda: titles(ada) == pictures)
    assert reads(ada, device) == pictures
    expect(count(ada, 5)).to_be_visible()
    undo.lose()
    ada.says("cannot be reached")
    expect(ada.picture(pictures[1])).to_have_count(0)
    expect(count(ada, 4)).to_be_visible()


def test_what_comes_back_from_the_trash_is_not_seen_there_before_it_is_processed(
    ada: Visitor, device: ApiClient, pictures: list[str], processing: Processing
) -> None:
    ada.choose(pictures)
    ada.button("Trash").last.click()
    ada.says("3 pictures moved to the trash")
    ada.button("Trash").first.click()
    ada.waits_until(lambda: ada.titles() == pictures)
    back, *others = pictures
    change = sends(ada, "Bring back", back)
    stays_away = never_appears(ada, back)
    assert reads(ada, device, trashed=True) == others
    expect(count(ada, 3)).to_be_visible()
    with processing.held():
        change.end()
        ada.says("1 picture brought back")
        ada.button("Back to the pictures").first.click()
        ada.button("Trash").first.click()
        ada.waits_until(lambda: set(others) <= set(ada.titles()))
        expect(count(ada, 3)).to_be_visible()
    stays_away()
    ada.button("Back to the pictures").first.click()
    ada.waits_until(lambda: ada.titles() == [back])


def test_what_comes_back_from_the_trash_is_waited_for_however_long_it_is_processed(
    ada: Visitor, pictures: list[str], processing: Processing
) -> None:
    looks: list[str] = []

    def has_looked_on() -> bool:
        ada.page.clock.fast_forward(3_000)
        # Many more than any that is processed soon needs.
        return len(looks) > 60

    ada.choose(pictures)
    ada.button("Trash").last.click()
    ada.button("Trash").first.click()
    ada.settles()
    ada.waits_until(lambda: ada.titles() == pictures)
    ada.page.clock.install()
    with processing.held():
        ada.choose(pictures)
        ada.button("Bring back").click()
        ada.says("3 pictures brought back")
        ada.button("Back to the pictures").first.click()
        expect(ada.heading("No pictures yet")).to_be_visible()
        ada.page.on("request", lambda sent: looks.append(sent.url) if "?ids=" in sent.url else None)
        ada.waits_until(has_looked_on)
    ada.waits_until(lambda: ada.titles() == pictures)


def title_field(ada: Visitor, picture: str) -> Locator:
    ada.picture(picture).click()
    ada.page.get_by_role("button", name="Details").click()
    return ada.page.get_by_label("Title", exact=True)


def test_a_title_that_was_written_stays_whatever_is_read_meanwhile(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    held = Held(ada.page, "**/image/update/*")
    title = title_field(ada, pictures[1])
    title.fill("Noon")
    title.press("Enter")
    ada.waits_until(lambda: bool(held))
    old_stays_away = never_appears(ada, pictures[1])
    new = [pictures[0], "Noon", pictures[2]]
    assert reads(ada, device) == new
    # What is written before the answer comes is another change, even back to what there was.
    title.fill("Evening")
    title.press("Enter")
    title.fill("Noon")
    title.press("Enter")
    held.end()
    ada.waits_until(lambda: device.images(owner="me", title="Noon").json() != [])
    ada.settles()
    assert titles(ada) == new
    old_stays_away()


def test_a_title_that_is_put_back_before_it_is_saved_is_the_old_one(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    held = Held(ada.page, "**/image/update/*")
    title = title_field(ada, pictures[1])
    for text in ("Noon", pictures[1]):
        title.fill(text)
        title.press("Enter")
        ada.waits_until(lambda: bool(held))
    held.end()
    (changed,) = [
        each for each in device.images(owner="me").json() if each["title"] in ("Noon", pictures[1])
    ]
    ada.waits_until(lambda: device.settled(changed["id"])["version"] == 3)
    assert device.image(changed["id"]).json()["title"] == pictures[1]
    expect(title).to_have_value(pictures[1])


def tagged(device: ApiClient, *tags: str) -> list[str]:
    """Of one's own: what others have shared may have the same tags."""
    return [image["title"] for image in device.images(owner="me", tag=tags).json()]


def test_tags_that_are_added_one_after_the_other_are_all_there(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    held = Held(ada.page, BATCH)
    ada.choose(pictures[:2])
    for tag in ("beach", "summer"):
        ada.button("Add tags").first.click()
        ada.page.get_by_label("Tags", exact=True).fill(tag)
        ada.page.keyboard.press("Enter")
        ada.waits_until(lambda: bool(held))
    held.end()
    ada.waits_until(lambda: sorted(tagged(device, "beach", "summer")) == sorted(pictures[:2]))


def test_a_picture_that_has_just_come_stays_when_an_older_list_arrives(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    device.uploaded(PNG, title="Elsewhere")
    lists = Held(ada.page, LIST, is_answered=True)
    ada.waits_until(lambda: bool(ada.comes_back() and lists))
    ada.add({"new.png": PNG})
    lists.end()
    ada.waits_until(lambda: "Elsewhere" in ada.titles())
    assert ada.titles() == ["new.png", "Elsewhere", *pictures]
    expect(count(ada, 5)).to_be_visible()


def test_whoever_comes_back_soon_after_the_last_look_sees_what_is_new_all_the_same(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    reads(ada, device)
    title = device.uploaded(PNG, title="A moment later")["title"]
    ada.comes_back()
    expect(ada.picture(title)).to_be_visible()


def test_what_is_trashed_while_something_is_sought_is_gone_when_the_network_is(
    ada: Visitor, pictures: list[str]
) -> None:
    find = ada.page.get_by_label("Find pictures")
    find.fill(pictures[1])
    ada.waits_until(lambda: ada.titles() == [pictures[1]])
    ada.choose([pictures[1]])
    ada.button("Trash").last.click()
    ada.says("1 picture moved to the trash")
    ada.page.context.set_offline(True)
    stays_away = never_appears(ada, pictures[1])
    find.fill("")
    ada.waits_until(lambda: ada.titles() == without(pictures, pictures[1]))
    expect(count(ada, 2)).to_be_visible()
    stays_away()


def test_a_picture_that_is_deleted_elsewhere_while_it_is_processed_goes(
    ada: Visitor, device: ApiClient, pictures: list[str], processing: Processing
) -> None:
    ids = {image["title"]: image["id"] for image in device.images(owner="me").json()}
    with processing.held():
        ids["Brief"] = device.upload(PNG, title="Brief").json()["id"]
        ada.waits_until(lambda: "Brief" in ada.comes_back())
        ada.choose([pictures[1]])
        ada.button("Who sees them").click()
        ada.button("Private: Only you").click()
        ada.says("1 picture changed")
        for title in ("Brief", pictures[1]):
            assert device.delete(ids[title]).status_code == 200
            expect(ada.picture(title)).to_have_count(0)
    expect(count(ada, 2)).to_be_visible()


def test_what_another_window_tells_while_pictures_load_is_looked_at_then(
    ada: Visitor, pictures: list[str]
) -> None:
    other = Visitor(ada.page.context.new_page(), ada.url)
    other.arrive()
    expect(other.picture(pictures[1])).to_be_visible()
    # What it hears, the page gathers for half a second.
    other.page.evaluate(
        """() => {
          const heard = () => setTimeout(() => (window.heard = true), 600);
          new BroadcastChannel("gallery:changed").onmessage = heard;
        }"""
    )
    lists = Held(other.page, LIST, is_answered=True)
    other.page.get_by_label("Find pictures").fill("png")
    other.waits_until(lambda: bool(lists))
    ada.choose([pictures[1]])
    ada.button("Trash").last.click()
    ada.says("1 picture moved to the trash")
    other.waits_until(lambda: other.page.evaluate("window.heard"))
    lists.end()
    other.waits_until(lambda: other.titles() == without(pictures, pictures[1]))


def test_details_of_what_goes_elsewhere_lead_on_and_leave_the_keys_alive(
    ada: Visitor, pictures: list[str]
) -> None:
    other = Visitor(ada.page.context.new_page(), ada.url)
    other.arrive()
    other.picture(pictures[1]).click()
    viewer = other.page.get_by_role("dialog", name="Pictures")
    viewer.get_by_role("button", name="Details").click()
    expect(other.heading("Details")).to_be_visible()
    ada.choose([pictures[1]])
    ada.button("Trash").last.click()
    other.says(f"“{pictures[1]}” is no longer among these pictures")
    expect(other.page.get_by_label("Title", exact=True)).to_have_value(pictures[2])
    other.presses_until("Escape", lambda: viewer.count() == 0)
    other.waits_until(lambda: other.page.evaluate("location.search") == "")


def test_details_stay_open_when_their_picture_is_no_longer_what_was_sought(
    ada: Visitor, device: ApiClient, pictures: list[str]
) -> None:
    device.uploaded(PNG, title="Morning at sea")
    ada.page.get_by_label("Find pictures").fill("morning")
    ada.waits_until(lambda: ada.titles() == ["Morning at sea"])
    ada.picture("Morning at sea").click()
    ada.page.get_by_role("button", name="Details").click()
    title = ada.page.get_by_label("Title", exact=True)
    title.fill("Evening")
    title.press("Enter")
    ada.says("Saved")
    ada.settles()
    ada.page.get_by_label("Description").fill("At n")
    device.uploaded(PNG, title="Morning news")
    ada.waits_until(lambda: ada.comes_back() == ["Evening", "Morning news"])
    expect(ada.page.get_by_label("Description")).to_have_value("At n")


def test_whoever_signs_out_while_a_token_is_renewed_is_out(
    ada: Visitor, pictures: list[str]
) -> None:
    other = Visitor(ada.page.context.new_page(), ada.url)
    renewals = Held(other.page, "**/auth/refresh", is_answered=True)
    other.arrive()
    other.waits_until(lambda: bool(renewals))
    ada.button("Your account").click()
    ada.button("Sign out").click()
    expect(other.button("Sign in")).to_be_visible()
    with other.page.expect_response("**/auth/refresh"):
        renewals.end()
    shows_what_has_arrived(other)
    expect(other.button("Sign in")).to_be_visible()


def test_the_history_is_the_latest_whichever_answer_comes_last(
    ada: Visitor, pictures: list[str], processing: Processing
) -> None:
    ada.picture(pictures[1]).click()
    ada.page.get_by_role("button", name="Details").click()
    held = Held(ada.page, "**/history", is_answered=True)
    ada.page.get_by_text("History").click()
    ada.waits_until(lambda: len(held) == 1)
    title = ada.page.get_by_label("Title", exact=True)
    with processing.held():
        title.fill("Noon")
        title.press("Enter")
        ada.waits_until(lambda: len(held) >= 2)
    ada.settles()
    ada.waits_until(lambda: len(held) >= 3)
    held.let_through(len(held) - 1)
    done = ada.page.get_by_role("listitem").filter(has_text="Changed (title), done")
    expect(done).to_be_visible()
    held.end()
    shows_what_has_arrived(ada)
    expect(done).to_be_visible()
