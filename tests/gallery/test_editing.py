"""Edits that come quickly, and from two places at once."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests import samples
from tests.e2e.api_client import ApiClient, Image
from tests.e2e.conftest import NewClient
from tests.e2e.holding import Processing
from tests.gallery.visitor import Visitor
from tests.waiting import eventually


class Device:
    """A second one, on which the same person is signed in."""

    def __init__(self, client: ApiClient) -> None:
        (image,) = client.images(owner="me").json()
        self._client = client
        self._id = image["id"]

    def changes(self, **changes: Any) -> None:
        self._client.updated(self._id, **changes)

    @property
    def image(self) -> Image:
        return self._client.settled(self._id)


@pytest.fixture
def device(ada: Visitor, new_client: NewClient) -> Device:
    """Ada looks at the details of her only picture, and has a second device."""
    ada.add({"sea.png": samples.png(samples.photo())})
    ada.picture("sea.png").click()
    ada.page.get_by_role("button", name="Details").click()
    client = new_client()
    client.token = client.sign_in(ada.username).json()["access_token"]
    return Device(client)


def field(ada: Visitor, name: str) -> Locator:
    return ada.page.get_by_label(name, exact=True)


def write(ada: Visitor, name: str, text: str) -> None:
    field(ada, name).fill(text)
    ada.page.keyboard.press("Tab")


@pytest.mark.usefixtures("device")
def test_edits_that_come_before_the_first_is_processed_queue_behind_it(
    ada: Visitor, processing: Processing
) -> None:
    refused: list[str] = []
    ada.page.on(
        "response",
        lambda answer: refused.append(answer.url) if answer.status == 412 else None,
    )
    written = {"Title": "The sea", "Description": "At noon"}
    with processing.held():
        for name, text in (written | {"Tags": "water, summer"}).items():
            write(ada, name, text)
        ada.says("Saved")
        write(ada, "Title", "The sea at noon")
        for name, text in (written | {"Title": "The sea at noon"}).items():
            expect(field(ada, name)).to_have_value(text)
        assert ada.tags() == ["water", "summer"]
        expect(ada.page.get_by_role("heading", name="Details")).to_be_visible()
    ada.settles()
    ada.page.get_by_text("History").click()
    expect(ada.page.get_by_role("listitem").filter(has_text="Changed (")).to_have_count(4)
    assert refused == []
    for name, text in (written | {"Title": "The sea at noon"}).items():
        expect(field(ada, name)).to_have_value(text)
    assert ada.tags() == ["water", "summer"]


def test_what_is_being_written_stays_while_an_earlier_edit_settles(
    ada: Visitor, device: Device
) -> None:
    with ada.page.expect_response("**/image/update/*"):
        write(ada, "Title", "The sea")
        field(ada, "Description").press_sequentially("At no")
    expect(field(ada, "Title")).to_have_value("The sea")
    device.changes(title="The ocean")
    assert device.image["title"] == "The ocean"

    def is_shown() -> bool:
        ada.comes_back()
        return field(ada, "Title").input_value() == "The ocean"

    ada.waits_until(is_shown)
    expect(field(ada, "Description")).to_have_value("At no")
    ada.page.keyboard.type("on")
    # Closing leaves the field too.
    ada.page.keyboard.press("Escape")
    expect(ada.heading("Details")).to_be_hidden()
    ada.waits_until(lambda: device.image["description"] == "At noon")


def test_what_was_changed_elsewhere_and_is_another_field_stays(
    ada: Visitor, device: Device
) -> None:
    device.changes(description="From the train")
    write(ada, "Title", "The sea")
    ada.says("Saved")
    expect(field(ada, "Description")).to_have_value("From the train")
    assert [device.image[name] for name in ("title", "description")] == [
        "The sea",
        "From the train",
    ]


@pytest.mark.parametrize(
    ("answer", "stays"), [("Use mine", "The sea"), ("Keep what is there", "The ocean")]
)
def test_whoever_has_written_the_same_field_elsewhere_is_not_overwritten_unasked(
    ada: Visitor, device: Device, answer: str, stays: str
) -> None:
    device.changes(title="The ocean")
    write(ada, "Title", "The sea")
    question = ada.page.get_by_role("dialog", name="Changed elsewhere meanwhile")
    expect(question.get_by_role("region", name="Title")).to_contain_text("There nowThe ocean")
    expect(question.get_by_role("region", name="Title")).to_contain_text("YoursThe sea")
    assert device.image["title"] == "The ocean"
    question.get_by_role("button", name=answer).click()
    expect(question).to_be_hidden()
    expect(field(ada, "Title")).to_have_value(stays)
    # What follows is not held up by it.
    write(ada, "Description", "At noon")
    # "Saved" may still be said of the title.
    eventually(
        lambda: [device.image[name] for name in ("title", "description")] == [stays, "At noon"],
        "both are saved",
    )


def test_what_could_not_be_saved_stays_to_be_sent_again(ada: Visitor, device: Device) -> None:
    ada.page.route("**/image/update/*", lambda route: route.abort())
    write(ada, "Title", "The sea")
    ada.says("cannot be reached")
    expect(field(ada, "Title")).to_have_value("The sea")
    ada.page.unroute("**/image/update/*")
    field(ada, "Title").focus()
    ada.page.keyboard.press("Enter")
    ada.says("Saved")
    assert device.image["title"] == "The sea"


def test_tags_are_added_and_removed_one_by_one_and_one_may_have_a_comma(
    ada: Visitor, device: Device
) -> None:
    device.changes(tags=["Essen, Ruhr", "night"])
    ada.waits_until(lambda: bool(ada.comes_back()) and ada.tags() == ["Essen, Ruhr", "night"])
    write(ada, "Tags", 'train, Night, "Bonn, Rhine"')
    ada.says("Saved")
    eventually(
        lambda: device.image["tags"] == ["Essen, Ruhr", "night", "train", "Bonn, Rhine"],
        "tags are added",
    )
    ada.button("Remove night").click()
    expect(field(ada, "Tags")).to_be_focused()
    eventually(
        lambda: device.image["tags"] == ["Essen, Ruhr", "train", "Bonn, Rhine"], "one is removed"
    )


@pytest.mark.usefixtures("device")
def test_what_was_refused_is_not_sent_again_by_leaving_the_field(ada: Visitor) -> None:
    answers: list[int] = []
    ada.page.on(
        "response",
        lambda answer: answers.append(answer.status) if "/image/update/" in answer.url else None,
    )
    field(ada, "Title").fill("  ")
    ada.page.keyboard.press("Enter")
    ada.waits_until(lambda: answers == [400])
    expect(field(ada, "Title")).to_have_attribute("aria-invalid", "true")
    ada.page.keyboard.press("Tab")
    write(ada, "Description", "At noon")
    ada.waits_until(lambda: len(answers) == 2)
    expect(field(ada, "Title")).to_have_value("  ")
    write(ada, "Title", "The sea")
    ada.waits_until(lambda: len(answers) == 3)
    assert answers == [400, 200, 200]


@pytest.mark.parametrize("title", ["Day 1/2", "Day 1\\2"])
def test_a_title_is_never_cut_as_if_it_were_a_path(
    ada: Visitor, device: Device, title: str
) -> None:
    field(ada, "Title").fill(title)
    ada.page.keyboard.press("Enter")
    expect(field(ada, "Title")).to_have_attribute("aria-invalid", "true")
    expect(ada.dialog("Details")).to_contain_text("The title contains / or \\")
    # Closing leaves the field, and says why it is lost.
    ada.forgets_notices()
    write(ada, "Title", title.replace("1", "2"))
    ada.says("The title contains / or \\")
    write(ada, "Title", "Day 1 of 2")
    ada.says("Saved")
    expect(field(ada, "Title")).to_have_attribute("aria-invalid", "false")
    assert device.image["title"] == "Day 1 of 2"
    assert device.image["version"] == 2


@pytest.mark.usefixtures("device")
def test_words_alone_leave_the_download_where_it_is(ada: Visitor, processing: Processing) -> None:
    download = ada.page.get_by_role("button", name="Download ")
    place = download.bounding_box()
    with processing.held():
        write(ada, "Title", "The sea")
        ada.says("Saved")
        expect(ada.page.locator(".tile[aria-busy=true]")).to_have_count(1)
        expect(download).to_be_enabled()
        assert download.bounding_box() == place
        expect(ada.page.get_by_text("Being processed")).to_have_count(0)


@pytest.mark.usefixtures("device")
def test_what_was_written_offline_is_saved_when_the_network_is_back(ada: Visitor) -> None:
    ada.page.context.set_offline(True)
    with ada.holding_the_notice("You are offline"):
        write(ada, "Title", "The sea")
    # Which hides nothing of the details beside it.
    notices = ada.page.get_by_role("log").bounding_box()
    details = ada.dialog("Details").bounding_box()
    assert notices and details and notices["x"] + notices["width"] <= details["x"]
    ada.page.context.set_offline(False)
    ada.says("Saved")
    expect(ada.page.get_by_text("You are offline")).to_have_count(1)
    ada.page.reload()
    expect(field(ada, "Title")).to_have_value("The sea")
