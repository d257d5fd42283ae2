"""POST /auth/register."""

from __future__ import annotations

import pytest
from pg8000.native import Connection

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
    "character",
    ["\u200b", "\u202e", "\u00ad", "\ufeff", "\u3164"],
    ids=lambda each: f"{ord(each):x}",
)
def test_a_username_has_nothing_that_nobody_sees(visitor: ApiClient, character: str) -> None:
    half = len(visitor.username) // 2
    name = visitor.username[:half] + character + visitor.username[half:]

    assert field_messages(visitor.register(name)).keys() == {"username"}


def test_a_name_is_taken_whatever_its_case_and_what_nobody_sees_of_it(
    ada: ApiClient, visitor: ApiClient, database: Connection
) -> None:
    assert field_messages(visitor.register(ada.username.upper())).keys() == {"username"}

    # As names were allowed to be before.
    odd = ada.username[:8] + "\u200d" + ada.username[8:]
    database.run(
        "UPDATE users SET username = :odd WHERE username = :name", odd=odd, name=ada.username
    )
    for name in (odd, ada.username):
        assert ada.sign_in(name).status_code == 200
        assert field_messages(visitor.register(name)).keys() == {"username"}


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
