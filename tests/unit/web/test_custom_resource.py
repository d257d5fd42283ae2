"""The custom resource: what CloudFormation hears."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from image_api.errors import ConfigurationError, ServiceUnavailable, StillInUse
from image_api.web import custom_resource
from tests.application import LambdaContext, load_function
from tests.log_lines import log_lines


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
        raise ServiceUnavailable("The database did not answer; try again")

    with pytest.raises(ServiceUnavailable):
        custom_resource.answer(request(cloudformation.url), fail)
    ((_, _, body),) = cloudformation.received
    assert (body["Status"], body["Reason"]) == ("FAILED", "The database did not answer; try again")


def test_a_wrong_setting_is_told_in_a_sentence_and_is_no_crash(
    cloudformation: ResponseServer,
) -> None:
    def fail() -> dict[str, str]:
        raise ConfigurationError("Set JWT_SECRET")

    with log_lines() as lines:
        answered = custom_resource.answer(request(cloudformation.url), fail, can_go_back=True)
    ((_, _, body),) = cloudformation.received
    assert answered == body
    assert (body["Status"], body["Reason"]) == ("FAILED", "Set JWT_SECRET")
    (line,) = lines
    assert (line["level"], line["reason"]) == ("ERROR", "Set JWT_SECRET")
    assert "exception" not in line
    with pytest.raises(ConfigurationError):
        custom_resource.answer({}, fail)


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


def test_deleting_the_stack_may_wait_for_something_and_does_not_fail_where_that_does(
    cloudformation: ResponseServer,
) -> None:
    event = request(cloudformation.url, "Delete", PhysicalResourceId="the-wait")
    custom_resource.answer(event, dict, lambda: {"Left": ""})

    def fail() -> dict[str, str]:
        raise RuntimeError

    custom_resource.answer(event, dict, fail)
    (_, _, waited), (_, _, failed) = cloudformation.received
    assert (waited["Status"], waited["Data"]) == ("SUCCESS", {"Left": ""})
    assert (failed["Status"], failed["Data"]) == ("SUCCESS", {})


def test_what_is_still_in_use_stops_a_deletion_and_says_why_in_the_stacks_events(
    cloudformation: ResponseServer,
) -> None:
    """It was in a log alone, which the deletion took with it."""

    def hold() -> dict[str, str]:
        raise StillInUse("Lambda's poller still has network interfaces: eni-1, eni-2")

    event = request(cloudformation.url, "Delete", PhysicalResourceId="the-wait")
    custom_resource.answer(event, dict, hold)
    ((_, _, body),) = cloudformation.received
    assert (body["Status"], body["PhysicalResourceId"]) == ("FAILED", "the-wait")
    assert body["Reason"].endswith("eni-1, eni-2")


class Stack:
    """What CloudFormation keeps of a custom resource, and how it deploys and rolls back."""

    def __init__(self, cloudformation: ResponseServer) -> None:
        self._cloudformation = cloudformation
        self._properties: list[dict[str, str]] = []
        self._id = ""

    def deploy(self, properties: dict[str, str], *, fails: bool = False) -> str:
        """The status that it is told."""
        first = not self._properties
        self._properties.append(properties)
        return self._ask("Create" if first else "Update", properties, fails=fails)

    def roll_back(self, *, fails: bool) -> str:
        self._properties.pop()
        return self._ask("Update", self._properties[-1], fails=fails)

    def _ask(self, kind: str, properties: dict[str, str], *, fails: bool) -> str:
        def action() -> dict[str, str]:
            if fails:
                raise OSError
            return {"Revision": "0001"}

        known = {"PhysicalResourceId": self._id} if kind == "Update" else {}
        event = {**request(self._cloudformation.url, kind, **known)}
        event["ResourceProperties"] = properties
        with contextlib.suppress(OSError):
            custom_resource.answer(event, action, can_go_back=True)
        answer = self._cloudformation.received[-1][2]
        self._id = answer["PhysicalResourceId"]
        assert len(self._id) < 1024
        return str(answer["Status"])


def test_a_roll_back_ends_although_what_failed_fails_still(cloudformation: ResponseServer) -> None:
    """It ended as UPDATE_ROLLBACK_FAILED: the database was away, and still was."""
    stack = Stack(cloudformation)
    assert stack.deploy({"Revision": "a"}) == "SUCCESS"
    assert stack.deploy({"Revision": "b"}, fails=True) == "FAILED"
    assert stack.roll_back(fails=True) == "SUCCESS"
    # It is still there for the next one.
    assert stack.deploy({"Revision": "c"}, fails=True) == "FAILED"
    assert stack.roll_back(fails=True) == "SUCCESS"


def test_a_roll_back_of_what_succeeded_here_and_failed_elsewhere_ends_too(
    cloudformation: ResponseServer,
) -> None:
    stack = Stack(cloudformation)
    for revision in "abcd":
        assert stack.deploy({"Revision": revision}) == "SUCCESS"
    assert stack.roll_back(fails=True) == "SUCCESS"


def test_the_migration_is_what_can_be_gone_back_to(
    cloudformation: ResponseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate = load_function("migrate")
    monkeypatch.setattr(migrate, "migrate", lambda: {"Revision": "0001"})
    migrate.lambda_handler(request(cloudformation.url), LambdaContext())
    known = cloudformation.received[-1][2]["PhysicalResourceId"]

    def fail() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(migrate, "migrate", fail)
    event = request(cloudformation.url, "Update", PhysicalResourceId=known)
    migrate.lambda_handler(event, LambdaContext())
    assert [body["Status"] for _, _, body in cloudformation.received] == ["SUCCESS", "SUCCESS"]


def test_only_what_succeeded_before_may_fail(cloudformation: ResponseServer) -> None:
    stack = Stack(cloudformation)
    assert stack.deploy({"Revision": "a"}, fails=True) == "FAILED"
    assert stack.deploy({"Revision": "a"}, fails=True) == "FAILED"
    assert stack.deploy({"Revision": "b"}) == "SUCCESS"
    assert stack.deploy({"Revision": "c"}, fails=True) == "FAILED"
    assert stack.deploy({"Revision": "c"}, fails=True) == "FAILED"


def test_a_resource_that_may_not_go_back_keeps_its_name_and_fails(
    cloudformation: ResponseServer,
) -> None:
    """With another name CloudFormation deletes what had the one before."""
    event = request(cloudformation.url, "Update", PhysicalResourceId="database-schema")
    custom_resource.answer(event, dict)
    assert cloudformation.received[-1][2]["PhysicalResourceId"] == "database-schema"


def test_by_hand_the_result_is_returned_and_errors_escape() -> None:
    assert custom_resource.answer({}, lambda: {"Revision": "0001"}) == {"Revision": "0001"}

    def fail() -> dict[str, str]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        custom_resource.answer({}, fail)
