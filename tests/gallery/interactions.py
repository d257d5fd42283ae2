"""The ways in which people press, write and choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from playwright.sync_api import CDPSession, FilePayload, Locator, Page, expect

# More than there are things to press in any view of the tests.
_TABS_AT_MOST = 150
_HAS_FOCUS = "(element) => element === document.activeElement"


class Hand(Protocol):
    def press(self, target: Locator) -> None: ...

    def write(self, target: Locator, text: str) -> None:
        """In the place of what is there."""

    def choose(self, target: Locator, option: str) -> None: ...

    def turn_on(self) -> None:
        """To the next picture."""

    def turn_back(self) -> None: ...

    def zoom_in(self) -> None: ...


class Mouse:
    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, target: Locator) -> None:
        # What appears under the pointer only is pressed there all the same.
        target.click(force=target.get_attribute("type") == "checkbox")

    def write(self, target: Locator, text: str) -> None:
        target.fill(text)
        target.blur()

    def choose(self, target: Locator, option: str) -> None:
        target.select_option(option)

    def turn_on(self) -> None:
        self.press(self.page.get_by_role("button", name="Next picture"))

    def turn_back(self) -> None:
        self.press(self.page.get_by_role("button", name="Previous picture"))

    def zoom_in(self) -> None:
        self.press(self.page.get_by_role("button", name="Zoom"))


class Finger(Mouse):
    def press(self, target: Locator) -> None:
        target.tap(force=target.get_attribute("type") == "checkbox")

    def turn_on(self) -> None:
        self._draw(start=320, by=-250)

    def turn_back(self) -> None:
        self._draw(start=40, by=250)

    def _draw(self, start: int, by: int) -> None:
        """And holds still before letting go: a tap while a page still flies only stops it."""
        touch: CDPSession = self.page.context.new_cdp_session(self.page)
        way = {"x": start, "y": 400, "xDistance": by, "preventFling": True}
        touch.send("Input.synthesizeScrollGesture", {**way, "gestureSourceType": "touch"})
        touch.detach()


_GRID_OF = "(element) => element.closest('[role=list][aria-label=Pictures]') !== null"
_ARROW_TO = """(element) => {
  const placeOf = (part) => Number(part?.closest("[aria-posinset]")?.ariaPosInSet);
  return placeOf(element) < placeOf(document.activeElement) ? "ArrowLeft" : "ArrowRight";
}"""
_CHOSEN = "(select) => select.selectedOptions[0].text"


class Keys:
    """Nothing but the keyboard: what Tab does not reach, nor an arrow key, cannot be used."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, target: Locator) -> None:
        self._reach(target)
        is_box = target.get_attribute("type") == "checkbox"
        self.page.keyboard.press("Space" if is_box else "Enter")

    def write(self, target: Locator, text: str) -> None:
        self._reach(target)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Backspace")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Tab")

    def choose(self, target: Locator, option: str) -> None:
        """Step by step, as letters that come a second apart are no longer one word."""
        self._reach(target)
        self.page.keyboard.press("Home")
        for _ in target.locator("option").all():
            if target.evaluate(_CHOSEN) == option:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"no arrow key reaches {option}")

    def turn_on(self) -> None:
        self.page.keyboard.press("ArrowRight")

    def turn_back(self) -> None:
        self.page.keyboard.press("ArrowLeft")

    def zoom_in(self) -> None:
        self.page.keyboard.press("z")

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_attached()
        is_picture = target.evaluate(_GRID_OF)
        for _ in range(_TABS_AT_MOST):
            if target.evaluate(_HAS_FOCUS):
                return
            if is_picture and self._is_among_such(target):
                self.page.keyboard.press(target.evaluate(_ARROW_TO))
            else:
                self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {target}")

    def _is_among_such(self, target: Locator) -> bool:
        """At another picture, or at another picture's box."""
        is_such: bool = target.evaluate(
            f"""(element) => ({_GRID_OF})(document.activeElement)
            && element.tagName === document.activeElement.tagName"""
        )
        return is_such


HANDS: dict[str, Callable[[Page], Hand]] = {"desktop": Mouse, "phone": Finger, "keyboard": Keys}


def payload(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}
