"""Who signs a request to AWS, and with which key: all that reading a secret needs of this room."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from image_api.errors import ServiceUnavailable

_TIMEOUT_SECONDS = 2.0
# So long before they end others are asked for.
_MARGIN_SECONDS = 300


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


class LentCredentials:
    """Of an address on this machine, which hands out others in time. Threads may share it."""

    def __init__(
        self, url: str, token: Callable[[], str], *, now_seconds: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._token = token
        self._now_seconds = now_seconds
        self._lock = threading.Lock()
        self._lent: tuple[AwsCredentials, float] | None = None

    def forget(self) -> None:
        """Those that it has are of another copy of this environment."""
        self._lent = None

    def __call__(self) -> AwsCredentials:
        """Those that are good now. Raises ServiceUnavailable where there are none."""
        with self._lock:
            left_seconds = self._lent[1] - self._now_seconds() if self._lent else 0.0
            if self._lent is None or left_seconds < _MARGIN_SECONDS:
                try:
                    self._lent = self._borrowed()
                except (HTTPException, OSError, KeyError, TypeError, ValueError) as error:
                    if self._lent is None or left_seconds <= 0:
                        raise ServiceUnavailable(
                            "AWS did not provide credentials; try again"
                        ) from error
            return self._lent[0]

    def _borrowed(self) -> tuple[AwsCredentials, float]:
        address = urlsplit(self._url)
        connection = HTTPConnection(address.netloc, timeout=_TIMEOUT_SECONDS)
        try:
            path = f"{address.path}?{address.query}" if address.query else address.path
            connection.request("GET", path, headers={"Authorization": self._token()})
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(f"{response.status}")
        ends_at = datetime.fromisoformat(answer["Expiration"]).timestamp()
        lent = AwsCredentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["Token"])
        return lent, ends_at
