"""What a session's tokens are, and what becomes of them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from image_api.core.accounts.sessions import RefreshToken, SentRefreshToken, Sessions
from image_api.core.accounts.tokens import AccessClaims, TokenSigner
from image_api.errors import RefreshTokenRefused
from tests.fakes import FakeSessionRecords
from tests.log_lines import log_lines

SIGNER = TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600)


@pytest.fixture
def records() -> FakeSessionRecords:
    return FakeSessionRecords()


@pytest.fixture
def sessions(records: FakeSessionRecords) -> Sessions:
    return Sessions(records, SIGNER)


def begun(sessions: Sessions) -> str:
    return str(sessions.begin(7, 3).refresh_token)


def refreshed(sessions: Sessions, token: str) -> str:
    return str(sessions.refresh(token).refresh_token)


def test_a_session_goes_on_with_a_token_that_replaces_the_one_before(sessions: Sessions) -> None:
    first = begun(sessions)
    tokens = sessions.refresh(first)

    assert SIGNER.verify(f"Bearer {tokens.access_token}") == AccessClaims(7, 3)
    assert (tokens.token_type, tokens.expires_in) == ("bearer", 24 * 3600)
    assert tokens.refresh_token not in (first, None)
    assert refreshed(sessions, str(tokens.refresh_token)) != tokens.refresh_token


def test_nothing_that_is_kept_is_a_token_or_gives_one(
    records: FakeSessionRecords, sessions: Sessions
) -> None:
    first = begun(sessions)
    second = refreshed(sessions, first)

    ((_, _, current_hash),) = records.families.values()
    assert current_hash == hashlib.sha256(second.encode()).digest()
    ((used_hash, (_, sealed)),) = records.used.items()
    assert used_hash == hashlib.sha256(first.encode()).digest()
    assert sealed not in base64.urlsafe_b64decode(second)


def test_a_used_token_gives_the_same_successor_for_a_while(
    records: FakeSessionRecords, sessions: Sessions
) -> None:
    first = begun(sessions)
    second = refreshed(sessions, first)
    third = refreshed(sessions, second)
    records.now += 30

    assert refreshed(sessions, first) == second
    assert refreshed(sessions, second) == third
    assert refreshed(sessions, third)


def test_a_used_token_that_comes_late_ends_the_session_of_whoever_has_it(
    records: FakeSessionRecords, sessions: Sessions
) -> None:
    first = begun(sessions)
    second = refreshed(sessions, first)
    other = begun(sessions)
    records.now += 31

    with log_lines() as lines:
        for token in (first, second, first):
            with pytest.raises(RefreshTokenRefused):
                sessions.refresh(token)

    assert [(line["message"], line["user_id"]) for line in lines] == [
        ("a used refresh token came again", 7)
    ]
    assert refreshed(sessions, other)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_signing_out_ends_the_session_whichever_token_of_it_is_sent(
    sessions: Sessions, which: int
) -> None:
    tokens = [begun(sessions)]
    tokens += [refreshed(sessions, tokens[0])]
    tokens += [refreshed(sessions, tokens[1])]

    sessions.end(tokens[which])

    for token in tokens:
        with pytest.raises(RefreshTokenRefused):
            sessions.refresh(token)


@given(st.text(max_size=80) | st.text(st.sampled_from("aA0-_"), min_size=64, max_size=64))
def test_what_is_no_token_of_ours_is_refused_and_ends_nothing(text: str) -> None:
    records = FakeSessionRecords()
    sessions = Sessions(records, SIGNER)
    good = begun(sessions)

    with pytest.raises(RefreshTokenRefused):
        sessions.refresh(text)
    sessions.end(text)

    assert refreshed(sessions, good)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_a_token_is_read_as_it_was_written(family: bytes, secret: bytes) -> None:
    text = base64.urlsafe_b64encode(family + secret).decode()

    token = RefreshToken.parsed(text)

    assert (token.text, token.secret) == (text, secret)
    successor = token.successor()
    assert token.unsealed(token.sealed(successor)) == successor
    # Whoever holds another one reads something else.
    assert successor.unsealed(token.sealed(successor)) != successor


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"cookie": False},
        {"refresh_token": None},
        {"cookie": 1},
        {"cookie": "true"},
        {"refresh_token": 7},
        {"refresh_token": "x", "grant_type": "refresh_token"},
    ],
)
def test_a_request_says_where_the_refresh_token_is(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SentRefreshToken.model_validate(body)
