"""POST /auth/register."""

from __future__ import annotations

import pytest

from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.conftest import NewClient


def test_registering_answers_with_a_bearer_token_that_works(visitor: ApiClient) -> None:
    answer = visitor.register()

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json()["expires_in"] == 30 * 60
    assert answer.json()["token_type"] == "bearer"
    visitor.token = answer.json()["access_token"]
    assert visitor.images(owner="me").json() == []


@pytest.mark.parametrize("password", ["abc!", "a" * 49 + "!", *"!@#$%^&*()_+[]{}|;:',.<>/?"])
def test_a_password_at_the_bounds_of_the_rules_is_taken(
    new_client: NewClient, password: str
) -> None:
    client = new_client()
    password = password.ljust(4, "a")

    assert client.register(password=password).status_code == 200
    assert client.sign_in(password=password).status_code == 200


def test_a_username_of_64_characters_is_taken_and_trimmed(visitor: ApiClient) -> None:
    name = visitor.username.ljust(64, "é")

    assert visitor.register(f"  {name} ").status_code == 200
    assert visitor.sign_in(name).status_code == 200


def test_every_broken_rule_is_named_at_once(visitor: ApiClient) -> None:
    answer = visitor.request("POST", "/auth/register", json={"username": " ", "password": "a"})

    assert field_messages(answer).keys() == {"username", "password"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"ada"', b"null", b'{"username": 7, "password": ["!"]}', b"\xff\xfe"],
)
def test_a_body_that_is_no_registration_is_a_validation_error(
    visitor: ApiClient, body: bytes
) -> None:
    answer = visitor.request(
        "POST", "/auth/register", data=body, headers={"Content-Type": "application/json"}
    )

    assert field_messages(answer)
