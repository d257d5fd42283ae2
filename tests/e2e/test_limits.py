"""What an account may have and do: how it is refused what is beyond, and when to return."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import requests
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient


def _profile(client: ApiClient) -> dict[str, Any]:
    profile: dict[str, Any] = client.get("/auth/me").json()
    return profile


def _has_used(database: Connection, client: ApiClient, column: str, number: int) -> None:
    """As if the account had done so much."""
    user_id = _profile(client)["id"]
    database.run(
        f"UPDATE account_usage SET {column} = :number WHERE user_id = :user_id",
        number=number,
        user_id=user_id,
    )


def _sent(client: ApiClient) -> str:
    """The id of a direct upload whose file waits in the storage."""
    offer = client.request("POST", "/image/direct_upload").json()
    sent = requests.post(offer["url"], data=offer["fields"], files={"file": samples.gif()})
    assert sent.status_code == 204, sent.text
    return str(offer["upload_id"])


def _completed(client: ApiClient, upload_id: str) -> requests.Response:
    return client.request("POST", f"/image/direct_upload/{upload_id}")


def _refused(answer: requests.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 429:
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("column", ["images", "bytes"])
def test_who_stores_what_they_may_uploads_nothing_more(
    ada: ApiClient, database: Connection, column: str
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    sent = _sent(ada)
    limit = _profile(ada)["limits"][column]
    _has_used(database, ada, column, limit)

    _refused(ada.upload(samples.gif()), 403, "quota_exceeded")
    _refused(ada.request("POST", "/image/direct_upload"), 403, "quota_exceeded")
    _refused(_completed(ada, sent), 403, "quota_exceeded")
    assert _profile(ada)["usage"][column] == limit
    # What is there can still be changed, and makes room.
    ada.updated(image_id, title="still mine")
    assert ada.delete(image_id).status_code == 200


def test_who_has_too_much_under_way_is_told_when_to_return(
    ada: ApiClient, database: Connection
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    sent = _sent(ada)
    limit = _profile(ada)["limits"]["unfinished_changes"]
    _has_used(database, ada, "unfinished_changes", limit)

    _refused(ada.upload(samples.gif()), 429, "too_much_under_way")
    _refused(_completed(ada, sent), 429, "too_much_under_way")
    _refused(ada.update(image_id, title="too much"), 429, "too_much_under_way")
    batch = ada.request(
        "POST", "/image/batch", json={"ids": [image_id], "changes": {"title": "too much"}}
    )
    (result,) = batch.json()["results"]
    assert (batch.status_code, result["status_code"], result["code"]) == (
        *(200, 429, "too_much_under_way"),
    )
    # What is deleted is work that makes room.
    assert ada.delete(image_id).status_code == 200


def test_who_stores_as_many_bytes_as_they_may_has_no_image_made_in_another_size(
    ada: ApiClient, database: Connection
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    _has_used(database, ada, "bytes", _profile(ada)["limits"]["bytes"])

    _refused(ada.update(image_id, resolution="20x20"), 403, "quota_exceeded")
    batch = ada.request(
        "POST", "/image/batch", json={"ids": [image_id], "changes": {"resolution": "20x20"}}
    )
    (result,) = batch.json()["results"]
    assert (result["status_code"], result["code"]) == (403, "quota_exceeded")
    assert ada.image(image_id).json()["version"] == 1


def test_where_there_is_room_for_some_of_many_the_first_are_accepted(
    ada: ApiClient, database: Connection
) -> None:
    ids = [ada.uploaded(samples.gif())["id"] for _ in range(3)]
    limit = _profile(ada)["limits"]["unfinished_changes"]
    _has_used(database, ada, "unfinished_changes", limit - 2)

    order = [ids[2], ids[0], ids[1]]
    batch = ada.request("POST", "/image/batch", json={"ids": order, "changes": {"title": "x"}})

    assert [(each["id"], each["code"]) for each in batch.json()["results"]] == [
        *((ids[2], "accepted"), (ids[0], "accepted"), (ids[1], "too_much_under_way")),
    ]


def test_only_so_many_direct_uploads_are_open_at_a_time(ada: ApiClient) -> None:
    limit = _profile(ada)["limits"]["open_direct_uploads"]
    offers = [ada.request("POST", "/image/direct_upload") for _ in range(limit + 1)]

    assert [offer.status_code for offer in offers[:-1]] == [200] * limit
    _refused(offers[-1], 429, "too_much_under_way")


def test_new_renditions_are_counted_by_account_and_by_address(
    ada: ApiClient, visitor: ApiClient, database: Connection
) -> None:
    image = ada.uploaded(samples.png(samples.photo(400, 300)))
    profile = _profile(ada)
    link = image["rendition_url"]
    ways = {
        f"user {profile['id']}": (ada, f"/image/{image['id']}/rendition?format=png"),
        f"address {visitor.address}": (visitor, f"{link}&format=webp"),
    }
    for who, (client, path) in ways.items():
        assert client.rendition(f"{path}&width=64").status_code == 302
        database.run(
            "UPDATE new_renditions SET begun = :limit, window_started_at = now() WHERE key = :key",
            limit=profile["limits"]["new_renditions_per_minute"],
            key=hashlib.sha256(who.encode()).digest(),
        )
        _refused(client.get(f"{path}&width=128"), 429, "too_many_renditions")
        # One that is there is none that is made.
        assert client.rendition(f"{path}&width=64").status_code == 302


def test_counting_and_reading_end_where_they_would_cost_too_much(
    ada: ApiClient, database: Connection
) -> None:
    user_id = _profile(ada)["id"]
    database.run(
        "INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, "
        "size_bytes, width, height, status, applied_sequence, rendered_at) "
        "SELECT :user_id::bigint, 'many', 'private', k.key, k.key, 'image/gif', n, 1, 1, "
        "CASE WHEN n > 20000 THEN 'ready' ELSE 'failed' END, 1, now() "
        "FROM generate_series(1, 20001) AS n, "
        "LATERAL (SELECT 'many/' || :user_id::bigint || '/' || n) AS k (key)",
        user_id=user_id,
    )
    try:
        totals = {}
        for name, query in (("all", {"owner": "me"}), ("some", {"owner": "me", "q": "many"})):
            headers = ada.images(limit=1, **query).headers
            totals[name] = headers["X-Total-Count"], headers.get("X-Total-Count-Relation")
        # No index has those that are ready in the order of their sizes: the only one is the last.
        pages = [ada.images(owner="me", status="ready", sort="size")]
        pages.append(ada.get(pages[0].links["next"]["url"]))
    finally:
        database.run("DELETE FROM images WHERE user_id = :user_id", user_id=user_id)

    assert totals == {"all": ("20001", None), "some": ("10000", "at-least")}
    assert [[image["size"] for image in page.json()] for page in pages] == [[], [20001]]
    assert [page.headers["X-Total-Count"] for page in pages] == ["1", "1"]
    assert "next" not in pages[1].links
