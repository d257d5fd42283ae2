"""The events of API Gateway's REST proxy integration, as AWS documents them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from infra.local.gateway.event import Deployment, ProxyRequest

BOUNDARY = "the-boundary-of-the-form"
# In AWS's order: of the event, and of the two objects in it that always have the same keys.
KEYS: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("proxy_event_keys.json").read_text(encoding="utf-8")
)
DEPLOYMENT = Deployment("000000000000", "api", "deployment", "v1")


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
    request = ProxyRequest(
        method=method,
        path=path,
        raw_path=path,
        resource=path,
        resource_id="resource",
        headers={name: [value] for name, value in sent.items()},
        query={name: [value] for name, value in (query or {}).items()},
        path_parameters=None,
        domain_name="api.example.com",
        source_ip=source_ip,
        user_agent="tests",
        request_id=str(uuid4()),
        extended_request_id="extended",
        epoch_seconds=time.time(),
        deployment=DEPLOYMENT,
    )
    return request.event(body, is_base64=binary is not None)


def keys_of(event: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is to be compared with KEYS."""
    context = event["requestContext"]
    return {
        "event": list(event),
        "requestContext": list(context),
        "identity": list(context["identity"]),
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
