"""Secrets are asked for as botocore would: by the same signature."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from image_api.aws.signing import AwsCredentials
from image_api.secrets import SecretsManager

MOMENT = datetime(2026, 11, 26, 9, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_the_signature_is_botocores(
    monkeypatch: pytest.MonkeyPatch, token: str | None, region: str
) -> None:
    url = f"https://secretsmanager.{region}.amazonaws.com"
    body = json.dumps({"SecretId": "arn:aws:secretsmanager:us-east-1:0:secret:a"}).encode()
    ours = SecretsManager(
        url, region, AwsCredentials("AKID", "secret", token), now_seconds=MOMENT.timestamp
    )._signed_headers(body)

    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: MOMENT.replace(tzinfo=None))
    sent = {name: ours[name] for name in ("content-type", "x-amz-target")}
    request = AWSRequest("POST", f"{url}/", sent, body)
    auth.SigV4Auth(Credentials("AKID", "secret", token), "secretsmanager", region).add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")
