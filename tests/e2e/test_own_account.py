"""GET /auth/me and PUT /auth/password."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests import samples
from tests.e2e.api_client import PASSWORD, ApiClient, field_messages
from tests.e2e.conftest import NewClient
from tests.e2e.routes import OPERATIONS

NEW_PASSWORD = "difference!engine"
FOR_SIGNED_IN = {route for route, operation in OPERATIONS.items() if operation.get("security")}


def change_password(
    client: ApiClient, new: str = NEW_PASSWORD, current: str = PASSWORD, **more: Any
) -> requests.Response:
    return client.request(
        "PUT",
        "/auth/password",
        json={"current_password": current, "new_password": new, **more},
    )


def ask_everything(client: ApiClient, image_id: int) -> dict[tuple[str, str], requests.Response]:
    """By route, each request that is for who is signed in; all of them could be met."""
    options: dict[tuple[str, str], dict[str, Any]] = {
        ("PUT", "/auth/password"): {
            "json": {"current_password": PASSWORD, "new_password": "another!engine"}
        },
        ("POST", "/auth/delete_account"): {"json": {"password": PASSWORD}},
        ("POST", "/image/upload_image"): {"files": {"image": ("a.gif", samples.gif())}},
        ("POST", "/image/direct_upload/{upload_id}"): {"json": {}},
        ("PUT", "/image/update/{image_id}"): {"json": {"title": "too late"}},
        ("POST", "/image/batch"): {"json": {"ids": [image_id], "changes": {"title": "too late"}}},
    }
    return {
        (method, path): client.request(
            method,
            path.format(image_id=image_id, upload_id="0" * 32),
            **options.get((method, path), {}),
        )
        for method, path in sorted(FOR_SIGNED_IN)
    }


def test_an_account_is_shown_to_who_is_signed_in(ada: ApiClient) -> None:
    before = ada.get("/auth/me").json()
    image = ada.uploaded(samples.gif())

    answer = ada.get("/auth/me")

    assert answer.status_code == 200
    me = answer.json()
    assert me.keys() == {"id", "username", "created_at", "usage", "limits"}
    assert (me["id"], me["username"]) == (image["user_id"], ada.username)
    assert me["created_at"] == before["created_at"] <= image["created_at"]
    assert before["usage"] == {"images": 0, "bytes": 0}
    assert me["usage"]["images"] == 1
    assert me["usage"]["bytes"] >= image["size"]
    assert me["limits"]["images"] == 100_000
    assert me["limits"]["bytes"] == 50_000_000_000


def test_an_account_is_shown_to_nobody_else(visitor: ApiClient) -> None:
    answer = visitor.get("/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_a_changed_password_signs_in_and_the_one_before_does_not(ada: ApiClient) -> None:
    answer = change_password(ada)

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    ada.token = answer.json()["access_token"]
    assert ada.images().status_code == 200
    assert ada.sign_in().status_code == 401
    assert ada.sign_in(password=NEW_PASSWORD).status_code == 200


def test_a_changed_password_signs_everybody_else_out_at_once(
    ada: ApiClient, new_client: NewClient
) -> None:
    image = ada.uploaded(samples.gif())
    elsewhere = new_client()
    elsewhere.username = ada.username
    tokens = elsewhere.sign_in().json()
    elsewhere.token = tokens["access_token"]
    assert elsewhere.images().status_code == 200

    ada.token = change_password(ada).json()["access_token"]

    answers = ask_everything(elsewhere, image["id"])
    assert {route: answer.status_code for route, answer in answers.items()} == dict.fromkeys(
        FOR_SIGNED_IN, 401
    )
    elsewhere.token = None
    refreshed = elsewhere.request(
        "POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    assert refreshed.status_code == 401
    # Nothing that was asked for has happened.
    after = ada.image(image["id"]).json()
    for name in ("title", "status", "updated_at"):
        assert after[name] == image[name]
    assert len(ada.images(owner="me").json()) == 1


def test_a_password_is_changed_by_who_knows_it_alone(ada: ApiClient) -> None:
    answer = change_password(ada, current="not this one!")

    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")
    assert ada.images().status_code == 200
    assert ada.sign_in().status_code == 200


def test_after_five_guesses_at_it_the_sixth_has_to_wait(ada: ApiClient) -> None:
    guesses = [change_password(ada, current="not this one!") for _ in range(6)]

    assert [answer.status_code for answer in guesses] == [401] * 5 + [429]
    assert 0 < int(guesses[-1].headers["Retry-After"]) <= 60
    assert change_password(ada).status_code == 429


@pytest.mark.parametrize("new", ["a!", "a" * 50 + "!", "nothing special"])
def test_a_new_password_keeps_the_rules(ada: ApiClient, new: str) -> None:
    assert field_messages(change_password(ada, new)).keys() == {"new_password"}


def test_a_password_is_not_changed_for_who_is_not_signed_in(visitor: ApiClient) -> None:
    assert change_password(visitor).status_code == 401


def test_the_refresh_token_comes_as_a_cookie_where_that_is_asked_for(ada: ApiClient) -> None:
    answer = change_password(ada, cookie=True)
    assert "refresh_token" not in answer.json()
    session = {"Cookie": answer.headers["Set-Cookie"].split("; ")[0]}
    refreshed = ada.request("POST", "/auth/refresh", json={"cookie": True}, headers=session)
    assert refreshed.status_code == 200
