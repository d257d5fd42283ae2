"""A stack that is deleted waits for what Lambda's poller has left in the broker's network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from image_api.aws.credentials import AwsCredentials
from image_api.aws.network_interfaces import Ec2Networks
from image_api.aws.requests import SignedRequests
from image_api.core.upkeep.teardown import wait_for_interfaces
from image_api.errors import ServiceUnavailable, StillInUse
from tests.integration.local_server import LocalServer


class Networks:
    """Answers one after the other; None: EC2 is away."""

    def __init__(self, *answers: list[str] | None) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def poller_interfaces(self, group: str) -> list[str]:
        self.asked.append(group)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise ServiceUnavailable("EC2 did not list the network interfaces")
        return answer


class Clock:
    """`pause` is how time goes by."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def remaining_milliseconds(self) -> int:
        return int(self._seconds * 1000)

    def pause(self, seconds: float) -> None:
        self._seconds -= seconds


def waited(networks: Networks, seconds: float, group: str = "sg-1") -> dict[str, str]:
    clock = Clock(seconds)
    return wait_for_interfaces(networks, group, clock.remaining_milliseconds, clock.pause)


def test_it_ends_when_the_last_one_is_gone() -> None:
    networks = Networks(["eni-1", "eni-2"], None, ["eni-2"], [])
    assert waited(networks, 900) == {"Left": ""}
    assert networks.asked == ["sg-1"] * 4


def test_it_gives_up_while_there_is_time_to_say_so_and_names_what_is_left() -> None:
    networks = Networks(["eni-1", "eni-2"])
    with pytest.raises(StillInUse, match=r"network interfaces: eni-1, eni-2$"):
        waited(networks, 60)
    assert len(networks.asked) == 3


def test_an_ec2_that_never_answers_holds_no_deletion() -> None:
    networks = Networks(None)
    assert waited(networks, 60) == {"Left": ""}
    assert len(networks.asked) == 3


def test_where_the_broker_is_somebody_elses_nothing_is_asked() -> None:
    networks = Networks(["eni-1"])
    assert waited(networks, 900, group="") == {"Left": ""}
    assert networks.asked == []


ANSWER = b"""<?xml version="1.0" encoding="UTF-8"?>
<DescribeNetworkInterfacesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <networkInterfaceSet>
    <item><networkInterfaceId>eni-1</networkInterfaceId><status>in-use</status></item>
    <item><networkInterfaceId>eni-2</networkInterfaceId></item>
  </networkInterfaceSet>
</DescribeNetworkInterfacesResponse>"""


class Ec2(LocalServer):
    def __init__(self) -> None:
        self.queries: list[dict[str, list[str]]] = []
        self.answer: tuple[int, bytes] = (200, ANSWER)
        super().__init__(type("Handler", (_Handler,), {"server_of": self}))


class _Handler(BaseHTTPRequestHandler):
    server_of: Ec2

    def do_GET(self) -> None:
        self.server_of.queries.append(parse_qs(urlsplit(self.path).query))
        status, body = self.server_of.answer
        self.send_response_only(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def ec2() -> Iterator[Ec2]:
    server = Ec2()
    with server.serving():
        yield server


@pytest.fixture
def networks_of() -> Iterator[Callable[[str], Ec2Networks]]:
    requests = SignedRequests(
        "ec2", "us-east-1", lambda: AwsCredentials("a", "b", None), connections=1
    )
    yield lambda url: Ec2Networks(requests, url)
    requests.close()


def test_only_the_pollers_own_interfaces_are_looked_for(
    ec2: Ec2, networks_of: Callable[[str], Ec2Networks]
) -> None:
    assert networks_of(ec2.endpoint_url).poller_interfaces("sg-1") == ["eni-1", "eni-2"]
    (query,) = ec2.queries
    assert query == {
        "Action": ["DescribeNetworkInterfaces"],
        "Version": ["2016-11-15"],
        "Filter.1.Name": ["group-id"],
        "Filter.1.Value.1": ["sg-1"],
        "Filter.2.Name": ["description"],
        "Filter.2.Value.1": ["AWS Lambda VPC ENI-armq-*"],
    }


@pytest.mark.parametrize("answer", [(403, b"<Response/>"), (200, b"no XML")])
def test_an_ec2_that_does_not_list_them_is_unavailable(
    ec2: Ec2, networks_of: Callable[[str], Ec2Networks], answer: tuple[int, bytes]
) -> None:
    ec2.answer = answer
    with pytest.raises(ServiceUnavailable):
        networks_of(ec2.endpoint_url).poller_interfaces("sg-1")
