"""Somebody in front of the gallery, with a browser of their own."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from playwright.sync_api import Locator, Page, expect

from tests.e2e.api_client import PASSWORD
from tests.waiting import eventually

# Far beyond what a busy machine needs; what is waited for is there within a second on a quiet one.
PATIENCE_MS = 120_000

_HOLD = """
([files]) => {
  const transfer = new DataTransfer();
  for (const { name, type, data } of files) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  window.held = transfer;
}
"""
_LET_GO = """
() => {
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer: window.held, bubbles: true, cancelable: true }),
    );
  }
}
"""
# Keeps what the page says in passing, which may be gone by the time that a busy machine looks. At
# the notice that is to be held somebody is as soon as it is there, wherever the pointer goes.
_LISTEN = """
window.said = [];
window.heldNotice = null;
const hold = ({ target }) => {
  if (window.heldNotice && target.textContent.includes(window.heldNotice)) {
    target.dispatchEvent(new PointerEvent("pointerenter"));
  }
};
let log = null;
let shown = [];
new MutationObserver(() => {
  const now = document.querySelector("[role=log]");
  const notices = [...(now?.children ?? [])];
  // One that moves with the log, into a dialog or out of it, is said only once.
  const isOld = ({ textContent }) =>
    now !== log && shown.some((each) => each.textContent === textContent);
  for (const notice of notices.filter((each) => !shown.includes(each))) {
    if (!isOld(notice)) window.said.push(notice.textContent);
    hold({ target: notice });
    notice.addEventListener("pointerleave", hold);
  }
  [log, shown] = [now, notices];
}).observe(document, { childList: true, subtree: true });
"""
# What was said before it was not waited for.
_HEAR = """(text) => {
  const place = window.said.findIndex((each) => each.includes(text));
  window.said.splice(0, place + 1);
  return place >= 0;
}"""
_PRESS_ALL = """(buttons) => {
  buttons.forEach((button) => button.click());
  return buttons.length;
}"""


class Visitor:
    """What a person does, in a person's words: by what stands on buttons, never by classes."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.page.add_init_script(_LISTEN)
        self.url = url
        self.username = f"ada-{uuid4().hex[:12]}"

    def arrive(self) -> None:
        self.page.goto(self.url)

    def sign_up(self) -> None:
        self.arrive()
        self.button("New here? Create an account").click()
        self.page.get_by_label("User name").fill(self.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.button("Create account").click()
        expect(self.heading("No pictures yet")).to_be_visible()

    def sign_in(self, password: str = PASSWORD) -> None:
        self.page.get_by_label("User name").fill(self.username)
        self.page.get_by_label("Password").fill(password)
        self.button("Sign in").click()

    def drop(self, files: dict[str, bytes]) -> None:
        self.hold(files)
        self.let_go()

    def hold(self, files: dict[str, bytes]) -> None:
        """Over the page."""
        sent = [
            {
                "name": name,
                "type": mimetypes.guess_type(name)[0] or "",
                "data": base64.b64encode(data).decode(),
            }
            for name, data in files.items()
        ]
        self.page.evaluate(_HOLD, [sent])

    def let_go(self) -> None:
        self.page.evaluate(_LET_GO)

    def add(self, files: dict[str, bytes]) -> None:
        """And waits until each of them is a picture."""
        self.drop(files)
        for name in files:
            expect(self.picture(name).locator("img.there")).to_be_visible()
        self.button("Close the list").click()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def heading(self, name: str) -> Locator:
        return self.page.get_by_role("heading", name=name, exact=True)

    def picture(self, title: str) -> Locator:
        return self.button(f"Open {title}")

    def dialog(self, name: str) -> Locator:
        return self.page.get_by_role("dialog", name=name)

    def settles(self) -> None:
        """Until nothing that is shown is under way any more."""
        expect(self.page.locator(".tile[aria-busy=true]")).to_have_count(0)

    def tags(self) -> list[str]:
        """Of the picture whose details are open."""
        names: list[str] = self.page.get_by_role("button", name="Remove ").evaluate_all(
            "(buttons) => buttons.map((button) => button.getAttribute('aria-label'))"
        )
        return [name.removeprefix("Remove ") for name in names]

    def choose(self, titles: Iterable[str]) -> None:
        for title in titles:
            self.page.get_by_label(f"Select {title}", exact=True).click(force=True)

    def says(self, text: str) -> None:
        """In passing, at the lower edge, since what it was heard to say last."""
        self.waits_until(lambda: bool(self.page.evaluate(_HEAR, text)))

    @contextmanager
    def holding_the_notice(self, text: str) -> Iterator[None]:
        """Said of what is done inside: it stays, as somebody is at it from the first moment on."""
        self.page.evaluate("(text) => { window.heldNotice = text; }", text)
        yield
        self.says(text)
        # A pointer that lies there, and leaves later, would let it go.
        self.page.mouse.move(0, 0)
        self.page.evaluate("() => { window.heldNotice = null; }")

    def forgets_notices(self) -> None:
        close = self.page.get_by_role("log").get_by_role("button", name="Close")
        # In one look, as any of them may go meanwhile.
        self.waits_until(lambda: close.evaluate_all(_PRESS_ALL) == 0)

    def waits_until(self, look: Callable[[], bool]) -> None:
        """For what the page alone does not show, while the page goes on."""

        def look_again() -> bool:
            self.page.wait_for_timeout(50)
            return look()

        eventually(look_again, "what was waited for")

    def presses_until(self, key: str, look: Callable[[], bool]) -> None:
        """As somebody does whose key did nothing the first time."""

        def press() -> bool:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(300)
            return look()

        eventually(press, f"{key} has its effect")

    def comes_back(self) -> list[str]:
        """To the page, which looks again seldom, not at every turn of the head."""
        self.page.evaluate("dispatchEvent(new Event('focus'))")
        return self.titles()

    def titles(self) -> list[str]:
        # In one look, as any of them may go meanwhile.
        names: list[str] = self.page.get_by_role("button", name="Open ").evaluate_all(
            "(buttons) => buttons.map((button) => button.getAttribute('aria-label'))"
        )
        return [name.removeprefix("Open ") for name in names]
