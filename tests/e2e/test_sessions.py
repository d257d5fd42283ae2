"""POST /auth/refresh and /auth/logout."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from pg8000.native import Connection

from image_api.core.accounts.sessions import REPEAT_SECONDS
from tests.e2e.api_client import PASSWORD, ApiClient, field_messages
from tests.e2e.conftest import NewClient
from tests.waiting import eventually


def tokens_of(client: ApiClient) -> dict[str, Any]:
    answer = client.sign_in()
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def refresh(client: ApiClient, token: str) -> requests.Response:
    return client.request("POST", "/auth/refresh", json={"refresh_token": token})


def log_out(client: ApiClient, token: str) -> requests.Response:
    return client.request("POST", "/auth/logout", json={"refresh_token": token})


def cookie_of(answer: requests.Response) -> str:
    """As a browser sends it back; `requests` sends a Secure one over TLS alone."""
    return answer.headers["Set-Cookie"].split("; ")[0]


def test_a_refresh_token_gives_new_tokens_that_work(ada: ApiClient) -> None:
    first = tokens_of(ada)

    answer = refresh(ada, first["refresh_token"])

    assert answer.status_code == 200
    second = answer.json()
    assert second.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert second["refresh_token"] != first["refresh_token"]
    ada.token = second["access_token"]
    assert ada.images().status_code == 200
    assert refresh(ada, second["refresh_token"]).status_code == 200


def test_twenty_refreshes_at_once_give_one_successor(ada: ApiClient, new_client: NewClient) -> None:
    tabs = [new_client() for _ in range(20)]

    def look() -> list[requests.Response]:
        token = tokens_of(ada)["refresh_token"]
        began_at = time.monotonic()
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda tab: refresh(tab, token), tabs))
        # What comes later than this after the first is a stolen copy.
        return answers if time.monotonic() - began_at < REPEAT_SECONDS else []

    answers = eventually(look, "all have come in time")

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_a_used_token_that_comes_late_ends_the_whole_family(
    ada: ApiClient, database: Connection
) -> None:
    first = tokens_of(ada)["refresh_token"]
    second = refresh(ada, first).json()["refresh_token"]
    database.run("UPDATE used_refresh_tokens SET used_at = used_at - interval '31 seconds'")

    for token in (first, second):
        answer = refresh(ada, token)
        assert answer.status_code == 401
        assert answer.json()["code"] == "refresh_token_refused"


def test_a_refresh_token_is_good_for_thirty_days(ada: ApiClient, database: Connection) -> None:
    """Each of them: whoever comes in time goes on."""
    token = tokens_of(ada)["refresh_token"]
    for days, status in ((29, 200), (29, 200), (31, 401)):
        database.run(
            "UPDATE refresh_families SET expires_at = expires_at - make_interval(days => :days) "
            "WHERE user_id = (SELECT id FROM users WHERE username = :name)",
            days=days,
            name=ada.username,
        )
        answer = refresh(ada, token)
        assert answer.status_code == status
        token = answer.json().get("refresh_token")
    assert answer.json()["code"] == "refresh_token_refused"


@pytest.mark.parametrize("token", ["", "x", "A" * 64, "\u00e4" * 64, "A" * 1024])
def test_what_is_no_token_is_refused_like_one_that_is_good_no_longer(
    visitor: ApiClient, token: str
) -> None:
    answer = refresh(visitor, token)
    assert answer.status_code == 401
    assert answer.json()["code"] == "refresh_token_refused"
    assert log_out(visitor, token).status_code == 200


def test_an_access_token_refreshes_nothing_and_a_refresh_token_gives_no_access(
    ada: ApiClient,
) -> None:
    tokens = tokens_of(ada)
    assert refresh(ada, tokens["access_token"]).status_code == 401
    ada.token = tokens["refresh_token"]
    assert ada.images().status_code == 401


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_a_request_without_a_token_is_a_validation_error(visitor: ApiClient, path: str) -> None:
    assert field_messages(visitor.request("POST", path, json={}))
    assert field_messages(visitor.request("POST", path, json={"refresh_token": 7}))
    unknown = {"refresh_token": "x", "refreshToken": "x"}
    for options in ({"json": unknown}, {"data": unknown}):
        answer = visitor.request("POST", path, **options)
        assert field_messages(answer).keys() == {"refreshToken"}


def test_signing_out_ends_the_session_and_no_other(ada: ApiClient) -> None:
    here, elsewhere = tokens_of(ada), tokens_of(ada)

    answer = log_out(ada, here["refresh_token"])

    assert (answer.status_code, answer.json()) == (200, {"detail": "Signed out"})
    assert refresh(ada, here["refresh_token"]).status_code == 401
    assert log_out(ada, here["refresh_token"]).json() == answer.json()
    assert refresh(ada, elsewhere["refresh_token"]).status_code == 200


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register"])
def test_with_a_cookie_no_script_sees_the_refresh_token(new_client: NewClient, path: str) -> None:
    client = new_client()
    if path == "/auth/login":
        assert client.register().status_code == 200
    credentials = {"username": client.username, "password": PASSWORD, "cookie": True}
    answer = client.request("POST", path, json=credentials)

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    attributes = answer.headers["Set-Cookie"].split("; ")[1:]
    assert attributes == [
        *("Max-Age=2592000", "Path=/auth", "HttpOnly", "Secure", "SameSite=Strict"),
    ]

    session = {"Cookie": cookie_of(answer)}
    refreshed = client.request("POST", "/auth/refresh", json={"cookie": True}, headers=session)
    assert refreshed.status_code == 200
    assert "refresh_token" not in refreshed.json()
    assert cookie_of(refreshed) != cookie_of(answer)

    session = {"Cookie": cookie_of(refreshed)}
    foreign = {**session, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    client.request("POST", "/auth/logout", json={"cookie": True}, headers=foreign)
    ended = client.request("POST", "/auth/logout", json={"cookie": True}, headers=session)
    assert ended.headers["Set-Cookie"].startswith("refresh_token=; Max-Age=0; Path=/auth; ")
    again = client.request("POST", "/auth/refresh", json={"cookie": True}, headers=session)
    assert again.status_code == 401
