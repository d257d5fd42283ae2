"""Who sees an image by which route, whatever its visibility and wherever it is in its life."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient, Image
from tests.e2e.conftest import NewClient

# What an image is when somebody looks: how it was uploaded, and what was done to it since.
STATES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "shared": ("shared", []),
    "private": ("private", []),
    "public": ("public", []),
    "public, then shared": ("public", [{"visibility": "shared"}]),
    "public, then hidden": ("public", [{"visibility": "private"}]),
    "public, in the trash": ("public", [{"trashed": True}]),
    "shared, then hidden": ("shared", [{"visibility": "private"}]),
    "private, then shared": ("private", [{"visibility": "shared"}]),
    "shared, in the trash": ("shared", [{"trashed": True}]),
    "private, in the trash": ("private", [{"trashed": True}]),
    "hidden in the trash": ("shared", [{"trashed": True}, {"visibility": "private"}]),
    "shared in the trash": ("private", [{"trashed": True}, {"visibility": "shared"}]),
    "shared, back from the trash": ("shared", [{"trashed": True}, {"trashed": False}]),
    "private, back from the trash": ("private", [{"trashed": True}, {"trashed": False}]),
    "shared, deleted": ("shared", [{"delete": True}]),
    "private, deleted": ("private", [{"delete": True}]),
    "deleted from the trash": ("shared", [{"trashed": True}, {"delete": True}]),
}
SHARED = {"shared", "private, then shared", "shared, back from the trash", "public, then shared"}
OTHERS_SEE = SHARED | {"public"}
TRASHED = {state for state in STATES if state.endswith("in the trash")}
DELETED = {state for state in STATES if "deleted" in state}
OWN = set(STATES) - DELETED
LISTED = OWN - TRASHED

Look = Callable[[ApiClient, Image, str], bool]


def _listed(**query: Any) -> Look:
    """The image is in this list; its id and its mark stand where the query has them."""

    def look(client: ApiClient, image: Image, mark: str) -> bool:
        filled = {
            name: str(value).format(id=image["id"], mark=mark, owner=image["user_id"])
            for name, value in query.items()
        }
        answer = client.images(**filled)
        assert answer.status_code == 200, answer.text
        return any(each["id"] == image["id"] for each in answer.json())

    return look


def _answers(method: str, path: str, **options: Any) -> Look:
    def look(client: ApiClient, image: Image, mark: str) -> bool:
        status = client.request(method, path.format(id=image["id"]), **options).status_code
        assert status in (200, 302, 404), status
        return status != 404

    return look


def _tagged(**query: str) -> Look:
    def look(client: ApiClient, image: Image, mark: str) -> bool:
        sent = {name: value.format(owner=image["user_id"]) for name, value in query.items()}
        tags: list[str] = []
        answer = client.get("/image/tags", params=sent)
        while True:
            tags += [each["tag"] for each in answer.json()]
            if "next" not in answer.links:
                return mark in tags
            answer = client.get(answer.links["next"]["url"])

    return look


def _batch(**request: Any) -> Look:
    def look(client: ApiClient, image: Image, mark: str) -> bool:
        sent = {"ids": [image["id"]], **request}
        (result,) = client.request("POST", "/image/batch", json=sent).json()["results"]
        assert result["status_code"] in (200, 404), result
        return bool(result["status_code"] == 200)

    return look


def _old_link(client: ApiClient, image: Image, mark: str) -> bool:
    """A signed URL that somebody kept from when the image was new."""
    return requests.get(image["url"], timeout=60).status_code == 200


# By route: what the owner gets, and what another user gets, in which states.
LOOKS: dict[str, tuple[Look, set[str], set[str]]] = {
    "the image": (_answers("GET", "/image/{id}"), OWN, OTHERS_SEE),
    "its history": (_answers("GET", "/image/{id}/history"), OWN, set()),
    "a rendition": (_answers("GET", "/image/{id}/rendition?width=64"), OWN, OTHERS_SEE),
    "its original": (_answers("GET", "/image/{id}/original"), OWN, set()),
    "the list": (_listed(), LISTED, OTHERS_SEE),
    "its ids": (_listed(ids="{id}"), LISTED, OTHERS_SEE),
    "its title": (_listed(title="{mark}"), LISTED, OTHERS_SEE),
    "its words": (_listed(q="{mark}"), LISTED, OTHERS_SEE),
    "its tag": (_listed(tag="{mark}"), LISTED, OTHERS_SEE),
    "its owner": (_listed(owner="{owner}"), LISTED, OTHERS_SEE),
    "its owner's title": (_listed(owner="{owner}", title="{mark}"), LISTED, OTHERS_SEE),
    "shared images": (_listed(visibility="shared"), SHARED, SHARED),
    "public images": (_listed(visibility="public"), {"public"}, {"public"}),
    "private images": (_listed(visibility="private"), LISTED - OTHERS_SEE, set()),
    "images that are ready": (_listed(status="ready"), LISTED, OTHERS_SEE),
    "its type": (_listed(content_type="image/gif"), LISTED, OTHERS_SEE),
    "images since long ago": (_listed(created_after="2001-01-01"), LISTED, OTHERS_SEE),
    "by title": (_listed(sort="title", q="{mark}"), LISTED, OTHERS_SEE),
    "by size": (_listed(sort="size", tag="{mark}"), LISTED, OTHERS_SEE),
    "by capture": (_listed(sort="-taken_at", q="{mark}"), LISTED, set()),
    "my own": (_listed(owner="me"), LISTED, set()),
    "my trash": (_listed(trashed="true"), TRASHED, set()),
    "my trash by words": (_listed(trashed="true", q="{mark}"), TRASHED, set()),
    "tags": (_tagged(), LISTED, OTHERS_SEE),
    "my tags": (_tagged(owner="me"), LISTED, set()),
    "its owner's tags": (_tagged(owner="{owner}"), LISTED, OTHERS_SEE),
    # These change it: they come last.
    "an update": (_answers("PUT", "/image/update/{id}", json={"title": "x"}), OWN, set()),
    "a batch of updates": (_batch(changes={"title": "x"}), OWN, set()),
    "a batch of deletions": (_batch(delete=True), OWN, set()),
    "a deletion": (_answers("DELETE", "/image/delete/{id}"), set(), set()),
}
# The objects of what was hidden have moved, and those of what was deleted are gone.
LINK_WORKS = {"shared", "private", "private, then shared", "public"}


@pytest.mark.parametrize("state", STATES)
def test_who_sees_an_image_by_which_route(
    new_user: NewClient, visitor: ApiClient, state: str
) -> None:
    ada, bob = new_user(), new_user()
    visibility, changes = STATES[state]
    mark = ada.username.removeprefix("user-")
    image = ada.uploaded(samples.gif(), title=mark, tags=[mark], visibility=visibility)
    for change in changes:
        if "delete" in change:
            assert ada.delete(image["id"]).status_code == 200
        else:
            ada.updated(image["id"], **change)

    seen = {
        (name, who): look(client, image, mark)
        # Who may do nothing comes first: it would change what the others see.
        for (name, (look, _, _)), (who, client) in product(
            LOOKS.items(), (("Bob", bob), ("Ada", ada))
        )
    }

    wanted = {
        **{(name, "Ada"): state in own for name, (_, own, _) in LOOKS.items()},
        **{(name, "Bob"): state in others for name, (_, _, others) in LOOKS.items()},
    }
    assert {key for key in seen if seen[key] != wanted[key]} == set()
    for path in (f"/image/{image['id']}", "/image/get_all_images", "/image/tags"):
        assert visitor.get(path).status_code == 401


@pytest.mark.parametrize("state", [state for state in STATES if "deleted" not in state])
def test_links_that_were_handed_out_end_when_an_image_is_hidden(ada: ApiClient, state: str) -> None:
    visibility, changes = STATES[state]
    image = ada.uploaded(samples.gif(), visibility=visibility)
    for change in changes:
        ada.updated(image["id"], **change)

    assert _old_link(ada, image, "") == (state in LINK_WORKS)
    ada.download(ada.image(image["id"]).json()["url"])


def test_no_route_that_shows_images_is_missing_here(visitor: ApiClient) -> None:
    paths = visitor.get("/openapi.json").json()["paths"]
    of_images = {path for path in paths if path.startswith("/image/")}
    uploads = {path for path in of_images if "upload" in path and "update" not in path}

    assert of_images - uploads == {
        *("/image/get_all_images", "/image/tags", "/image/batch", "/image/{image_id}"),
        *("/image/{image_id}/history", "/image/{image_id}/original"),
        "/image/{image_id}/rendition",
        *("/image/update/{image_id}", "/image/delete/{image_id}"),
    }
