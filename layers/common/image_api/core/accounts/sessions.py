"""Sessions: an access token for half an hour, and the refresh token that gives the next one.

A family is what comes of one sign-in: each refresh token of it is used once and gives its
successor. A used one that comes again after REPEAT_SECONDS is a copy in somebody else's hands, and
ends the family for both (RFC 9700, 4.14).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from image_api.core import metrics
from image_api.errors import RefreshTokenRefused
from image_api.observability import logger

REFRESH_TOKEN_TTL_SECONDS = 30 * 24 * 3600
# Two tabs that refresh at once, or an answer that was lost.
REPEAT_SECONDS = 30
_FAMILY_BYTES, _SECRET_BYTES = 16, 32
_FORM = re.compile(r"[A-Za-z0-9_-]{64}", re.ASCII)

AsCookie = Annotated[
    bool,
    Strict(),
    Field(
        description="The refresh token comes as a cookie that no script of a page can read, and is "
        "not in the body"
    ),
]


class Tokens(BaseModel):
    """What signing in gives: every other request needs the access token, in the header
    `Authorization: Bearer`.
    """

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a kind, not a password
    expires_in: Annotated[int, Field(description="Seconds that the access token is good for")]
    refresh_token: Annotated[
        str | None,
        Field(
            description="Good for 30 days and for one use at /auth/refresh; not here where it "
            "comes as a cookie",
        ),
    ] = None


class SentRefreshToken(BaseModel):
    """The refresh token itself, or that it is in the cookie."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"refresh_token": "q83vASNFZ4mrze8B" * 4}],
            "minProperties": 1,
            "anyOf": [
                {
                    "properties": {"refresh_token": {"type": "string"}},
                    "required": ["refresh_token"],
                },
                {"properties": {"cookie": {"const": True}}, "required": ["cookie"]},
            ],
        },
    )

    refresh_token: Annotated[str | None, Field(max_length=1024)] = None
    cookie: AsCookie = False

    @model_validator(mode="after")
    def _is_somewhere(self) -> SentRefreshToken:
        if self.refresh_token is None and not self.cookie:
            raise ValueError("Send refresh_token, or cookie: true where it is in the cookie")
        return self


class SignedOut(BaseModel):
    """Also the answer where nobody was signed in."""

    detail: str = "Signed out"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """48 random bytes. The first 16 name the family, so that a token that was used long ago is
    known for one although nothing is kept of it.
    """

    family_id: str
    secret: bytes

    @classmethod
    def of_new_family(cls) -> RefreshToken:
        return cls(str(uuid4()), secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def parsed(cls, text: str) -> RefreshToken:
        """Raises RefreshTokenRefused."""
        if _FORM.fullmatch(text) is None:
            raise RefreshTokenRefused
        data = base64.urlsafe_b64decode(text)
        return cls(str(UUID(bytes=data[:_FAMILY_BYTES])), data[_FAMILY_BYTES:])

    @property
    def text(self) -> str:
        return base64.urlsafe_b64encode(UUID(self.family_id).bytes + self.secret).decode()

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()

    def successor(self) -> RefreshToken:
        return RefreshToken(self.family_id, secrets.token_bytes(_SECRET_BYTES))

    def sealed(self, successor: RefreshToken) -> bytes:
        """So that nobody but who holds this token reads the successor."""
        return self._masked(successor.secret)

    def unsealed(self, sealed_successor: bytes) -> RefreshToken:
        return RefreshToken(self.family_id, self._masked(sealed_successor))

    def _masked(self, secret: bytes) -> bytes:
        # A pad that is used once: a token has but one successor.
        pad = hmac.digest(self.secret, b"successor", "sha256")
        return bytes(left ^ right for left, right in zip(secret, pad, strict=True))


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a refresh token that was presented, and whose it is.

    `repeated`: it was used a moment ago, and `sealed_successor` is what came of that. `reused`: it
    was used before that, and its family is no more.
    """

    outcome: Literal["rotated", "repeated", "reused"]
    user_id: int
    generation: int
    sealed_successor: bytes | None = None


class SessionRecords(Protocol):
    def begin(self, user_id: int, generation: int, family_id: str, token_hash: bytes) -> None:
        """A new family, good as long as the account's tokens are of this generation."""

    def rotate(
        self, family_id: str, token_hash: bytes, successor_hash: bytes, sealed_successor: bytes
    ) -> Rotation | None:
        """The family's current token is used up and has this successor from now on. None where
        there is no such family, or its time is over.
        """

    def end(self, family_id: str) -> None: ...


class TokenIssuer(Protocol):
    ttl_seconds: int

    def issue(self, user_id: int, generation: int) -> str: ...


class Sessions:
    """Begins, continues and ends them."""

    def __init__(self, records: SessionRecords, issuer: TokenIssuer) -> None:
        self._records = records
        self._issuer = issuer

    def begin(self, user_id: int, generation: int) -> Tokens:
        token = RefreshToken.of_new_family()
        self._records.begin(user_id, generation, token.family_id, token.hash)
        return self._tokens(user_id, generation, token)

    def refresh(self, presented: str) -> Tokens:
        """Raises RefreshTokenRefused."""
        token = RefreshToken.parsed(presented)
        successor = token.successor()
        rotation = self._records.rotate(
            token.family_id, token.hash, successor.hash, token.sealed(successor)
        )
        if rotation is None:
            raise RefreshTokenRefused
        if rotation.outcome == "reused":
            metrics.refresh_token_reused()
            logger.warning("a used refresh token came again", user_id=rotation.user_id)
            raise RefreshTokenRefused
        if rotation.sealed_successor is not None:
            successor = token.unsealed(rotation.sealed_successor)
        return self._tokens(rotation.user_id, rotation.generation, successor)

    def end(self, presented: str) -> None:
        """Whichever token of the family it is; what is none ends nothing."""
        try:
            token = RefreshToken.parsed(presented)
        except RefreshTokenRefused:
            return
        self._records.end(token.family_id)

    def _tokens(self, user_id: int, generation: int, refresh_token: RefreshToken) -> Tokens:
        return Tokens(
            access_token=self._issuer.issue(user_id, generation),
            expires_in=self._issuer.ttl_seconds,
            refresh_token=refresh_token.text,
        )
