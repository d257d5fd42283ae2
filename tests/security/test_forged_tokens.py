"""Tokens that somebody else made: guessed keys, odd algorithms and claims, broken encodings."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import pytest

from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud


def part(data: object) -> str:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def signed(header: object, claims: object, secret: bytes) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"


def decoded(token: str, index: int) -> Any:
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@pytest.fixture
def secret(cloud: RunningCloud) -> bytes:
    return cloud.environment["JWT_SECRET"].encode()


@pytest.fixture
def claims(ada: ApiClient) -> Any:
    return decoded(str(ada.token), 1)


def assert_refused(client: ApiClient, token: str) -> None:
    answers = [
        client.get("/image/get_all_images", headers={"Authorization": f"Bearer {token}"}),
        client.request("DELETE", "/image/delete/1", headers={"Authorization": f"Bearer {token}"}),
    ]
    for answer in answers:
        assert answer.status_code == 401, answer.text
        assert answer.json().keys() == {"detail", "code"}


def test_these_forgeries_would_be_good_with_the_secret(
    visitor: ApiClient, secret: bytes, claims: Any
) -> None:
    token = signed({"alg": "HS256", "typ": "JWT"}, claims, secret)
    answer = visitor.get("/image/get_all_images", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("key", [b"", b"secret", b"\0" * 32, b"HS256", b"changeme" * 4])
def test_a_guessed_or_empty_key_is_refused(visitor: ApiClient, claims: Any, key: bytes) -> None:
    assert_refused(visitor, signed({"alg": "HS256", "typ": "JWT"}, claims, key))


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "oct", "k": part(b"mine")}},
        {"jku": "http://127.0.0.1:1/keys.json"},
        {"x5u": "http://127.0.0.1:1/certificate.pem"},
        {"x5c": ["bWluZQ=="]},
        {"kid": "../../dev/null"},
        {"kid": "' UNION SELECT 'mine"},
        {"kid": ["mine"]},
        {"kid": None},
        {"kid": ""},
    ],
    ids=lambda extra: str(next(iter(extra.items()))),
)
def test_a_key_that_the_token_itself_names_is_not_believed(
    visitor: ApiClient, claims: Any, extra: dict[str, Any]
) -> None:
    for key in (b"mine", b""):
        assert_refused(visitor, signed({"alg": "HS256", "typ": "JWT", **extra}, claims, key))


@pytest.mark.parametrize("algorithm", ["NONE", "nOnE", "", None, "hs256", "ES256", "PS256", 256])
def test_an_odd_algorithm_is_refused_signed_or_not(
    visitor: ApiClient, claims: Any, secret: bytes, algorithm: object
) -> None:
    token = signed({"alg": algorithm, "typ": "JWT"}, claims, secret)
    assert_refused(visitor, token)
    assert_refused(visitor, token.rpartition(".")[0] + ".")
    assert_refused(visitor, token.rpartition(".")[0])


def test_an_extension_that_must_be_understood_is_not_passed_over(
    visitor: ApiClient, claims: Any, secret: bytes
) -> None:
    assert_refused(visitor, signed({"alg": "HS256", "crit": ["x"], "x": 1}, claims, secret))


def test_a_token_without_its_header_is_refused(
    visitor: ApiClient, claims: Any, secret: bytes
) -> None:
    headers: tuple[object, ...] = (
        {},
        [],
        "HS256",
        None,
        b"",
        b"\xff{",
        b"{",
        b"[" * 5000,
        b"1" * 5000,
    )
    for header in headers:
        assert_refused(visitor, signed(header, claims, secret))


def test_claims_that_are_no_claims_are_refused(visitor: ApiClient, secret: bytes) -> None:
    header = {"alg": "HS256", "typ": "JWT"}
    odd: tuple[object, ...] = ({}, [], "1", 1, None, b"", b"\xff", b"{", b"[" * 5000)
    for claims in odd:
        assert_refused(visitor, signed(header, claims, secret))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", 0),
        ("exp", "tomorrow"),
        ("exp", True),
        ("exp", []),
        ("iat", "yesterday"),
        ("iat", {}),
        ("iat", 2**33),
        ("nbf", 2**33),
        ("sub", 1),
        ("sub", "-1"),
        ("sub", str(2**62)),
        ("sub", str(2**63)),
        ("sub", ["1"]),
        ("sub", ""),
        ("sub", "1.0"),
        ("sub", "\u0661"),
        ("sub", " 1"),
        ("sub", "1 OR 1=1"),
        ("sub", "9" * 5000),
        ("iss", ["image-management-api", "somebody-else"]),
        ("iss", ""),
        ("iss", "somebody-else"),
        ("aud", "somebody-else"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_claim_of_the_wrong_kind_is_refused(
    visitor: ApiClient, claims: Any, secret: bytes, claim: str, value: object
) -> None:
    forged = {**claims, "exp": int(time.time()) + 600, claim: value}
    assert_refused(visitor, signed({"alg": "HS256", "typ": "JWT"}, forged, secret))


def test_every_changed_character_of_the_signature_is_noticed(
    visitor: ApiClient, ada: ApiClient
) -> None:
    text, _, signature = str(ada.token).rpartition(".")
    for index in (0, 1, len(signature) // 2, len(signature) - 2):
        other = "A" if signature[index] != "A" else "B"
        assert_refused(visitor, f"{text}.{signature[:index]}{other}{signature[index + 1 :]}")
    for cut in (signature[:-4], signature[:10], ""):
        assert_refused(visitor, f"{text}.{cut}")


def test_the_token_is_taken_from_nowhere_but_its_header(ada: ApiClient) -> None:
    token, ada.token = ada.token, None
    answers = [
        ada.get("/image/get_all_images", params={"access_token": token, "token": token}),
        ada.get("/image/get_all_images", headers={"Cookie": f"access_token={token}"}),
        ada.get("/image/get_all_images", headers={"X-Authorization": f"Bearer {token}"}),
        ada.get("/image/get_all_images", headers={"Authorization": f"{token}"}),
        ada.get("/image/get_all_images", headers={"Authorization": f"Token {token}"}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 5
