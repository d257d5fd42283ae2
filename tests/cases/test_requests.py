"""Each request of cases.json is answered as it must be."""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cases.costs import cost_of
from tests.cases.inputs import made
from tests.cases.table import Case, Words, sent_as
from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import NewClient
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually

Step = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class Sender:
    """Sends the steps of a case byte for byte, which no client for everyday use would do."""

    def __init__(self, cloud: RunningCloud, owner: ApiClient, stranger: ApiClient) -> None:
        self._cloud = cloud
        self._owner = owner
        self._clients = {"owner": owner, "stranger": stranger}
        self.words = Words(
            PORT=urlsplit(cloud.api_url).port, BUCKET=cloud.environment["IMAGES_BUCKET"]
        )

    def take(self, step: Step) -> None:
        if "if_kept" in step and step["if_kept"] not in self.words:
            return
        if "method" in step:
            self._request(step)
        elif "ready" in step:
            self._keep_ready(step["ready"], "request-forms/ordinary.png")
        elif "upload" in step:
            self._keep_ready(step["keep"], step["upload"])
        elif "settled" in step:
            self._wait(self.words[step["settled"]])
        else:
            self._send_directly(made(step["direct_upload"]))

    def _request(self, step: Step) -> None:
        with cost_of(self._cloud) as cost:
            answer = self._send(step)
        assert answer.status in step["answer"], answer.text
        if answer.status >= 400 and not step.get("any_words"):
            assert json.loads(answer.body)["detail"]
        if says := step.get("says"):
            assert re.search(says, answer.text, re.IGNORECASE), answer.text
        if says_not := step.get("says_not"):
            assert not re.search(says_not, answer.text, re.IGNORECASE), answer.text
        if "cpu_s" in step:
            assert cost.cpu_seconds < step["cpu_s"]
        if answer.status == 200:
            self._look_into(json.loads(answer.body or b"{}"), step)
        if step["method"] == "HEAD":
            assert answer.body == b""

    def _look_into(self, found: Any, step: Step) -> None:
        for name, value in self.words.fill_in(step.get("fields", {})).items():
            assert found[name] == value
        for name, field in step.get("keep", {}).items():
            self.words.keep(name, found[field])
        if "found" in step:
            assert self.words.fill_in(step["found"]) in [image["title"] for image in found]

    def _send(self, step: Step) -> Answer:
        connection = self._connection(step)
        headers = self.words.fill_in(dict(step.get("headers", {})))
        if "as" in step:
            headers["Authorization"] = f"Bearer {self._clients[step['as']].token}"
        body = b""
        if "body" in step:
            body = self.words.fill_in_bytes(made(step["body"]))
        elif "json" in step:
            headers["Content-Type"] = "application/json"
            body = json.dumps(self.words.fill_in(step["json"])).encode()
        elif "text" in step:
            body = step["text"].encode()
        path = self.words.fill_in(step["path"])
        try:
            connection.putrequest(
                step["method"], path, skip_host="Host" in headers, skip_accept_encoding=True
            )
            if body or step["method"] in ("POST", "PUT"):
                headers["Content-Length"] = str(len(body))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def _connection(self, step: Step) -> HTTPConnection:
        urls = {
            "lambda": self._cloud.invoke_url,
            "s3": self._cloud.environment["AWS_ENDPOINT_URL"],
        }
        at = step.get("at", "")
        url = urlsplit(urls.get(at, self._cloud.api_url))
        host = at.strip("[]") if at.startswith("[") else url.hostname
        assert host is not None
        source = (step["from"], 0) if "from" in step else None
        return HTTPConnection(host, url.port, source_address=source)

    def _keep_ready(self, name: str, file: str) -> None:
        self.words.keep(name, self._owner.uploaded(made(file), file.rpartition("/")[2])["id"])

    def _wait(self, image_id: int) -> None:
        eventually(
            lambda: self._owner.image(image_id).json()["status"] != "processing",
            f"image {image_id} is settled",
        )

    def _send_directly(self, data: bytes) -> None:
        offer = self._owner.request("POST", "/image/direct_upload").json()
        token, self._owner.token = self._owner.token, None
        answer = self._owner.request(
            "POST", offer["url"], data=offer["fields"], files={"file": data}
        )
        self._owner.token = token
        assert answer.status_code == 204, answer.text
        self.words.keep("UPLOAD", offer["upload_id"])


@pytest.fixture
def sender(cloud: RunningCloud, new_user: NewClient) -> Sender:
    return Sender(cloud, new_user(), new_user())


@sent_as("requests")
def test_a_request_is_answered_as_it_must_be(sender: Sender, case: Case) -> None:
    if any(step.get("at") == "[::1]" for step in case["steps"]) and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    for step in case["steps"]:
        sender.take(step)


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False
