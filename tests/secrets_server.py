"""Secrets Manager in this process: one request of it, in the form that AWS documents."""

from __future__ import annotations

import json
import re
import ssl
from http.server import BaseHTTPRequestHandler
from itertools import count

from tests.integration.local_server import LocalServer

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/[\w-]+/secretsmanager/aws4_request, "
    r"SignedHeaders=[\w;-]*x-amz-date[\w;-]*, Signature=[0-9a-f]{64}$"
)


class SecretsServer(LocalServer):
    """`texts` by ARN."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.texts: dict[str, str] = {}
        self._numbers = count(1)
        super().__init__(type("Handler", (_Handler,), {"server_of": self}), tls)

    def put(self, text: str) -> str:
        """The ARN of a new secret."""
        arn = f"arn:aws:secretsmanager:us-east-1:000000000000:secret:s{next(self._numbers)}"
        self.texts[arn] = text
        return arn

    def answer(self, target: str, authorization: str, body: bytes) -> tuple[int, dict[str, str]]:
        if target != "secretsmanager.GetSecretValue" or not _SIGNED.match(authorization):
            return 400, {"__type": "com.amazon.coral.service#UnknownOperationException"}
        arn = str(json.loads(body)["SecretId"])
        if arn not in self.texts:
            return 400, {"__type": "ResourceNotFoundException", "Message": f"no {arn}"}
        return 200, {"ARN": arn, "Name": arn.rpartition(":")[2], "SecretString": self.texts[arn]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two packets: the second does not wait until the first is acknowledged.
    disable_nagle_algorithm = True
    server_of: SecretsServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.server_of.answer(
            self.headers.get("X-Amz-Target", ""), self.headers.get("Authorization", ""), body
        )
        text = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...
