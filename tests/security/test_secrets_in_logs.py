"""Nothing secret is logged, even where everything is."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests import samples
from tests.e2e.api_client import PASSWORD, ApiClient, Image
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually

TITLE = "the title of this walk"
OTHER_PASSWORD = "not this one, though!"


def _signatures(image: Image) -> set[str]:
    return {
        parse_qs(urlsplit(image[name]).query)["X-Amz-Signature"][0]
        for name in ("url", "thumbnail_url", "preview_url")
    }


def _walk(client: ApiClient) -> set[str]:
    """Everything a user does, and mistakes; the secrets that came up on the way."""
    secrets = {PASSWORD, OTHER_PASSWORD, quote(PASSWORD), quote(OTHER_PASSWORD)}
    for answer in (client.sign_in(), client.sign_in(password=OTHER_PASSWORD)):
        if answer.status_code == 200:
            client.token = answer.json()["access_token"]
            secrets |= {str(client.token), answer.json()["refresh_token"]}
            sent = {"refresh_token": answer.json()["refresh_token"]}
            for _ in range(2):
                refreshed = client.request("POST", "/auth/refresh", json=sent).json()
                secrets |= {refreshed["access_token"], refreshed["refresh_token"]}
            moved = {"refresh_token": refreshed["refresh_token"], "cookie": True}
            cookie = client.request("POST", "/auth/refresh", json=moved).headers["Set-Cookie"]
            secrets.add(cookie.partition("=")[2].partition(";")[0])
            client.request(
                *("POST", "/auth/logout"),
                json={"cookie": True},
                headers={"Cookie": cookie.partition(";")[0]},
            )
            change = {"current_password": OTHER_PASSWORD, "new_password": PASSWORD}
            client.request("PUT", "/auth/password", json=change)
    form = client.request(
        "POST", "/auth/login", data={"username": client.username, "password": PASSWORD}
    )
    secrets.add(form.json()["access_token"])
    client.request("POST", "/auth/login", data=f'{{"password": "{PASSWORD}"')
    client.register("x" * 65, PASSWORD)
    client.get("/image/get_all_images", headers={"Authorization": f"Bearer {client.token}x"})

    image = client.uploaded(samples.jpeg(exif=samples.exif()), title=TITLE, visibility="private")
    secrets |= _signatures(image)
    secrets |= _signatures(client.updated(int(image["id"]), resolution="20x20"))
    for listed in client.images(title=TITLE).json():
        secrets |= _signatures(listed)
    offer: dict[str, Any] = client.request("POST", "/image/direct_upload").json()
    secrets |= {offer["fields"]["x-amz-signature"], offer["fields"]["policy"]}
    client.upload(b"no picture", title=TITLE)
    client.upload(samples.jpeg()[:-200], title=TITLE)
    client.update(0, title=TITLE)
    client.get("/image/get_all_images", params={"cursor": client.token})
    assert client.delete(image["id"]).status_code == 200
    return {secret for secret in secrets if len(secret) > 8}


def _secrets_of(cloud: RunningCloud) -> set[str]:
    environment = cloud.environment
    passwords = {
        unquote(urlsplit(environment[name]).password or "")
        for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "RABBITMQ_URL", "RABBITMQ_ADMIN_URL")
    }
    keys = {environment["JWT_SECRET"], environment["AWS_SECRET_ACCESS_KEY"]}
    assert all(len(secret) > 3 for secret in passwords | keys)
    return passwords | keys


def test_no_secret_is_in_anything_that_the_cloud_prints(
    cloud: RunningCloud, ada: ApiClient, bucket: Any
) -> None:
    registered = str(ada.token)
    made = cloud.invoke("operate", {"action": "reset-password", "username": ada.username})
    change = {"current_password": made["password"], "new_password": PASSWORD}
    ada.token = ada.sign_in(password=made["password"]).json()["access_token"]
    assert ada.request("PUT", "/auth/password", json=change).status_code == 200
    ada.token = ada.sign_in().json()["access_token"]

    secrets = {registered, made["password"], *_walk(ada), *_secrets_of(cloud)}

    # The last thing done is done, and logged.
    def nothing_left() -> bool:
        return ada.images(owner="me", status="processing").headers["X-Total-Count"] == "0"

    eventually(nothing_left, "everything is processed")
    log = cloud.log()
    assert cloud.environment["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    assert '"kind": "application"' in log
    assert {secret for secret in secrets if secret in log} == set()


def test_no_token_or_signature_of_anybody_is_in_what_the_cloud_prints(
    cloud: RunningCloud, ada: ApiClient
) -> None:
    ada.uploaded(samples.gif())

    log = cloud.log()

    assert not re.search(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{10,}", log)
    assert not re.search(r"X-Amz-Signature=[0-9a-f]{16,}", log, re.IGNORECASE)
    assert "$argon2" not in log
    assert samples.CAMERA not in log
