"""Secrets Manager, asked with the standard library: every function does so at its start, where
boto3 would cost more than all else, and botocore's signer and urllib3 still a third of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from image_api import tls
from image_api.aws.credentials import AwsCredentials, signing_key
from image_api.errors import ConfigurationError

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "secretsmanager"
_TIMEOUT_SECONDS = 3.0
_ATTEMPTS = 3


class SecretsManager:
    """One connection, kept for the next secret."""

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        credentials: Callable[[], AwsCredentials],
        *,
        has_own_issuers: bool,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._credentials = credentials
        self._has_own_issuers = has_own_issuers
        self._now_seconds = now_seconds
        address = urlsplit(endpoint_url)
        self._host = address.netloc
        self._is_encrypted = address.scheme == "https"
        self._connection: HTTPConnection | None = None

    def read(self, arn: str) -> dict[str, Any]:
        """The JSON object that a secret holds. Raises ConfigurationError, without what it holds."""
        status, answer = self._asked(json.dumps({"SecretId": arn}).encode())
        if status != 200:
            raise ConfigurationError(f"{arn} cannot be read: {_kind(answer)}")
        try:
            secret = json.loads(json.loads(answer)["SecretString"])
        except (KeyError, TypeError, ValueError):
            secret = None
        if not isinstance(secret, dict):
            raise ConfigurationError(f"{arn} holds no JSON object")
        return secret

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self, body: bytes) -> tuple[int, bytes]:
        """A lost connection and a 5xx are tried again: nothing changes by asking."""
        for attempt in range(1, _ATTEMPTS + 1):
            headers = self._signed_headers(body)
            try:
                self._connection = self._connection or self._connected()
                self._connection.request("POST", "/", body, headers)
                response = self._connection.getresponse()
                answer = response.read()
            except (HTTPException, OSError) as error:
                self.close()
                if attempt == _ATTEMPTS:
                    raise ConfigurationError(
                        f"Secrets Manager does not answer at {self._endpoint_url}: "
                        f"{type(error).__name__}"
                    ) from error
            else:
                if response.status < 500 or attempt == _ATTEMPTS:
                    return response.status, answer
        raise AssertionError("the last attempt returns or raises")

    def _connected(self) -> HTTPConnection:
        if self._is_encrypted:
            return tls.connected(self._connected_by, has_own_issuers=self._has_own_issuers)
        return HTTPConnection(self._host, timeout=_TIMEOUT_SECONDS)

    def _connected_by(self, context: ssl.SSLContext) -> HTTPConnection:
        connection = HTTPSConnection(self._host, timeout=_TIMEOUT_SECONDS, context=context)
        try:
            connection.connect()
        except OSError:
            connection.close()
            raise
        return connection

    def _signed_headers(self, body: bytes) -> dict[str, str]:
        """Signature Version 4."""
        credentials = self._credentials()
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now_seconds()))
        day = timestamp[:8]
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "host": self._host,
            "x-amz-date": timestamp,
            "x-amz-target": f"{_SERVICE}.GetSecretValue",
        }
        if credentials.session_token:
            headers["x-amz-security-token"] = credentials.session_token
        names = sorted(headers)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        signed = ";".join(names)
        request = f"POST\n/\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{day}/{self._region}/{_SERVICE}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = signing_key(credentials, day, self._region, _SERVICE)
        to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return headers


def _kind(answer: bytes) -> str:
    """Such as AccessDeniedException, and nothing that somebody wrote."""
    try:
        kind = str(json.loads(answer)["__type"]).rpartition("#")[2]
    except (KeyError, TypeError, ValueError):
        return "an answer without a reason"
    return kind if kind.isalnum() else "an answer without a reason"
