"""Which tokens open the API, and which do not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from pg8000.native import Connection

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud

HOUR_SECONDS = 3600
_DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512", "RS256": "sha256"}


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _token(claims: dict[str, Any], secret: str, algorithm: str = "HS256") -> str:
    header = {"alg": algorithm, "typ": "JWT"}
    signed = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}"
    if algorithm not in _DIGESTS:
        return f"{signed}."
    signature = hmac.digest(secret.encode(), signed.encode(), _DIGESTS[algorithm])
    return f"{signed}.{_part(signature)}"


def _claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@pytest.fixture
def claims(ada: ApiClient) -> dict[str, Any]:
    """Those of a token that is good."""
    assert ada.token is not None
    return _claims_of(ada.token)


@pytest.fixture
def secret(cloud: RunningCloud) -> str:
    return cloud.environment["JWT_SECRET"]


def _status(client: ApiClient, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    client.token = None
    answer = client.get("/image/get_all_images", headers=headers)
    if answer.status_code != 200:
        assert answer.json().keys() == {"detail", "code"}
    return answer.status_code


def test_a_token_names_the_user_and_lasts_half_an_hour(claims: dict[str, Any]) -> None:
    assert claims["sub"].isdecimal()
    assert claims["exp"] - claims["iat"] == 30 * 60
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["iss"]


def test_a_token_made_with_the_secret_and_the_same_claims_is_good(
    ada: ApiClient, claims: dict[str, Any], secret: str
) -> None:
    assert _status(ada, f"Bearer {_token(claims, secret)}") == 200
    assert _status(ada, f"bearer {_token(claims, secret)}") == 200


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "HS512", "RS256"])
def test_a_token_of_another_algorithm_is_refused(
    ada: ApiClient, claims: dict[str, Any], secret: str, algorithm: str
) -> None:
    assert _status(ada, f"Bearer {_token(claims, secret, algorithm)}") == 401


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody-else"},
        {"iss": None},
        {"exp": -1},
        {"exp": None},
        {"iat": HOUR_SECONDS},
        {"iat": None},
        {"nbf": HOUR_SECONDS},
        {"sub": None},
        {"sub": "ada"},
        {"sub": "0"},
        {"sub": "-1"},
        {"sub": str(2**63)},
        {"sub": str(2**62)},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(
    ada: ApiClient, claims: dict[str, Any], secret: str, change: dict[str, Any]
) -> None:
    """Numbers are seconds from the present; None leaves the claim out."""
    forged = {**claims, "exp": int(time.time()) + 2 * HOUR_SECONDS}
    for name, value in change.items():
        forged.pop(name, None)
        if value is not None:
            forged[name] = int(time.time()) + value if isinstance(value, int) else value

    assert _status(ada, f"Bearer {_token(forged, secret)}") == 401


def test_a_token_signed_with_another_secret_is_refused(
    ada: ApiClient, claims: dict[str, Any]
) -> None:
    assert _status(ada, f"Bearer {_token(claims, hashlib.sha256(b'guess').hexdigest())}") == 401


def test_a_token_whose_claims_were_exchanged_is_refused(ada: ApiClient, bob: ApiClient) -> None:
    assert ada.token is not None and bob.token is not None
    header, _, signature = ada.token.split(".")
    forged = f"{header}.{bob.token.split('.')[1]}.{signature}"

    assert _status(ada, f"Bearer {forged}") == 401


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer ..",
        "Bearer nonsense",
        "Bearer a.b.c",
        "Bearer é",
        "Basic YWRhOmFkYQ==",
    ],
)
def test_what_is_no_bearer_token_is_refused(visitor: ApiClient, authorization: str | None) -> None:
    assert _status(visitor, authorization) == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/image/upload_image"),
        ("GET", "/image/get_all_images"),
        ("GET", "/image/1"),
        ("PUT", "/image/update/1"),
        ("DELETE", "/image/delete/1"),
    ],
)
def test_a_visitor_without_a_token_gets_401_before_anything_else_is_looked_at(
    visitor: ApiClient, method: str, path: str
) -> None:
    answer = visitor.request(method, path, data=b"{")

    assert answer.status_code == 401
    assert answer.json().keys() == {"detail", "code"}


def test_the_token_of_a_deleted_user_is_refused_everywhere(
    ada: ApiClient, claims: dict[str, Any], database: Connection
) -> None:
    database.run("DELETE FROM users WHERE id = :id", id=int(claims["sub"]))

    answers = [
        ada.upload(samples.gif()),
        ada.images(),
        ada.image(1),
        ada.update(1, title="mine"),
        ada.delete(1),
    ]

    assert [answer.status_code for answer in answers] == [401] * 5
