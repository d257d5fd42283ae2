"""The bearer token: a JWT that says who somebody is for half an hour."""

from __future__ import annotations

import hashlib
import time

import jwt

from image_api import settings
from image_api.errors import Unauthenticated

ISSUER = "image-management-api"
ALGORITHM = "HS256"

_REFUSED = "The token is missing, expired or not valid: sign in again"


def issue(user_id: int) -> str:
    now = int(time.time())
    token_settings = settings.tokens()
    return jwt.encode(
        {
            "sub": str(user_id),
            "iss": ISSUER,
            "iat": now,
            "exp": now + token_settings.ttl_seconds,
        },
        token_settings.secret,
        algorithm=ALGORITHM,
        headers={"kid": _key_id(token_settings.secret)},
    )


def verify(authorization: str | None) -> int:
    """The user id in an `Authorization: Bearer` header; raises Unauthenticated.

    A token whose `kid` names the previous secret is checked with that one, so that a rotated
    secret signs nobody out.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Sign in first: send the header Authorization: Bearer <token>")
    token = token.strip()
    try:
        claims = jwt.decode(
            token,
            _verification_key(token),
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["sub", "iss", "iat", "exp"]},
        )
        return _user_id(claims["sub"])
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Unauthenticated(_REFUSED) from error


def _user_id(subject: str) -> int:
    # int() alone would take " 1" and the digits of every script.
    user_id = int(subject) if subject.isascii() and subject.isdecimal() else 0
    if not 0 < user_id < 2**63:
        raise ValueError("The subject is no user id")
    return user_id


def _verification_key(token: str) -> str:
    token_settings = settings.tokens()
    previous = token_settings.previous_secret
    if previous and jwt.get_unverified_header(token).get("kid") == _key_id(previous):
        return previous
    return token_settings.secret


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"kid:" + secret.encode()).hexdigest()[:8]
