"""POST /auth/login."""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from pg8000.native import Connection

from tests.e2e.api_client import PASSWORD, ApiClient, field_messages
from tests.e2e.conftest import NewClient
from tests.e2e.running_cloud import RunningCloud

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café!") for form in ("NFC", "NFD"))


def test_signing_in_with_json_gives_a_token_that_works(ada: ApiClient) -> None:
    answer = ada.sign_in()

    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json()["expires_in"] == 30 * 60
    assert answer.json()["token_type"] == "bearer"
    ada.token = answer.json()["access_token"]
    assert ada.images().status_code == 200


def test_signing_in_with_the_oauth2_form_gives_a_token_that_works(ada: ApiClient) -> None:
    answer = ada.request(
        "POST",
        "/auth/login",
        data={"grant_type": "password", "username": ada.username, "password": PASSWORD},
    )

    assert answer.status_code == 200
    ada.token = answer.json()["access_token"]
    assert ada.images().status_code == 200


def test_the_oauth2_form_may_have_whatever_else_clients_send(ada: ApiClient) -> None:
    """RFC 6749, 3.2: parameters that are not known are ignored."""
    form = {"username": ada.username, "password": PASSWORD, "client_id": "", "nonsense": "1"}
    assert ada.request("POST", "/auth/login", data=form).status_code == 200
    assert field_messages(ada.request("POST", "/auth/login", json=form)).keys() == {
        *("client_id", "nonsense")
    }


def test_a_form_that_is_not_utf_8_is_refused_and_not_repaired(visitor: ApiClient) -> None:
    answer = visitor.request(
        "POST",
        "/auth/login",
        data=b"username=Jos%E9&password=x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert field_messages(answer) == {"body": "The body is not UTF-8"}


def test_the_name_may_be_typed_in_another_case(ada: ApiClient) -> None:
    assert ada.sign_in(f" {ada.username.upper()} ").status_code == 200


def test_an_unknown_name_and_a_wrong_password_get_the_same_answer(
    ada: ApiClient, visitor: ApiClient
) -> None:
    wrong_password = ada.sign_in(password="not this one!")
    unknown_name = visitor.sign_in()

    assert wrong_password.status_code == unknown_name.status_code == 401
    assert wrong_password.json() == unknown_name.json()
    assert wrong_password.json().keys() == {"detail", "code"}


def test_a_password_is_compared_to_its_last_character(new_client: NewClient) -> None:
    client = new_client()
    password = "ü" * 48 + "!"
    assert client.register(password=password).status_code == 200

    assert client.sign_in(password=password + "x").status_code == 401
    assert client.sign_in(password=password).status_code == 200


def test_a_password_is_the_same_however_its_characters_are_composed(
    new_client: NewClient,
) -> None:
    for registered, typed in ((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)):
        client = new_client()
        assert client.register(password=registered).status_code == 200
        assert client.sign_in(password=typed).status_code == 200
        assert client.sign_in(password="cafe!").status_code == 401


def test_a_password_from_before_is_good_as_it_was_typed(
    ada: ApiClient, database: Connection
) -> None:
    database.run(
        "UPDATE users SET password_hash = :hash WHERE username = :name",
        hash=PasswordHasher().hash(DECOMPOSED),
        name=ada.username,
    )
    typed = (COMPOSED, DECOMPOSED, COMPOSED)
    # Once it was right it is kept like all others.
    assert [ada.sign_in(password=each).status_code for each in typed] == [401, 200, 200]


def test_who_knows_the_password_of_a_locked_account_is_told_and_nobody_else(
    cloud: RunningCloud, ada: ApiClient, visitor: ApiClient
) -> None:
    cloud.invoke("operate", {"action": "lock-account", "username": ada.username})

    assert ada.images().status_code == 401
    answer = ada.sign_in()
    assert (answer.status_code, answer.json()["code"]) == (403, "account_locked")
    answer = visitor.sign_in(ada.username, "not this one!")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")

    cloud.invoke("operate", {"action": "unlock-account", "username": ada.username})
    assert ada.sign_in().status_code == 200


def test_after_five_failures_a_name_has_to_wait_where_they_came_from(
    ada: ApiClient, new_client: NewClient
) -> None:
    for _ in range(5):
        assert ada.sign_in(password="not this one!").status_code == 401

    answer = ada.sign_in()

    assert answer.status_code == 429
    assert answer.json()["code"] == "too_many_attempts"
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["Retry-After"] in answer.json()["detail"]


def test_nobody_is_locked_out_by_somebody_elses_guesses(
    ada: ApiClient, new_client: NewClient
) -> None:
    stranger = new_client()
    answers = [stranger.sign_in(ada.username, "not this one!").status_code for _ in range(12)]
    assert answers == [401] * 5 + [429] * 7

    assert new_client().sign_in(ada.username).status_code == 200
    assert ada.sign_in().status_code == 200


def test_after_five_failures_an_address_has_to_wait_whatever_name_it_tries(
    ada: ApiClient, new_client: NewClient
) -> None:
    for _ in range(5):
        assert ada.sign_in(new_client().username).status_code == 401

    assert ada.sign_in().status_code == 429
    assert new_client().sign_in(ada.username).status_code == 200


def test_a_success_forgets_the_failures_before_it(ada: ApiClient) -> None:
    for _ in range(2):
        for _ in range(4):
            assert ada.sign_in(password="not this one!").status_code == 401
        assert ada.sign_in().status_code == 200


def test_a_body_without_credentials_is_a_validation_error(visitor: ApiClient) -> None:
    by_json = visitor.request("POST", "/auth/login", json={"username": "ada"})
    by_form = visitor.request("POST", "/auth/login", data={"password": PASSWORD})

    assert field_messages(by_json) == {"password": "This field is required"}
    assert field_messages(by_form) == {"username": "This field is required"}
