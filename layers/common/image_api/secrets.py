"""Secrets Manager, read by single requests: a boto3 client takes longer to load than all else."""

from __future__ import annotations

import json
from typing import Any

from image_api.aws.requests import SignedRequests
from image_api.aws.signing import AwsCredentials
from image_api.errors import ConfigurationError

_TIMEOUT_SECONDS = 3.0
_RETRIES = 2


class SecretsManager:
    """One connection, which is closed when all that is needed has been read."""

    def __init__(self, endpoint_url: str, region: str, credentials: AwsCredentials) -> None:
        self._url = f"{endpoint_url.rstrip('/')}/"
        self._requests = SignedRequests("secretsmanager", region, credentials, connections=1)

    def read(self, arn: str) -> dict[str, Any]:
        """The JSON object that a secret holds. Raises ConfigurationError, without what it holds."""
        from urllib3.exceptions import HTTPError

        try:
            response = self._requests.send(
                "POST",
                self._url,
                json.dumps({"SecretId": arn}).encode(),
                {
                    "Content-Type": "application/x-amz-json-1.1",
                    "X-Amz-Target": "secretsmanager.GetSecretValue",
                },
                timeout_seconds=_TIMEOUT_SECONDS,
                retries=_RETRIES,
            )
        except HTTPError as error:
            raise ConfigurationError(
                f"Secrets Manager does not answer at {self._url}: {type(error).__name__}"
            ) from error
        if response.status != 200:
            raise ConfigurationError(f"{arn} cannot be read: {_kind(response.data)}")
        try:
            secret = json.loads(json.loads(response.data)["SecretString"])
        except (KeyError, TypeError, ValueError):
            secret = None
        if not isinstance(secret, dict):
            raise ConfigurationError(f"{arn} holds no JSON object")
        return secret


def _kind(answer: bytes) -> str:
    """Such as AccessDeniedException, and nothing that somebody wrote."""
    try:
        kind = str(json.loads(answer)["__type"]).rpartition("#")[2]
    except (KeyError, TypeError, ValueError):
        return "an answer without a reason"
    return kind if kind.isalnum() else "an answer without a reason"
