"""The refresh token as a cookie: how it is set, and for whom it is read."""

from __future__ import annotations

from typing import Any

import pytest

from image_api import settings, wiring
from tests.application import LambdaContext, forget, load_function
from tests.fakes import FakeSessionRecords
from tests.proxy_events import body_of, header_of, proxy_event

HOST = "api.example.com"
ATTRIBUTES = ["HttpOnly", "Secure", "SameSite=Strict"]


class Client:
    """Of the function, with what is stored in memory; keeps its cookie as a browser does."""

    def __init__(self, records: FakeSessionRecords) -> None:
        self.records = records
        self.handler = load_function("session").lambda_handler
        self.cookie: str | None = None

    def begin(self) -> str:
        return str(wiring.sessions().begin(7, 0).refresh_token)

    def post(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        cookie = {"Cookie": f"a=b; {self.cookie}; c=d"} if self.cookie else {}
        event = proxy_event("POST", path, headers={**cookie, **(headers or {})}, **options)
        answer = self.handler(event, LambdaContext())
        if (sent := header_of(answer, "Set-Cookie")) is not None:
            self.cookie = sent.split("; ")[0]
        return answer


@pytest.fixture
def client(environment: pytest.MonkeyPatch) -> Client:
    forget()
    records = FakeSessionRecords()
    environment.setattr(wiring, "session_records", lambda: records)
    assert settings.tokens()
    return Client(records)


def test_a_token_moves_into_a_cookie_and_on_from_there(client: Client) -> None:
    sent = {"refresh_token": client.begin(), "cookie": True}
    moved = client.post("/auth/refresh", json_body=sent)

    assert body_of(moved).keys() == {"access_token", "token_type", "expires_in"}
    name, *attributes = str(header_of(moved, "Set-Cookie")).split("; ")
    assert name.startswith("refresh_token=")
    assert attributes == ["Max-Age=2592000", "Path=/auth", *ATTRIBUTES]

    first = client.cookie
    again = client.post("/auth/refresh", json_body={"cookie": True})
    assert again["statusCode"] == 200
    assert client.cookie != first


def test_its_path_has_the_stage_where_clients_see_that(client: Client) -> None:
    sent = {"refresh_token": client.begin(), "cookie": True}
    host = {"Host": "abc.execute-api.eu-west-1.amazonaws.com"}
    answer = client.post("/auth/refresh", host, json_body=sent)
    assert "; Path=/v1/auth; " in str(header_of(answer, "Set-Cookie"))


def test_signing_out_takes_the_cookie_back(client: Client) -> None:
    client.post("/auth/refresh", json_body={"refresh_token": client.begin(), "cookie": True})

    answer = client.post("/auth/logout", json_body={"cookie": True})

    assert body_of(answer) == {"detail": "Signed out"}
    assert str(header_of(answer, "Set-Cookie")).split("; ") == [
        *("refresh_token=", "Max-Age=0", "Path=/auth"),
        *ATTRIBUTES,
    ]
    assert client.records.families == {}
    # Nobody was signed in: the same answer, and no cookie to take.
    client.cookie = None
    again = client.post("/auth/logout", json_body={"cookie": True})
    assert (again["statusCode"], header_of(again, "Set-Cookie")) == (200, None)


@pytest.mark.parametrize(
    ("headers", "is_read"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": f"https://{HOST}"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://blog.example.com"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": f"https://{HOST}"}, False),
        ({"Origin": f"https://{HOST}"}, True),
        ({"Origin": f"https://{HOST}:8443"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, True),
    ],
)
def test_it_is_read_for_our_own_pages_alone(
    client: Client, headers: dict[str, str], is_read: bool
) -> None:
    client.post("/auth/refresh", json_body={"refresh_token": client.begin(), "cookie": True})

    refreshed = client.post("/auth/refresh", headers, json_body={"cookie": True})
    client.post("/auth/logout", headers, json_body={"cookie": True})

    assert refreshed["statusCode"] == (200 if is_read else 401)
    assert len(client.records.families) == (0 if is_read else 1)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", "cookie=true"),
        ("text/plain", '{"cookie": true}'),
    ],
)
def test_no_form_reads_it(client: Client, content_type: str, body: str) -> None:
    client.post("/auth/refresh", json_body={"refresh_token": client.begin(), "cookie": True})

    for path in ("/auth/refresh", "/auth/logout"):
        answer = client.post(path, body=body, content_type=content_type)
        assert answer["statusCode"] == 400

    assert len(client.records.families) == 1


def test_a_form_refreshes_with_the_token_in_it_and_with_nothing_that_is_not_known(
    client: Client,
) -> None:
    token, form = client.begin(), "application/x-www-form-urlencoded"
    for path in ("/auth/refresh", "/auth/logout"):
        refused = client.post(path, body=f"refresh_token={token}&tokn=x", content_type=form)
        assert refused["statusCode"] == 400
        assert [problem["field"] for problem in body_of(refused)["errors"]] == ["tokn"]

    answer = client.post("/auth/refresh", body=f"refresh_token={token}", content_type=form)
    assert answer["statusCode"] == 200
    assert len(body_of(answer)["refresh_token"]) == 64
