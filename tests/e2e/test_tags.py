"""GET /image/tags."""

from __future__ import annotations

from typing import Any

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages


def _tags(client: ApiClient, **query: Any) -> dict[str, int]:
    """Of all pages; the totals of a page come in order."""
    seen: list[tuple[str, int]] = []
    answer = client.get("/image/tags", params=query)
    while True:
        assert answer.status_code == 200, answer.text
        seen += [(each["tag"], each["images"]) for each in answer.json()]
        if "next" not in answer.links:
            break
        answer = client.get(answer.links["next"]["url"])
    assert [images for _, images in seen] == sorted((n for _, n in seen), reverse=True)
    assert len(dict(seen)) == len(seen)
    return dict(seen)


def test_tags_are_counted_for_whoever_may_see_the_images(ada: ApiClient, bob: ApiClient) -> None:
    mark = ada.username[-8:]
    shared = ada.uploaded(samples.gif(), tags=[f"{mark} a", f"{mark} B"])
    ada.uploaded(samples.gif(), tags=[f"{mark} A", f"{mark} secret"], visibility="private")

    def seen(client: ApiClient, **query: Any) -> dict[str, int]:
        tags = _tags(client, **query)
        return {tag.removeprefix(f"{mark} "): n for tag, n in tags.items() if tag.startswith(mark)}

    assert seen(ada) == seen(ada, owner="me", limit=1) == {"a": 2, "B": 1, "secret": 1}
    assert seen(bob) == seen(bob, owner=shared["user_id"]) == {"a": 1, "B": 1}
    assert seen(bob, owner="me") == {}

    ada.updated(shared["id"], tags=[f"{mark} new"])
    assert seen(bob) == {"new": 1}
    ada.updated(shared["id"], trashed=True)
    assert seen(bob) == {}
    assert seen(ada, owner="me") == {"A": 1, "secret": 1} or seen(ada) == {"a": 1, "secret": 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("owner", "you"), ("cursor", "x"), ("q", "x"), ("owner", "9" * 19)],
)
def test_what_breaks_a_rule_names_itself(ada: ApiClient, name: str, value: str) -> None:
    answer = ada.get("/image/tags", params={name: value})
    assert field_messages(answer).keys() == {name}


def test_tags_are_for_signed_in_users_only(visitor: ApiClient) -> None:
    assert visitor.get("/image/tags").status_code == 401
