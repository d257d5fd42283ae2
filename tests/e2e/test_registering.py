"""POST /auth/register."""

from __future__ import annotations

import pytest

from tests.e2e.api_client import PASSWORD, ApiClient, field_messages
from tests.e2e.conftest import NewClient


def test_registering_answers_with_a_bearer_token_that_works(visitor: ApiClient) -> None:
    answer = visitor.register()

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"
    visitor.token = answer.json()["access_token"]
    assert visitor.images(owner="me").json() == []


@pytest.mark.parametrize(
    ("username", "message"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a" * 65, "at most 64"),
        ("line\nbreak", "control character"),
        ("nul\x00", "control character"),
    ],
)
def test_a_username_that_breaks_a_rule_is_refused_in_its_words(
    visitor: ApiClient, username: str, message: str
) -> None:
    answer = visitor.request(
        "POST", "/auth/register", json={"username": username, "password": PASSWORD}
    )

    assert message in field_messages(answer)["username"]


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "too short"),
        ("ab!", "too short"),
        ("a" * 50 + "!", "too long"),
        ("lettersandnumbers1", "at least one of !@#$%^&*()_+[]{}|;:',.<>/?"),
    ],
)
def test_a_password_that_breaks_a_rule_is_refused_in_its_words(
    visitor: ApiClient, password: str, message: str
) -> None:
    answer = visitor.register(password=password)

    assert field_messages(answer).keys() == {"password"}
    assert message in field_messages(answer)["password"]


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


def test_a_name_is_taken_regardless_of_case_and_of_spaces_around_it(
    new_client: NewClient,
) -> None:
    first = new_client()
    assert first.register(f"Straße {first.username}").status_code == 200

    for again in (
        f"Straße {first.username}",
        f"STRASSE {first.username.upper()}",
        f"  straße {first.username}\t",
    ):
        messages = field_messages(new_client().register(again))
        assert messages == {"username": "This name is taken; choose another one"}


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
