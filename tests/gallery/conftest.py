"""The gallery of a running cloud, in a real Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, expect, sync_playwright

from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import (
    NewClient,
    database,
    new_client,
    new_user,
    processing,
    running_cloud,
)
from tests.e2e.running_cloud import RunningCloud
from tests.gallery.appearance import font_settings
from tests.gallery.visitor import PATIENCE_MS, Visitor
from tests.node import Node
from tests.samples import photo, png

__all__ = ["database", "new_client", "new_user", "processing"]

NODE = Node("gallery")
NewVisitor = Callable[..., Visitor]


_CHROMIUM = shutil.which("chromium")


def pytest_report_header() -> str | None:
    if _CHROMIUM is not None:
        return None
    return (
        "there is no Chromium: nothing of the gallery is tried in a browser "
        "(apt-get install chromium; Ubuntu has it as a snap only)"
    )


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    # All browsers are at one address, and more than a hundred register in a quarter of an hour.
    yield from running_cloud(tmp_path_factory.mktemp("cloud"), REGISTRATIONS_PER_ADDRESS="1000")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if _CHROMIUM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no Chromium")
    expect.set_options(timeout=PATIENCE_MS)
    # Chromium's sandbox does not start for root, nor its shared memory in small containers.
    options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    # The same pixels on every system.
    options += ["--font-render-hinting=none", "--disable-lcd-text", "--force-color-profile=srgb"]
    fonts = font_settings(
        NODE.packages / "@expo-google-fonts" / "inter", tmp_path_factory.mktemp("fonts")
    )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=_CHROMIUM,
            args=options,
            env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
        )
        yield running
        running.close()


@pytest.fixture
def new_visitor(browser: Browser, cloud: RunningCloud) -> Iterator[NewVisitor]:
    """Makes people with browsers of their own, whose pages must not complain in the console."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # A request that is refused is shown to the person; the browser notes each by itself.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    with ExitStack() as contexts:

        def make(**options: Any) -> Visitor:
            context: BrowserContext = browser.new_context(
                **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
            )
            contexts.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.on("console", hear)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            # The name, as the cookie is for secure addresses, and this one counts as such.
            return Visitor(page, cloud.api_url.replace("127.0.0.1", "localhost") + "/")

        yield make
    assert complaints == []


PICTURES = {f"{name}.png": png(photo(96, 64)) for name in ("sea", "dune", "sky")}


@pytest.fixture(scope="session")
def owner(cloud: RunningCloud) -> str:
    """The name of somebody whose `PICTURES` are looked at alone."""
    with ApiClient(cloud.api_url) as client:
        client.sign_up()
        for name, data in PICTURES.items():
            client.uploaded(data, name)
        return client.username


@pytest.fixture
def looking(new_visitor: NewVisitor, owner: str) -> Visitor:
    visitor = new_visitor()
    visitor.username = owner
    visitor.arrive()
    visitor.sign_in()
    for name in PICTURES:
        expect(visitor.picture(name).locator("img.there")).to_be_visible()
        # There once the page knows whose it is, which may come after the picture.
        expect(visitor.page.get_by_label(f"Select {name}", exact=True)).to_be_attached()
    return visitor


@pytest.fixture
def ada(new_visitor: NewVisitor) -> Visitor:
    visitor = new_visitor()
    visitor.sign_up()
    return visitor


@pytest.fixture
def device(ada: Visitor, new_client: NewClient) -> ApiClient:
    """On which the same person is signed in, too."""
    client = new_client()
    client.token = client.sign_in(ada.username).json()["access_token"]
    return client
