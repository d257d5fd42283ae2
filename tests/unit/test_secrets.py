"""Secrets are asked for as botocore would, by the same signature; of a service that may be slow."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from image_api import secrets
from image_api.aws.credentials import AwsCredentials
from image_api.errors import ConfigurationError
from image_api.secrets import SecretsManager
from tests.secrets_server import SecretsServer

MOMENT = datetime(2026, 11, 26, 9, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_the_signature_is_botocores(
    monkeypatch: pytest.MonkeyPatch, token: str | None, region: str
) -> None:
    url = f"https://secretsmanager.{region}.amazonaws.com"
    body = json.dumps({"SecretId": "arn:aws:secretsmanager:us-east-1:0:secret:a"}).encode()
    ours = SecretsManager(
        url,
        region,
        lambda: AwsCredentials("AKID", "secret", token),
        has_own_issuers=False,
        now_seconds=MOMENT.timestamp,
    )._signed_headers(body)

    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: MOMENT.replace(tzinfo=None))
    sent = {name: ours[name] for name in ("content-type", "x-amz-target")}
    request = AWSRequest("POST", f"{url}/", sent, body)
    auth.SigV4Auth(Credentials("AKID", "secret", token), "secretsmanager", region).add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


class Failing(SecretsServer):
    """Answers 503 so many times first."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def answer(self, target: str, authorization: str, body: bytes) -> tuple[int, dict[str, str]]:
        if self.failures:
            self.failures -= 1
            return 503, {"__type": "com.amazon#ServiceUnavailable"}
        return super().answer(target, authorization, body)


def read(url: str, arn: str) -> object:
    manager = SecretsManager(
        url, "us-east-1", lambda: AwsCredentials("AKID", "secret", None), has_own_issuers=False
    )
    try:
        return manager.read(arn)
    finally:
        manager.close()


def test_a_service_that_fails_for_a_moment_is_asked_again_and_not_for_ever() -> None:
    server = Failing(2)
    arn = server.put('{"password": "p"}')
    with server.serving():
        assert read(server.endpoint_url, arn) == {"password": "p"}
        server.failures = 3
        with pytest.raises(ConfigurationError, match="cannot be read: ServiceUnavailable"):
            read(server.endpoint_url, arn)


@pytest.mark.parametrize(
    ("scheme", "connection"), [("http", HTTPConnection), ("https", HTTPSConnection)]
)
def test_a_service_that_takes_a_request_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, scheme: str, connection: type[HTTPConnection]
) -> None:
    patience = []

    def connected(host: str, timeout: float, **more: Any) -> HTTPConnection:
        patience.append(timeout)
        return connection(host, timeout=timeout, **more)

    monkeypatch.setattr(secrets, connection.__name__, connected)
    monkeypatch.setattr(secrets, "_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=r"does not answer at .*: TimeoutError"):
            read(url, "arn")
    # A start has ten seconds, which longer ones would outlast.
    assert patience == [0.05] * 3
