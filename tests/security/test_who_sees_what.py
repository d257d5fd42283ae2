"""Who sees an image by which route, whatever its visibility and wherever it is in its life."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import requests

from tests import samples
from tests.e2e.api_client import PASSWORD, ApiClient, Image
from tests.e2e.conftest import NewClient
from tests.e2e.holding import Processing
from tests.e2e.routes import OPERATIONS

# What an image is when somebody looks: how it was uploaded, and what was done to it since.
STATES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "shared": ("shared", []),
    "private": ("private", []),
    "public": ("public", []),
    "public, then shared": ("public", [{"visibility": "shared"}]),
    "public, then hidden": ("public", [{"visibility": "private"}]),
    "public, in the trash": ("public", [{"trashed": True}]),
    "public, back from the trash": ("public", [{"trashed": True}, {"trashed": False}]),
    "shared, then hidden": ("shared", [{"visibility": "private"}]),
    "private, then shared": ("private", [{"visibility": "shared"}]),
    "private, then public": ("private", [{"visibility": "public"}]),
    "shared, then public": ("shared", [{"visibility": "public"}]),
    "shared, in the trash": ("shared", [{"trashed": True}]),
    "private, in the trash": ("private", [{"trashed": True}]),
    "hidden in the trash": ("shared", [{"trashed": True}, {"visibility": "private"}]),
    "shared in the trash": ("private", [{"trashed": True}, {"visibility": "shared"}]),
    "shared, back from the trash": ("shared", [{"trashed": True}, {"trashed": False}]),
    "private, back from the trash": ("private", [{"trashed": True}, {"trashed": False}]),
    "shared, deleted": ("shared", [{"delete": True}]),
    "private, deleted": ("private", [{"delete": True}]),
    "public, deleted": ("public", [{"delete": True}]),
    "deleted from the trash": ("shared", [{"trashed": True}, {"delete": True}]),
    "deleted with the account": ("public", [{"close": True}]),
    "processing": ("shared", []),
    "processing and private": ("private", []),
    "failed": ("shared", []),
}
SHARED = {
    *("shared", "private, then shared", "shared, back from the trash", "public, then shared"),
    *("processing", "failed"),
}
PUBLIC = {
    *("public", "public, back from the trash", "private, then public", "shared, then public"),
}
OTHERS_SEE = SHARED | PUBLIC
TRASHED = {state for state in STATES if state.endswith("in the trash")}
DELETED = {state for state in STATES if "deleted" in state}
OWN = set(STATES) - DELETED
LISTED = OWN - TRASHED
WITHOUT_PICTURE = {"processing", "processing and private", "failed"}
PICTURED = OWN - WITHOUT_PICTURE
# The objects of what was hidden have moved, and those of what was deleted are gone.
FILES_STAY = {
    *("shared", "private", "public"),
    *("private, then shared", "private, then public", "shared, then public"),
}
# Of all links that end in the trash, that of a public image alone comes back.
LINK_WORKS = FILES_STAY | {"public, back from the trash"}

Look = Callable[[ApiClient, Image, str], bool | None]
"""Whether the client sees the image, whose mark nothing else has; None: it must sign in first."""

_asked: set[tuple[str, str, str]] = set()
"""By method and path, which parameters of the query the looks below ask with."""


def _asking(method: str, path: str, *names: str) -> None:
    _asked.update((method, path, name) for name in ("", *names))


def _filled(query: dict[str, Any], image: Image, mark: str) -> dict[str, str]:
    """Its id and its mark stand where the query has them."""
    known = {"id": image["id"], "mark": mark, "owner": image["user_id"]}
    return {
        name: str(value).format(type=image["content_type"], **known)
        for name, value in query.items()
    }


def _pages(path: str, query: dict[str, Any]) -> Callable[..., list[Any] | None]:
    """All that a client gets by following the links."""
    _asking("GET", path, "cursor", *query)

    def read(client: ApiClient, image: Image, mark: str) -> list[Any] | None:
        answer = client.get(path, params=_filled(query, image, mark))
        found: list[Any] = []
        while True:
            if answer.status_code == 401:
                return None
            assert answer.status_code == 200, answer.text
            found += answer.json()
            if "next" not in answer.links:
                return found
            answer = client.get(answer.links["next"]["url"])

    return read


def _listed(**query: Any) -> Look:
    """The image is on the first page of this list."""
    path = "/image/get_all_images"
    _asking("GET", path, *query)

    def look(client: ApiClient, image: Image, mark: str) -> bool | None:
        answer = client.get(path, params=_filled(query, image, mark))
        if answer.status_code == 401:
            return None
        assert answer.status_code == 200, answer.text
        return any(each["id"] == image["id"] for each in answer.json())

    return look


def _on_a_page(**query: Any) -> Look:
    read = _pages("/image/get_all_images", query)

    def look(client: ApiClient, image: Image, mark: str) -> bool | None:
        images = read(client, image, mark)
        return None if images is None else image["id"] in [each["id"] for each in images]

    return look


def _tagged(**query: Any) -> Look:
    read = _pages("/image/tags", query)

    def look(client: ApiClient, image: Image, mark: str) -> bool | None:
        tags = read(client, image, mark)
        return None if tags is None else mark in [each["tag"] for each in tags]

    return look


def _answers(method: str, path: str, *, json: Any = None, **query: Any) -> Look:
    _asking("GET" if method == "HEAD" else method, path, *query)

    def look(client: ApiClient, image: Image, mark: str) -> bool | None:
        filled = path.format(image_id=image["id"])
        ask = client.rendition if path.endswith("/rendition") else client.request
        status = ask(method=method, path=filled, params=query, json=json).status_code
        # 409: it is there, and there is nothing to show of it.
        assert status in (200, 302, 401, 404, 409), status
        return None if status == 401 else status in (200, 302)

    return look


def _batch(**request: Any) -> Look:
    path = "/image/batch"
    _asking("POST", path)

    def look(client: ApiClient, image: Image, mark: str) -> bool | None:
        answer = client.request("POST", path, json={"ids": [image["id"]], **request})
        if answer.status_code == 401:
            return None
        (result,) = answer.json()["results"]
        assert result["status_code"] in (200, 404), result
        return bool(result["status_code"] == 200)

    return look


def _link(name: str, **query: Any) -> Look:
    """A `rendition_url` of the image. Who comes with one is nobody, signed in or not."""
    _asking("GET", "/image/{image_id}/rendition", "token", *query)

    def look(client: ApiClient, image: Image, mark: str) -> bool | None:
        if image[name] is None:
            return False
        answer = client.rendition(image[name], params=query)
        assert answer.status_code in (302, 404), answer.text
        return answer.status_code == 302

    return look


def _urls(client: ApiClient, image: Image, mark: str) -> bool | None:
    """All that the image shown to this client has, which open for whoever has them."""
    answer = client.image(image["id"])
    if answer.status_code != 200:
        return None if answer.status_code == 401 else False
    shown = answer.json()
    link = shown["rendition_url"]
    urls = [shown[name] for name in ("url", "thumbnail_url", "preview_url")]
    if [*urls, link] == [None] * 4:
        return False
    with ApiClient(client.api_url) as nobody:
        rendition = nobody.rendition(link, allow_redirects=True)
    assert {answer.status_code for answer in (*map(requests.get, urls), rendition)} == {200}
    return True


# By route: in which states the owner, another user and a visitor get to see it. A visitor is told
# to sign in, but for links.
LOOKS: dict[str, tuple[Look, set[str], set[str], set[str] | None]] = {
    "the image": (_answers("GET", "/image/{image_id}"), OWN, OTHERS_SEE, None),
    "its head": (_answers("HEAD", "/image/{image_id}"), OWN, OTHERS_SEE, None),
    "the image, waited for": (_answers("GET", "/image/{image_id}", wait=1), OWN, OTHERS_SEE, None),
    "its URLs": (_urls, PICTURED, OTHERS_SEE & PICTURED, None),
    "its history": (_answers("GET", "/image/{image_id}/history"), OWN, set(), None),
    "a rendition": (
        _answers("GET", "/image/{image_id}/rendition", width=64),
        *(PICTURED, OTHERS_SEE & PICTURED, None),
    ),
    "a rendition to be saved": (
        _answers("GET", "/image/{image_id}/rendition", ratio="1:1", format="png", download="true"),
        *(PICTURED, OTHERS_SEE & PICTURED, None),
    ),
    "a rendition's head": (
        _answers("HEAD", "/image/{image_id}/rendition", width=64),
        *(PICTURED, OTHERS_SEE & PICTURED, None),
    ),
    "a rendition by the first link": (
        _link("rendition_url", width=64),
        *(LINK_WORKS, LINK_WORKS, LINK_WORKS),
    ),
    "a rendition by its owner's link": (_link("last_link", width=64), PICTURED, PICTURED, PICTURED),
    "its original": (_answers("GET", "/image/{image_id}/original"), OWN, set(), None),
    "the list": (_listed(), LISTED, OTHERS_SEE, None),
    "all pages": (_on_a_page(q="{mark}", limit=1), LISTED, OTHERS_SEE, None),
    "its ids": (_listed(ids="{id}"), LISTED, OTHERS_SEE, None),
    "its title": (_listed(title="{mark}"), LISTED, OTHERS_SEE, None),
    "its words": (_listed(q="{mark}"), LISTED, OTHERS_SEE, None),
    "its tag": (_listed(tag="{mark}"), LISTED, OTHERS_SEE, None),
    "its owner": (_listed(owner="{owner}"), LISTED, OTHERS_SEE, None),
    "its owner's title": (_listed(owner="{owner}", title="{mark}"), LISTED, OTHERS_SEE, None),
    "shared images": (_listed(visibility="shared"), SHARED, SHARED, None),
    "public images": (_listed(visibility="public"), PUBLIC, PUBLIC, None),
    "private images": (_listed(visibility="private"), LISTED - OTHERS_SEE, set(), None),
    "images that are ready": (
        _listed(status="ready"),
        *(LISTED & PICTURED, OTHERS_SEE & PICTURED, None),
    ),
    "images without a picture": (
        _on_a_page(status="failed", owner="{owner}"),
        *({"failed"}, {"failed"}, None),
    ),
    "its type": (_listed(content_type="{type}"), LISTED, OTHERS_SEE, None),
    "images since long ago": (_listed(created_after="2001-01-01"), LISTED, OTHERS_SEE, None),
    "images until far ahead": (_listed(created_before="2999-01-01"), LISTED, OTHERS_SEE, None),
    **{
        f"by {sort}": (_listed(sort=sort, **query), LISTED, OTHERS_SEE, None)
        for sort, query in {
            "created_at": {"q": "{mark}"},
            "title": {"q": "{mark}"},
            "-title": {"title": "{mark}"},
            "size": {"tag": "{mark}"},
            "-size": {"owner": "{owner}"},
        }.items()
    },
    "by capture": (_listed(sort="-taken_at", q="{mark}"), LISTED, set(), None),
    "my own": (_listed(owner="me"), LISTED, set(), None),
    "my trash": (_listed(trashed="true"), TRASHED, set(), None),
    "my trash by words": (_listed(trashed="true", q="{mark}"), TRASHED, set(), None),
    "tags": (_tagged(limit=100), LISTED, OTHERS_SEE, None),
    "my tags": (_tagged(owner="me"), LISTED, set(), None),
    "its owner's tags": (_tagged(owner="{owner}", limit=1), LISTED, OTHERS_SEE, None),
    # These change it: they come last.
    "an update": (
        _answers("PUT", "/image/update/{image_id}", json={"title": "x"}),
        *(OWN, set(), None),
    ),
    "a batch of updates": (_batch(changes={"title": "x"}), OWN, set(), None),
    "a batch of deletions": (_batch(delete=True), OWN, set(), None),
    "a deletion": (_answers("DELETE", "/image/delete/{image_id}"), set(), set(), None),
}


@pytest.mark.parametrize("state", STATES)
def test_who_sees_an_image_by_which_route(
    new_user: NewClient, visitor: ApiClient, processing: Processing, state: str
) -> None:
    ada, bob = new_user(), new_user()
    mark = ada.username.removeprefix("user-")

    with processing.held() if state.startswith("processing") else nullcontext():
        image = _brought_into(state, ada, mark)
        # With something else on the page before, and among the tags.
        ada.upload(samples.gif(), title=mark, tags=[f"{mark} too"])
        for change in STATES[state][1]:
            if "close" in change:
                closed = ada.request("POST", "/auth/delete_account", json={"password": PASSWORD})
                assert closed.status_code == 200
        shown = ada.image(image["id"])
        image["last_link"] = (
            shown.json()["rendition_url"] if shown.status_code == 200 else image["rendition_url"]
        )
        seen = {
            (name, who): look(client, image, mark)
            for name, (look, *_) in LOOKS.items()
            # Who may do nothing comes first: it would change what the others see.
            for who, client in (("a visitor", visitor), ("Bob", bob), ("Ada", ada))
        }

    wanted: dict[tuple[str, str], bool | None] = {}
    for name, (_, own, others, visitors) in LOOKS.items():
        is_signed_out = visitors is None and state == "deleted with the account"
        wanted[name, "Ada"] = None if is_signed_out else state in own
        wanted[name, "Bob"] = state in others
        wanted[name, "a visitor"] = None if visitors is None else state in visitors
    assert {key: found for key, found in seen.items() if found != wanted[key]} == {}


def _brought_into(state: str, owner: ApiClient, mark: str) -> Image:
    """The image as it was before anything was done to it."""
    visibility, changes = STATES[state]
    data = samples.gif()
    if state == "failed":
        data = (
            samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
        )
    answer = owner.upload(data, title=mark, tags=[mark], visibility=visibility)
    image_id = answer.json()["id"]
    if state.startswith("processing"):
        image: Image = owner.image(image_id).json()
    else:
        image = owner.settled(image_id, "failed" if state == "failed" else "ready")
    for change in changes:
        if "delete" in change:
            assert owner.delete(image_id).status_code == 200
        elif "close" not in change:
            owner.updated(image_id, **change)
    return image


@pytest.mark.parametrize("state", sorted(PICTURED))
def test_links_that_were_handed_out_end_when_an_image_is_hidden(ada: ApiClient, state: str) -> None:
    image = _brought_into(state, ada, "mark")

    statuses = {
        requests.get(image[name]).status_code for name in ("url", "thumbnail_url", "preview_url")
    }
    assert statuses == {200} if state in FILES_STAY else statuses <= {403, 404}
    ada.download(ada.image(image["id"]).json()["url"])


def test_no_route_that_shows_images_is_missing_here() -> None:
    wanted = {
        (method, path, name)
        for (method, path), operation in OPERATIONS.items()
        if path.startswith("/image/")
        # What becomes an image is nobody's yet.
        and not path.startswith(("/image/upload_image", "/image/direct_upload"))
        for name in (
            "",
            *(each["name"] for each in operation["parameters"] if each["in"] == "query"),
        )
    }
    assert wanted == _asked
