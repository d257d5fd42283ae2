"""Copies of a snapshot take secrets, credentials and connections anew, and draw numbers of their
own; what is lent to them is given back in time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from image_api.aws.credentials import LentCredentials
from image_api.core.renditions.links import LinkSigner
from image_api.errors import ServiceUnavailable
from tests.application import FUNCTIONS, ROOT
from tests.integration.local_server import LocalServer
from tests.secrets_server import SecretsServer
from tests.variables import variables_without_settings

SNAPSHOTS = Path(__file__).parent / "snapshots"
TOKEN = "what the address wants to hear"


class Lender(LocalServer):
    """Credentials that are other ones each time, for as long as `ends_at` says."""

    def __init__(self) -> None:
        self.lent = 0
        self.is_out = False
        self.ends_at = datetime(2099, 1, 1, tzinfo=UTC)
        super().__init__(type("Handler", (_LendingHandler,), {"lender": self}))


class _LendingHandler(BaseHTTPRequestHandler):
    lender: Lender

    def do_GET(self) -> None:
        lender = self.lender
        is_good = self.headers["Authorization"] == TOKEN and self.path == "/credentials?v=1"
        self.send_response(200 if is_good and not lender.is_out else 403)
        self.end_headers()
        lender.lent += 1
        answer = {
            "AccessKeyId": f"ASIA{lender.lent}",
            "SecretAccessKey": f"secret {lender.lent}",
            "Token": f"token {lender.lent}",
            "Expiration": lender.ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender()
    with lender.serving():
        yield lender


@pytest.fixture
def secrets() -> Iterator[SecretsServer]:
    server = SecretsServer()
    with server.serving():
        yield server


def put(secrets: SecretsServer, version: str, arns: dict[str, str] | None = None) -> dict[str, str]:
    """The ARNs of three secrets of that version: new ones, or those of before."""
    texts = {
        "database": {"username": "api", "password": f"database {version}", "host": "db"},
        "broker": {"username": "api", "password": f"broker {version}"},
        "jwt": {"current": f"{version} of the secret that signs all tokens"},
    }
    for name, text in texts.items():
        if arns is not None:
            secrets.texts[arns[name]] = json.dumps(text)
    return arns or {name: secrets.put(json.dumps(text)) for name, text in texts.items()}


def variables(secrets: SecretsServer, arns: dict[str, str], lender: Lender) -> dict[str, str]:
    return {
        **variables_without_settings(),
        "PYTHONPATH": f"{ROOT / 'layers' / 'common'}:{FUNCTIONS / 'delete'}:{SNAPSHOTS}",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{lender.endpoint_url}/credentials?v=1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
        "AWS_ENDPOINT_URL": secrets.endpoint_url,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "DATABASE_IMAGES_SECRET_ARN": arns["database"],
        "RABBITMQ_PUBLISHING_SECRET_ARN": arns["broker"],
        "RABBITMQ_ENDPOINT": "amqps://b:5671",
        "JWT_SECRET_ARN": arns["jwt"],
        "IMAGES_BUCKET": "images",
        "RENDERER_FUNCTION": "renderer",
    }


def test_each_copy_of_a_snapshot_takes_everything_anew(
    secrets: SecretsServer, lender: Lender
) -> None:
    arns = put(secrets, "old")
    with subprocess.Popen(
        [sys.executable, SNAPSHOTS / "kept_function.py"],
        env=variables(secrets, arns, lender),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def said() -> dict[str, Any]:
            assert process.stdout is not None
            found: dict[str, Any] = json.loads(process.stdout.readline())
            return found

        at_start, kept = said(), said()
        assert "old" in at_start["database"]
        assert at_start["has_connection"]
        assert not kept["has_connection"]
        copies = []
        for version in ("new", "newest"):
            put(secrets, version, arns)
            process.stdin.write("\n")
            process.stdin.flush()
            copies.append(said())
            check_copy(copies[-1], version)
        process.stdin.close()
    # The numbers that are drawn differ from copy to copy, and so do the credentials.
    assert len({state["drawn"] for state in (at_start, *copies)}) == 3
    lent_to = [credential(state) for state in (at_start, *copies)]
    assert len(set(lent_to)) == 3
    assert all(name.startswith("ASIA") for name in lent_to)


def check_copy(state: dict[str, Any], version: str) -> None:
    secret = f"{version} of the secret that signs all tokens"
    assert urlsplit(state["database"]).password == f"database%20{version}"
    assert urlsplit(state["broker"]).password == f"broker%20{version}"
    assert jwt.decode(state["token"], secret, ["HS256"], issuer="image-management-api")
    assert LinkSigner(secret, None).verify(1, state["link"])


def credential(state: dict[str, Any]) -> str:
    query = parse_qs(urlsplit(str(state["url"])).query)
    return query["X-Amz-Credential"][0].partition("/")[0]


def test_where_no_snapshot_is_taken_no_hook_is_asked_for(
    secrets: SecretsServer, lender: Lender
) -> None:
    program = "import sys, app; print('snapshot_restore_py' in sys.modules)"
    environment = {
        **variables(secrets, put(secrets, "old"), lender),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True
    )
    assert said.stdout == b"False\n"


def test_credentials_are_lent_anew_before_they_end(lender: Lender) -> None:
    now = [lender.ends_at.timestamp() - 3600]
    credentials = LentCredentials(
        f"{lender.endpoint_url}/credentials?v=1", lambda: TOKEN, now_seconds=lambda: now[0]
    )
    first = credentials()
    assert (first.access_key_id, first.session_token) == ("ASIA1", "token 1")
    assert credentials() is first
    now[0] += 3600 - 299
    second = credentials()
    assert second.access_key_id == "ASIA2"
    # These have not ended yet, and are better than none.
    lender.is_out = True
    assert credentials() is second
    now[0] += 299
    with pytest.raises(ServiceUnavailable):
        credentials()
    lender.is_out = False
    third = credentials()
    assert third is not second
    credentials.forget()
    assert credentials() is not third
