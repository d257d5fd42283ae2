"""Who signs a request to AWS, and with which key: all that reading a secret needs of this room."""

from __future__ import annotations

import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    access_key_id: str
    secret_access_key: str
    session_token: str | None


def signing_key(credentials: AwsCredentials, day: str, region: str, service: str) -> bytes:
    """Of Signature Version 4; good for what is signed on that day (20261126)."""
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
