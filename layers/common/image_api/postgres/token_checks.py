"""Whether a token is still good: part of the statements that serve who is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from image_api.postgres.database import Database

if TYPE_CHECKING:
    from image_api.core.accounts.tokens import AccessClaims

# Part of every statement that serves somebody who is signed in, so that whoever changes their
# password or leaves has signed out everywhere, and nobody pays a round trip for it. The generation
# is bound to the connection, by BoundTokens.
IS_SIGNED_IN = """EXISTS (
    SELECT FROM users AS u WHERE u.id = :user_id AND u.token_generation = :token_generation)"""

NO_LONGER_SIGNED_IN = (
    "The password was changed, or the account signed out, locked or deleted since this token was "
    "issued: sign in again"
)


class TokenVerifier(Protocol):
    def verify(self, authorization: str | None) -> AccessClaims: ...


class BoundTokens:
    """Verifies a request's token, and binds its generation to the statements that serve it."""

    def __init__(self, verifier: TokenVerifier, database: Database) -> None:
        self._verifier = verifier
        self._database = database

    def verify(self, authorization: str | None) -> AccessClaims:
        """Raises Unauthenticated."""
        claims = self._verifier.verify(authorization)
        self._database.bind(token_generation=claims.generation)
        return claims
