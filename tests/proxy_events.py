"""The events of API Gateway's REST proxy integration, as AWS documents them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

BOUNDARY = "the-boundary-of-the-form"


def proxy_event(
    method: str,
    path: str,
    *,
    token: str | None = None,
    json_body: object = None,
    body: str | None = None,
    content_type: str | None = None,
    binary: bytes | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    source_ip: str = "203.0.113.7",
) -> dict[str, Any]:
    """`json_body` and `body` arrive as text, `binary` in base64, as a binary media type does."""
    sent = {"Host": "api.example.com", "X-Forwarded-Proto": "https"}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    if json_body is not None:
        body, content_type = json.dumps(json_body), content_type or "application/json"
    if binary is not None:
        body = base64.b64encode(binary).decode()
    if content_type is not None:
        sent["Content-Type"] = content_type
    sent.update(headers or {})
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": dict(query) if query else None,
        "multiValueQueryStringParameters": (
            {name: [value] for name, value in query.items()} if query else None
        ),
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "httpMethod": method,
            "identity": {"sourceIp": source_ip, "userAgent": "tests"},
            "path": f"/v1{path}",
            "protocol": "HTTP/1.1",
            "requestId": str(uuid4()),
            "resourcePath": path,
            "stage": "v1",
        },
        "body": body,
        "isBase64Encoded": binary is not None,
    }


def upload_event(
    data: bytes,
    *,
    token: str | None,
    filename: str | None = "photo.png",
    field: str = "image",
    headers: Mapping[str, str] | None = None,
    **fields: str,
) -> dict[str, Any]:
    """An upload as a browser's form sends it."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    file_name = "" if filename is None else f'; filename="{filename}"'
    parts.append(
        f'Content-Disposition: form-data; name="{field}"{file_name}\r\n'
        "Content-Type: image/whatever\r\n\r\n".encode()
        + data
    )
    form = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return proxy_event(
        "POST",
        "/image/upload_image",
        token=token,
        binary=form + b"--" + BOUNDARY.encode() + b"--\r\n",
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        headers=headers,
    )


def oauth_form_event(username: str, password: str) -> dict[str, Any]:
    """A sign-in as Swagger UI's Authorize button sends it."""
    return proxy_event(
        "POST",
        "/auth/login",
        body=urlencode({"grant_type": "password", "username": username, "password": password}),
        content_type="application/x-www-form-urlencoded",
    )


def body_of(response: dict[str, Any]) -> Any:
    return json.loads(response["body"])


def header_of(response: dict[str, Any], name: str) -> str | None:
    """The single value of a response header; None where it is missing."""
    values = {
        key.lower(): value for key, value in (response.get("multiValueHeaders") or {}).items()
    }.get(name.lower())
    if values is None:
        return None
    (value,) = values
    return str(value)
