"""AWS as functions meet it: each asks as its own role, and gets what template.yaml allows it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from email.message import Message
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote

import urllib3

from tests.integration.local_server import LocalServer

Right = tuple[str, str]  # (action, resource), as template.yaml's expansion names them

_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_BUCKET = "ImagesBucket.Arn"
_FUNCTION = re.compile(r"/2015-03-31/functions/(\w+)/invocations$")
NO_INTERFACES = (
    b'<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
    b"<networkInterfaceSet/></DescribeNetworkInterfacesResponse>"
)
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class GuardedAws(LocalServer):
    """An S3 and a Lambda of other servers', and Secrets Manager, with each role's rights in front.

    Whose a request is says the access key id that signed it, so that a signed URL or form counts
    as its signer's, as on AWS.
    """

    def __init__(
        self,
        s3_url: str,
        lambda_url: str,
        rights: Mapping[str, set[Right]],
        secrets: Mapping[str, object],
    ) -> None:
        """`rights` by access key id, `secrets` by ARN."""
        self.used: defaultdict[str, set[Right]] = defaultdict(set)
        self.refused: set[tuple[str, str, str]] = set()
        self._rights = rights
        self._secrets = secrets
        self._s3 = urllib3.PoolManager(retries=False)
        self.s3_url = s3_url
        self._lambda_url = lambda_url
        methods = dict.fromkeys((f"do_{method}" for method in _METHODS), _Handler.answer)
        super().__init__(type("Handler", (_Handler,), {"aws": self, **methods}))

    def clear(self) -> None:
        self._s3.clear()

    def answer(
        self, method: str, target: str, headers: Message, body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        who = _signer(target, headers, body)
        if not all(self._may(who, right) for right in _needed(method, target, headers, body)):
            return 403, {}, _DENIED
        if "X-Amz-Target" in headers:
            arn = json.loads(body)["SecretId"]
            return 200, {}, json.dumps({"SecretString": json.dumps(self._secrets[arn])}).encode()
        if "/ec2/aws4_request" in headers.get("Authorization", ""):
            return 200, {}, NO_INTERFACES
        answer = self._s3.request(
            method,
            (self._lambda_url if _FUNCTION.match(target) else self.s3_url) + target,
            headers=dict(headers.items()),
            body=body,
            decode_content=False,
        )
        # To whom may not list the bucket S3 does not say that an object is missing.
        if answer.status == 404 and not self._may(who, ("s3:ListBucket", _BUCKET)):
            return 403, {}, _DENIED
        return answer.status, answer.headers, answer.data

    def _may(self, who: str, wanted: Right) -> bool:
        action, resource = wanted
        for right in self._rights.get(who, ()):
            if right[0] == action and fnmatchcase(resource, right[1]):
                self.used[who].add(right)
                return True
        self.refused.add((who, action, resource))
        return False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    aws: GuardedAws

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, answer = self.aws.answer(self.command, self.path, self.headers, body)
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length") or str(len(answer)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else answer)


def _signer(target: str, headers: Message, body: bytes) -> str:
    """The access key id in a header, in a signed URL, or in a form."""
    found = (
        re.search(r"Credential=([\w-]+)/", headers.get("Authorization", ""))
        or re.search(r"[?&]X-Amz-Credential=([\w-]+)/", unquote(target))
        or re.search(r'name="x-amz-credential"\s+([\w-]+)/', body.decode("latin-1"))
    )
    return found[1] if found else "nobody"


def _needed(method: str, target: str, headers: Message, body: bytes) -> list[Right]:
    """The rights that AWS asks for; one that nobody has, where the call is not known here."""
    if "X-Amz-Target" in headers:
        service, _, operation = headers["X-Amz-Target"].partition(".")
        return [(f"{service}:{operation}", json.loads(body)["SecretId"])]
    if function := _FUNCTION.match(target):
        return [("lambda:InvokeFunction", f"{function[1]}.Arn")]
    path, _, query = target.partition("?")
    if "/ec2/aws4_request" in headers.get("Authorization", ""):
        return [(f"ec2:{parse_qs(query)['Action'][0]}", "*")]
    key = unquote(path).lstrip("/").partition("/")[2]
    asked = set(parse_qs(query, keep_blank_values=True))
    return _of_the_storage(method, key, asked, headers, body) or [(f"{method} {target}", "")]


def _of_the_storage(
    method: str, key: str, asked: set[str], headers: Message, body: bytes
) -> list[Right]:
    match method, bool(key), asked:
        case "POST", False, _ if "delete" in asked:
            keys = re.findall(rb"<Key>(.+?)</Key>", body)
            action = "s3:DeleteObjectVersion" if b"<VersionId>" in body else "s3:DeleteObject"
            return [(action, f"{_BUCKET}/{key.decode()}") for key in keys]
        case "POST", False, _:
            keys = re.findall(rb'name="key"\s+(\S+)', body)
            return [("s3:PutObject", f"{_BUCKET}/{key.decode()}") for key in keys]
        case "PUT", True, _:
            source = unquote(headers.get("x-amz-copy-source", "")).partition("/")[2]
            reads = [("s3:GetObject", f"{_BUCKET}/{source}")] if source else []
            return [*reads, ("s3:PutObject", f"{_BUCKET}/{key}")]
        case "DELETE", True, _ if "versionId" in asked:
            return [("s3:DeleteObjectVersion", f"{_BUCKET}/{key}")]
        case "DELETE", True, _:
            return [("s3:DeleteObject", f"{_BUCKET}/{key}")]
        case "GET", True, _:
            return [("s3:GetObject", f"{_BUCKET}/{key}")]
        case "HEAD", False, _:
            return [("s3:ListBucket", _BUCKET)]
        case "GET", False, _ if "versions" in asked:
            return [("s3:ListBucketVersions", _BUCKET)]
        case "GET", False, _ if "list-type" in asked:
            return [("s3:ListBucket", _BUCKET)]
    return []
