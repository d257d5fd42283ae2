"""The custom resource: what CloudFormation hears."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from image_api.errors import ConfigurationError
from image_api.web import custom_resource


class ResponseServer(HTTPServer):
    """Stands where CloudFormation's presigned URL leads."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Put)
        self.received: list[tuple[str, str | None, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/answer?signature=abc"


class _Put(BaseHTTPRequestHandler):
    server: ResponseServer

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing: the test looks at what was received."""


@pytest.fixture
def cloudformation() -> Iterator[ResponseServer]:
    with ResponseServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(url: str, request_type: str = "Create", **more: str) -> dict[str, Any]:
    return {
        "RequestType": request_type,
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/images/1",
        "RequestId": "request-1",
        "LogicalResourceId": "DatabaseSchema",
        "ResourceType": "Custom::DatabaseSchema",
        **more,
    }


def test_success_is_told_with_its_data(cloudformation: ResponseServer) -> None:
    event = request(cloudformation.url)
    custom_resource.answer(event, lambda: {"Revision": "0001"})
    ((path, content_type, body),) = cloudformation.received
    assert path == "/answer?signature=abc"
    # S3 signed the URL without one: any other content type is refused.
    assert content_type == ""
    assert body["Status"] == "SUCCESS"
    assert body["Data"] == {"Revision": "0001"}
    assert body["PhysicalResourceId"]
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert body[name] == event[name]


def test_an_update_keeps_the_resources_name(cloudformation: ResponseServer) -> None:
    event = request(cloudformation.url, "Update", PhysicalResourceId="the-schema")
    custom_resource.answer(event, dict)
    assert cloudformation.received[0][2]["PhysicalResourceId"] == "the-schema"


def test_a_failure_is_told_and_escapes(cloudformation: ResponseServer) -> None:
    def fail() -> dict[str, str]:
        raise ConfigurationError("Set JWT_SECRET")

    with pytest.raises(ConfigurationError):
        custom_resource.answer(request(cloudformation.url), fail)
    ((_, _, body),) = cloudformation.received
    assert (body["Status"], body["Reason"]) == ("FAILED", "Set JWT_SECRET")


def test_the_reason_of_an_unknown_failure_holds_no_secret(cloudformation: ResponseServer) -> None:
    def fail() -> dict[str, str]:
        raise ValueError("could not connect to postgresql://ada:hunter2@db/images")

    with pytest.raises(ValueError, match="hunter2"):
        custom_resource.answer(request(cloudformation.url), fail)
    ((_, _, body),) = cloudformation.received
    assert body["Status"] == "FAILED"
    assert body["Reason"] == "ValueError"
    assert "hunter2" not in json.dumps(body)


def test_deleting_the_stack_changes_nothing(cloudformation: ResponseServer) -> None:
    def never() -> dict[str, str]:
        raise AssertionError("nothing is to be done")

    event = request(cloudformation.url, "Delete", PhysicalResourceId="the-schema")
    custom_resource.answer(event, never)
    ((_, _, body),) = cloudformation.received
    assert (body["Status"], body["PhysicalResourceId"]) == ("SUCCESS", "the-schema")


def test_deleting_the_stack_may_wait_for_something_and_never_fails(
    cloudformation: ResponseServer,
) -> None:
    event = request(cloudformation.url, "Delete", PhysicalResourceId="the-wait")
    custom_resource.answer(event, dict, lambda: {"Left": "eni-1"})

    def fail() -> dict[str, str]:
        raise RuntimeError

    custom_resource.answer(event, dict, fail)
    (_, _, waited), (_, _, failed) = cloudformation.received
    assert (waited["Status"], waited["Data"]) == ("SUCCESS", {"Left": "eni-1"})
    assert (failed["Status"], failed["Data"]) == ("SUCCESS", {})


def test_by_hand_the_result_is_returned_and_errors_escape() -> None:
    assert custom_resource.answer({}, lambda: {"Revision": "0001"}) == {"Revision": "0001"}

    def fail() -> dict[str, str]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        custom_resource.answer({}, fail)
