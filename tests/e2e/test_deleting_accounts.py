"""POST /auth/delete_account."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from pg8000.native import Connection

from tests import samples
from tests.application import ROOT
from tests.e2e.api_client import PASSWORD, ApiClient, field_messages
from tests.e2e.conftest import NewClient
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.e2e.test_own_account import FOR_SIGNED_IN, ask_everything
from tests.waiting import eventually

MINUTE = json.loads((ROOT / "events" / "relay.json").read_bytes())


def delete_account(client: ApiClient, password: str = PASSWORD) -> requests.Response:
    return client.request("POST", "/auth/delete_account", json={"password": password})


def id_of(client: ApiClient) -> int:
    return int(client.get("/auth/me").json()["id"])


def wait_until_gone(cloud: RunningCloud, database: Connection, user_id: int) -> None:
    """The relay comes every minute; here it comes whenever somebody looks."""

    def look() -> bool:
        cloud.invoke("relay", MINUTE)
        return not database.run(
            "SELECT FROM closed_accounts WHERE user_id = :user_id", user_id=user_id
        )

    eventually(look, "nothing is left of the account")


def test_a_deleted_account_is_gone_at_once_and_its_files_follow(
    cloud: RunningCloud,
    ada: ApiClient,
    bob: ApiClient,
    new_client: NewClient,
    bucket: Any,
    database: Connection,
    processing: Processing,
) -> None:
    user_id = id_of(ada)
    tokens = ada.sign_in().json()
    images = [ada.uploaded(samples.gif()), ada.uploaded(samples.png(), visibility="private")]
    total = int(bob.images().headers["X-Total-Count"])
    folders = ["/".join(image["file_path"].split("/")[:2]) for image in images]

    with processing.held():
        answer = delete_account(ada)

        assert answer.status_code == 200
        assert answer.json() == {"detail": "The account is deleted; its files follow"}
        assert images[0]["id"] not in [image["id"] for image in bob.images().json()]
        assert int(bob.images().headers["X-Total-Count"]) == total - 1
        assert bob.images(title="photo", owner="me").json() == []
        for image in images:
            assert bob.image(image["id"]).status_code == 404
        answers = ask_everything(ada, images[0]["id"])
        assert {route: answer.status_code for route, answer in answers.items()} == dict.fromkeys(
            FOR_SIGNED_IN, 401
        )
        sent = {"refresh_token": tokens["refresh_token"]}
        assert ada.request("POST", "/auth/refresh", json=sent).status_code == 401
        assert ada.sign_in().status_code == 401

    again = new_client()
    again.username = ada.username
    again.sign_up()
    assert again.images(owner="me").json() == []
    assert again.get("/auth/me").json()["usage"] == {"images": 0, "bytes": 0}

    wait_until_gone(cloud, database, user_id)
    for folder in folders:
        assert not list(bucket.objects.filter(Prefix=folder))
    assert not database.run("SELECT FROM images WHERE user_id = :id", id=user_id)
    assert database.run("SELECT DISTINCT type FROM changes WHERE user_id = :id", id=user_id) == [
        ["image.delete.requested"]
    ]
    assert again.get("/auth/me").status_code == 200


def test_uploads_under_way_do_not_outlive_the_account(
    cloud: RunningCloud, ada: ApiClient, new_client: NewClient, bucket: Any, database: Connection
) -> None:
    user_id = id_of(ada)
    several = [new_client() for _ in range(4)]
    for client in several:
        client.token = ada.token
    accepted: list[int] = []

    def upload(client: ApiClient) -> None:
        while (answer := client.upload(samples.gif())).status_code == 200:
            accepted.append(answer.json()["id"])
        assert answer.status_code == 401, answer.text

    with ThreadPoolExecutor(4) as threads:
        uploading = [threads.submit(upload, client) for client in several]
        eventually(lambda: len(accepted) >= 8, "uploads are under way")
        assert delete_account(ada).status_code == 200
        for future in uploading:
            future.result()

    folders = {
        key.rpartition("/")[0]
        for (key,) in database.run(
            "SELECT original_key FROM images WHERE user_id = :id", id=user_id
        )
    }
    wait_until_gone(cloud, database, user_id)
    assert not database.run("SELECT FROM images WHERE user_id = :id", id=user_id)
    for folder in folders:
        assert not list(bucket.objects.filter(Prefix=f"{folder}/"))


def test_an_account_without_images_goes_too(
    cloud: RunningCloud, ada: ApiClient, database: Connection
) -> None:
    user_id = id_of(ada)
    assert delete_account(ada).status_code == 200
    wait_until_gone(cloud, database, user_id)
    ((left,),) = database.run(
        "SELECT u::text FROM users AS u WHERE u.id = :user_id", user_id=user_id
    )
    assert ada.username not in left
    assert "argon2" not in left


def test_an_account_is_deleted_by_who_knows_its_password_alone(ada: ApiClient) -> None:
    guesses = [delete_account(ada, "not this one!") for _ in range(6)]

    assert [answer.status_code for answer in guesses] == [401] * 5 + [429]
    assert guesses[0].json()["code"] == "wrong_credentials"
    assert 0 < int(guesses[-1].headers["Retry-After"]) <= 60
    assert ada.images().status_code == 200


def test_an_account_is_not_deleted_for_who_is_not_signed_in(visitor: ApiClient) -> None:
    answer = delete_account(visitor)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("body", [{}, {"password": 7}, {"password": None}])
def test_the_password_has_to_be_sent(ada: ApiClient, body: dict[str, object]) -> None:
    answer = ada.request("POST", "/auth/delete_account", json=body)
    assert field_messages(answer).keys() == {"password"}
