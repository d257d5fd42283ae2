"""Writes events/*.json: for each function an event as AWS hands it over, to invoke it by hand.

Run it with `make events` after a function was added; a test says when it was forgotten. The events
are about image 1, which is the first one of an empty database, and TOKEN stands where a token
belongs: `make events TOKEN=... IMAGE=7` writes copies for a signed-in user into .local/events/.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local.gateway.event import Deployment, ProxyRequest
from infra.local.triggers.rabbitmq_event import batch_event, message_record

ROOT = Path(__file__).parents[2]
TARGET = Path("events")
PERSONAL_TARGET = Path(".local") / "events"

TOKEN = "TOKEN"  # noqa: S105 - a placeholder

_ACCOUNT_ID = "000000000000"
_REGION = "us-east-1"
_BROKER_ARN = (
    f"arn:aws:mq:{_REGION}:{_ACCOUNT_ID}:broker:images:b-00000000-0000-0000-0000-000000000000"
)
_PERSISTENT = 2
_DEPLOYMENT = Deployment(_ACCOUNT_ID, "a1b2c3d4e5", "f6g7h8", "v1")
_USER_AGENT = "curl/8.5.0"
_REQUEST_ID = "8b1c1a5e-5d0c-4d0e-9f5e-0f6f5d1f9a10"
_MOMENT = datetime(2026, 11, 2, 18, 10, 16, tzinfo=UTC)
_TRACE_ID = f"Root=1-{int(_MOMENT.timestamp()):08x}-5f1e6a0d7d3c4b2a19081726"
_BOUNDARY = "------------------------4f9d2c7a1b3e5068"
_ACCOUNT = {"username": "ada", "password": "analytical!engine"}


def sample_events(token: str = TOKEN, image_id: int = 1) -> dict[str, dict[str, Any]]:
    """By function, the name of its folder."""
    return {
        "register": _request("POST", "/auth/register", body=json.dumps(_ACCOUNT)),
        "login": _request("POST", "/auth/login", body=json.dumps(_ACCOUNT)),
        "session": _request("POST", "/auth/refresh", body=json.dumps({"refresh_token": "TOKEN"})),
        "account": _request("GET", "/auth/me", token=token),
        "upload": _upload(token),
        "direct_upload": _request("POST", "/image/direct_upload", token=token),
        "list": _request("GET", "/image/get_all_images", query={"limit": "10"}, token=token),
        "tags": _request("GET", "/image/tags", query={"limit": "10"}, token=token),
        "get": _request("GET", "/image/{image_id}", image_id=image_id, token=token),
        "rendition": _request(
            "GET",
            "/image/{image_id}/rendition",
            image_id=image_id,
            query={"width": "640", "ratio": "1:1"},
            token=token,
        ),
        "update": _request(
            "PUT",
            "/image/update/{image_id}",
            image_id=image_id,
            body=json.dumps({"title": "Lift-off", "resolution": "320x200"}),
            token=token,
        ),
        "delete": _request("DELETE", "/image/delete/{image_id}", image_id=image_id, token=token),
        "batch": _request(
            "POST",
            "/image/batch",
            body=json.dumps({"ids": [image_id], "changes": {"tags": ["rocket"]}}),
            token=token,
        ),
        "docs": _request("GET", "/openapi.json"),
        "gallery": _request("GET", "/"),
        "health": _request("GET", "/health"),
        "consumer": _messages(image_id),
        "renderer": _picture(),
        "relay": _schedule("RelayFunctionEveryMinute"),
        "replay": {"queue": "a-queue-of-another-service", "since": "2026-11-01T00:00:00Z"},
        "operate": {"action": "status"},
        "janitor": _schedule("JanitorFunctionEveryHour"),
        "rerender": _schedule("RerenderFunctionEveryFiveMinutes"),
        "migrate": _custom_resource(),
        "interfaces": {"ResourceProperties": {"SecurityGroup": "sg-0123456789abcdef0"}},
    }


def _request(
    method: str,
    resource: str,
    *,
    image_id: int | None = None,
    query: dict[str, str] | None = None,
    content_type: str = "application/json",
    body: str | None = None,
    is_base64: bool = False,
    token: str | None = None,
) -> dict[str, Any]:
    """API Gateway's REST proxy event."""
    path = resource if image_id is None else resource.replace("{image_id}", str(image_id))
    headers = {
        "Host": "localhost:8000",
        "User-Agent": _USER_AGENT,
        "Accept": "application/json",
        **({"Authorization": f"Bearer {token}"} if token is not None else {}),
        **({"Content-Type": content_type} if body is not None else {}),
        "X-Amzn-Trace-Id": _TRACE_ID,
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Port": "8000",
        "X-Forwarded-Proto": "http",
    }
    request = ProxyRequest(
        method=method,
        path=path,
        raw_path=path,
        resource=resource,
        resource_id="i9j0k1",
        headers={name: [value] for name, value in headers.items()},
        query={name: [value] for name, value in (query or {}).items()},
        path_parameters=None if image_id is None else {"image_id": str(image_id)},
        domain_name="localhost",
        source_ip="127.0.0.1",
        user_agent=_USER_AGENT,
        request_id=_REQUEST_ID,
        extended_request_id="T1pKdF5tIAMFjqA=",
        epoch_seconds=_MOMENT.timestamp(),
        deployment=_DEPLOYMENT,
    )
    return request.event(body, is_base64=is_base64)


def _upload(token: str) -> dict[str, Any]:
    """A form with a photo and a title. multipart/form-data is a binary type, so in base64."""
    photo = (ROOT / "tests" / "photos" / "rocket.jpg").read_bytes()
    form = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="title"\r\n\r\n'
        "A rocket\r\n"
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="image"; filename="rocket.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    form += photo + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return _request(
        "POST",
        "/image/upload_image",
        content_type=f"multipart/form-data; boundary={_BOUNDARY}",
        body=base64.b64encode(form).decode(),
        is_base64=True,
        token=token,
    )


def _messages(image_id: int) -> dict[str, Any]:
    """A batch of one message, as Lambda's event source for Amazon MQ makes it.

    It asks for the processing of the upload, which is each image's first change. Where the file
    lies the consumer reads from the image's row, so the event suits an image of any name.
    """
    sys.path.insert(0, str(ROOT / "layers" / "common"))
    from pika import BasicProperties

    from image_api.core.change_log import events, messages

    message = messages.message_of(
        events.Event(
            # One event for each image: the consumer applies none twice.
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{events.SOURCE}/images/{image_id}")),
            type=events.UPLOAD_REQUESTED,
            image_id=image_id,
            sequence=1,
            data={
                "user_id": 1,
                "object_key": "storage/6f1c0e9d8b7a4c3f92e15d04a6b7c8d9/original.jpg",
                "title": "A rocket",
                "content_type": "image/jpeg",
                "size": 112525,
                "resolution": "640x427",
                "visibility": "shared",
            },
            correlation_id=_REQUEST_ID,
            occurred_at=_MOMENT.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )
    )
    properties = BasicProperties(
        content_type=message.content_type,
        delivery_mode=_PERSISTENT,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        timestamp=int(_MOMENT.timestamp()),
        type=message.type,
        app_id=messages.APP_ID,
    )
    record = message_record(properties, message.body, is_redelivered=False)
    return batch_event(_BROKER_ARN, "image_events", "/", [record])


def _picture() -> dict[str, Any]:
    """As the consumer asks for one; what it signs for each picture anew is good for minutes, so the
    answer to this is that the storage does not hand it out.
    """
    sys.path.insert(0, str(ROOT / "layers" / "common"))
    from image_api.aws.credentials import AwsCredentials
    from image_api.aws.signing import UrlSigner
    from image_api.core.renditions.render_requests import Picture, render_request

    signer = UrlSigner(
        "images",
        _REGION,
        "http://localhost:4566",
        lambda: AwsCredentials("KEY", "none", None),
        now_seconds=_MOMENT.timestamp,
    )
    folder = "storage/6f1c0e9d8b7a4c3f92e15d04a6b7c8d9"
    picture = Picture(f"{folder}/original.jpg", f"{folder}/1-0a1b2c3d", None, "cover")
    # Nobody waits for it so long.
    return render_request(picture, signer, report_after=4102444800.0)


def _schedule(rule: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": _ACCOUNT_ID,
        "time": _MOMENT.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": _REGION,
        "resources": [f"arn:aws:events:{_REGION}:{_ACCOUNT_ID}:rule/image-api-{rule}"],
        "detail": {},
    }


def _custom_resource() -> dict[str, Any]:
    """CloudFormation's request without its ResponseURL, so that the result is only returned."""
    return {
        "RequestType": "Update",
        "RequestId": "c5f1a7d2-7b1e-4e0a-9d3c-6a5b4c3d2e1f",
        "StackId": f"arn:aws:cloudformation:{_REGION}:{_ACCOUNT_ID}:stack/image-api/"
        "d2f0b9a8-1c3e-4b5d-8f7a-9e0d1c2b3a45",
        "ResourceType": "Custom::DatabaseSchema",
        "LogicalResourceId": "DatabaseSchema",
        "PhysicalResourceId": "database-schema",
        "ResourceProperties": {"Revision": "initial"},
        "OldResourceProperties": {"Revision": "initial"},
    }


def as_text(event: dict[str, Any]) -> str:
    return json.dumps(event, indent=2) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a sample event for each function")
    parser.add_argument("--token", help="write copies for this user into .local/events/")
    parser.add_argument("--image", type=int, default=1, help="the image they are about (1)")
    parser.add_argument("--into", type=Path, default=PERSONAL_TARGET, help="another folder")
    options = parser.parse_args()
    if options.token is None and options.image != 1:
        parser.error("The events in events/ are about image 1; --token writes others elsewhere")
    target = TARGET if options.token is None else options.into
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for function, event in sample_events(options.token or TOKEN, options.image).items():
        path = target / f"{function}.json"
        path.write_text(as_text(event), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
