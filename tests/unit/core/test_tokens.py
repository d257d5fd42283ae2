"""Which tokens are good."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_api import settings, wiring
from image_api.core.accounts import tokens
from image_api.core.accounts.tokens import AccessClaims, TokenSigner
from image_api.errors import ConfigurationError, Unauthenticated
from tests import application

SECRET = application.ENVIRONMENT["JWT_SECRET"]
OTHER_SECRET = "another secret of more than thirty-two bytes"
SIGNER = TokenSigner(SECRET, None, 30 * 60)


def wired() -> TokenSigner:
    """As the settings have it now."""
    wiring.token_signer.cache_clear()
    return wiring.token_signer()


def claims(**changed: object) -> dict[str, Any]:
    now = int(time.time())
    good = {"sub": "7", "iss": tokens.ISSUER, "iat": now, "exp": now + 60}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(secret: str = SECRET, algorithm: str = "HS256", **changed: object) -> str:
    return jwt.encode(claims(**changed), secret, algorithm=algorithm)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def refused(token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        SIGNER.verify(f"Bearer {token}")
    return caught.value.detail


def test_an_issued_token_is_good_and_says_who_it_is() -> None:
    assert SIGNER.verify(f"Bearer {SIGNER.issue(7, 3)}") == AccessClaims(7, 3)


@pytest.mark.parametrize("name", ["iat", "exp"])
@pytest.mark.parametrize("kind", [str, bool, lambda moment: [moment]])
def test_a_time_is_a_number(name: str, kind: Any) -> None:
    moment = int(time.time()) + (60 if name == "exp" else 0)
    fine: dict[str, Any] = {name: float(moment)}
    assert SIGNER.verify(f"Bearer {signed(**fine)}").user_id == 7
    odd: dict[str, Any] = {name: kind(moment)}
    assert "not valid" in refused(signed(**odd))


def test_a_token_that_was_good_is_not_decoded_again_until_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer = TokenSigner(SECRET, None, 30 * 60)
    now = int(time.time())
    sent = f"Bearer {signed(gen=3, exp=now + 60)}"
    monkeypatch.setattr("time.time", lambda: now)
    assert signer.verify(sent) == AccessClaims(7, 3)
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("It was decoded again"))
    assert signer.verify(sent) == AccessClaims(7, 3)
    decoded = []

    def expired(token: str, *_: object, **__: object) -> None:
        decoded.append(token)
        raise jwt.ExpiredSignatureError

    monkeypatch.setattr(jwt, "decode", expired)
    with pytest.raises(Unauthenticated):
        signer.verify(f"{sent}x")
    monkeypatch.setattr("time.time", lambda: now + 60)
    with pytest.raises(Unauthenticated):
        signer.verify(sent)
    assert [f"Bearer {token}" for token in decoded] == [f"{sent}x", sent]


def test_an_issued_token_has_the_claims_of_the_contract() -> None:
    token = SIGNER.issue(7)
    content = jwt.decode(token, SECRET, algorithms=["HS256"], issuer=tokens.ISSUER)
    assert content["sub"] == "7"
    assert content["exp"] - content["iat"] == 30 * 60
    assert jwt.get_unverified_header(token)["alg"] == "HS256"


def test_the_lifetime_is_the_deployments(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("JWT_EXPIRATION_MINUTES", "2")
    settings.tokens.cache_clear()
    content = jwt.decode(wired().issue(7), SECRET, algorithms=["HS256"], issuer=tokens.ISSUER)
    assert content["exp"] - content["iat"] == 120


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_regardless_of_case(scheme: str) -> None:
    assert SIGNER.verify(f"{scheme}  {signed()} ") == AccessClaims(7, 0)


@pytest.mark.parametrize("header", [None, "", " ", "Bearer", "Bearer ", "Basic YWRhOmE=", "token"])
def test_without_a_bearer_token_the_answer_says_which_header_to_send(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer <token>"):
        SIGNER.verify(header)


def test_a_token_without_a_signature_is_refused() -> None:
    for algorithm in ("none", "None", "NONE"):
        unsigned = f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(claims())}."
        refused(unsigned)
    refused(jwt.encode(claims(), "", algorithm="none"))
    good = signed()
    refused(good.rpartition(".")[0] + ".")


def test_another_algorithm_is_refused_even_with_the_right_secret() -> None:
    long_secret = SECRET * 4
    for algorithm in ("HS384", "HS512"):
        refused(jwt.encode(claims(), long_secret, algorithm=algorithm))
        refused(jwt.encode(claims(), SECRET.ljust(64, "x"), algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "x"])
def test_a_header_that_names_another_algorithm_is_refused(algorithm: str) -> None:
    _, payload, signature = signed().split(".")
    refused(f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{payload}.{signature}")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "another-service"},
        {"iss": ""},
        {"exp": int(time.time()) - 1},
        {"exp": 0},
        {"exp": "soon"},
        {"iat": int(time.time()) + 86_400},
        {"iat": "now"},
        {"nbf": int(time.time()) + 86_400},
        {"sub": "ada"},
        {"sub": ""},
        {"sub": "0"},
        {"sub": "-1"},
        {"sub": "1.5"},
        {"sub": str(2**63)},
        {"sub": "9" * 5000},
        {"sub": 7},
        {"sub": None},
        {"iss": None},
        {"iat": None},
        {"exp": None},
    ],
    ids=str,
)
def test_a_signed_token_with_a_wrong_or_missing_claim_is_refused(
    changed: dict[str, Any],
) -> None:
    assert refused(signed(**changed)) == "The token is missing, expired or not valid: sign in again"


def test_an_issuer_that_merely_contains_ours_is_refused() -> None:
    # PyJWT will not make such a token, but others' libraries do.
    token = jwt.api_jws.encode(
        json.dumps(claims(iss=[tokens.ISSUER])).encode(), SECRET, algorithm="HS256"
    )
    refused(token)


def test_a_token_signed_with_another_secret_is_refused() -> None:
    refused(signed(OTHER_SECRET))


def test_a_changed_payload_is_refused() -> None:
    header, _, signature = signed().split(".")
    refused(f"{header}.{segment(claims(sub='8'))}.{signature}")


@given(st.text(max_size=200))
def test_whatever_is_sent_as_a_token_is_refused_and_nothing_else(token: str) -> None:
    with pytest.raises(Unauthenticated):
        SIGNER.verify(f"Bearer {token}")
    with pytest.raises(Unauthenticated):
        SIGNER.verify(f"Bearer {segment(token)}.{segment(token)}.{segment(token)}")


@pytest.mark.parametrize(
    "header",
    ["[" * 3000, '{"alg":' * 1500, '{"alg":"HS256","kid":' + "9" * 4400 + "}", "[]", "null", "7"],
    ids=["deep list", "deep object", "long number", "list", "null", "number"],
)
def test_a_header_made_to_break_the_parser_is_refused(header: str) -> None:
    first = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")
    refused(f"{first}.{segment(claims())}.c2lnbmF0dXJl")


@pytest.mark.parametrize("kid", [7, None, ["a"], "", "unknown"], ids=str)
def test_a_strange_key_id_does_not_make_a_wrong_signature_good(kid: object) -> None:
    header = segment({"alg": "HS256", "typ": "JWT", "kid": kid})
    refused(f"{header}.{segment(claims())}.c2lnbmF0dXJl")


@pytest.mark.parametrize("generation", ["1", 1.0, True, -1, 2**31, [1]], ids=str)
def test_a_generation_that_is_no_whole_number_is_refused(generation: object) -> None:
    refused(signed(gen=generation))


def test_a_rotated_secret_signs_nobody_out(environment: pytest.MonkeyPatch) -> None:
    before = SIGNER.issue(7)
    environment.setenv("JWT_SECRET", OTHER_SECRET)
    environment.setenv("JWT_SECRET_PREVIOUS", SECRET)
    settings.tokens.cache_clear()
    rotated = wired()
    after = rotated.issue(8)
    assert rotated.verify(f"Bearer {before}").user_id == 7
    assert rotated.verify(f"Bearer {after}").user_id == 8
    assert jwt.decode(after, OTHER_SECRET, algorithms=["HS256"], issuer=tokens.ISSUER)["sub"] == "8"


def test_a_secret_that_is_no_longer_the_previous_one_is_refused(
    environment: pytest.MonkeyPatch,
) -> None:
    before = SIGNER.issue(7)
    environment.setenv("JWT_SECRET", OTHER_SECRET)
    settings.tokens.cache_clear()
    with pytest.raises(Unauthenticated):
        wired().verify(f"Bearer {before}")


def test_a_key_id_reveals_nothing_of_the_secret() -> None:
    key_id = jwt.get_unverified_header(SIGNER.issue(7))["kid"]
    assert len(key_id) == 8
    assert key_id not in SECRET


def test_a_short_secret_is_refused_in_words(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("JWT_SECRET", "x" * 31)
    settings.tokens.cache_clear()
    with pytest.raises(ConfigurationError, match=r"JWT_SECRET has 31 bytes; it needs at least 32"):
        wired()


@pytest.mark.parametrize("part", [b"[" * 5000, b"1" * 5000], ids=["nested", "long number"])
def test_json_that_python_gives_up_on_is_refused_before_the_signature_counts(part: bytes) -> None:
    header = base64.urlsafe_b64encode(part).decode().rstrip("=")
    refused(f"{header}.{segment(claims())}.c2lnbmF0dXJl")


@pytest.mark.parametrize("subject", [" 7", "7 ", "+7", "0_7", "\u0667"])
def test_a_subject_that_only_python_takes_for_a_number_is_refused(subject: str) -> None:
    refused(signed(sub=subject))
