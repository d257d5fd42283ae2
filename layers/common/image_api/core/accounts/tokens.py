"""The bearer token: a JWT that says who somebody is for half an hour."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import NamedTuple

import jwt

from image_api.core.caching import WindowedCache
from image_api.errors import Unauthenticated

ISSUER = "image-management-api"
ALGORITHM = "HS256"

_GENERATION = "gen"
_REMEMBERED_FOR_SECONDS = 900
_REFUSED = "The token is missing, expired or not valid: sign in again"


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """Who a token says somebody is. Whether `generation` is still that of the account's tokens is
    for each statement to check that serves them.
    """

    user_id: int
    generation: int


class _Verified(NamedTuple):
    claims: AccessClaims
    expires_at: int


class TokenSigner:
    """Issues and verifies tokens with one secret, and verifies those of the secret before it."""

    def __init__(self, secret: str, previous_secret: str | None, ttl_seconds: int) -> None:
        self.ttl_seconds = ttl_seconds
        self.renew(secret, previous_secret)

    def renew(self, secret: str, previous_secret: str | None) -> None:
        self._secret = secret
        self._previous_secret = previous_secret
        self._verified = WindowedCache[_Verified]()

    def issue(self, user_id: int, generation: int = 0) -> str:
        now = int(time.time())
        return jwt.encode(
            {
                "sub": str(user_id),
                "iss": ISSUER,
                "iat": now,
                "exp": now + self.ttl_seconds,
                _GENERATION: generation,
            },
            self._secret,
            algorithm=ALGORITHM,
            headers={"kid": _key_id(self._secret)},
        )

    def verify(self, authorization: str | None) -> AccessClaims:
        """What an `Authorization: Bearer` header says; raises Unauthenticated.

        A token whose `kid` names the previous secret is checked with that one, so that a rotated
        secret signs nobody out. Of a token that was good before, only the time can be over.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Sign in first: send the header Authorization: Bearer <token>")
        token, now_seconds = token.strip(), time.time()
        window = int(now_seconds / _REMEMBERED_FOR_SECONDS)
        before = self._verified.find(window, token)
        if before is not None and before.expires_at > now_seconds:
            return before.claims
        verified = self._verified.keep(window, token, self._verified_now(token))
        return verified.claims

    def _verified_now(self, token: str) -> _Verified:
        try:
            claims = jwt.decode(
                token,
                self._verification_key(token),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["sub", "iss", "iat", "exp"]},
            )
            _require_numbers(claims["iat"], claims["exp"])
            # Tokens had none before passwords could be changed.
            who = AccessClaims(_user_id(claims["sub"]), _generation(claims.get(_GENERATION, 0)))
            return _Verified(who, int(claims["exp"]))
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthenticated(_REFUSED) from error

    def _verification_key(self, token: str) -> str:
        previous = self._previous_secret
        if previous and jwt.get_unverified_header(token).get("kid") == _key_id(previous):
            return previous
        return self._secret


def _require_numbers(*times: object) -> None:
    # PyJWT would take a text of digits (RFC 7519, 2: NumericDate).
    if not all(type(moment) in (int, float) for moment in times):
        raise ValueError("A time is not a number")


def _user_id(subject: str) -> int:
    # int() alone would take " 1" and the digits of every script.
    user_id = int(subject) if subject.isascii() and subject.isdecimal() else 0
    if not 0 < user_id < 2**63:
        raise ValueError("The subject is not a user id")
    return user_id


def _generation(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError("The generation is not a number of one")
    return value


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"kid:" + secret.encode()).hexdigest()[:8]
