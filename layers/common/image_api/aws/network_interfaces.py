"""EC2, for who asks for one thing."""

from __future__ import annotations

from urllib.parse import urlencode
from xml.etree import ElementTree

from image_api.aws.requests import SignedRequests
from image_api.errors import ServiceUnavailable

_API_VERSION = "2016-11-15"
# How Lambda names those through which it reads from a broker.
_DESCRIPTION = "AWS Lambda VPC ENI-armq-*"
_TIMEOUT_SECONDS = 10.0
_RETRIES = 2


class Ec2Networks:
    def __init__(self, requests: SignedRequests, endpoint_url: str) -> None:
        self._requests = requests
        self._url = endpoint_url.rstrip("/")

    def poller_interfaces(self, group: str) -> list[str]:
        from urllib3.exceptions import HTTPError

        query = urlencode(
            {
                "Action": "DescribeNetworkInterfaces",
                "Version": _API_VERSION,
                "Filter.1.Name": "group-id",
                "Filter.1.Value.1": group,
                "Filter.2.Name": "description",
                "Filter.2.Value.1": _DESCRIPTION,
            }
        )
        try:
            response = self._requests.send(
                "GET",
                f"{self._url}/?{query}",
                timeout_seconds=_TIMEOUT_SECONDS,
                retries=_RETRIES,
            )
            if response.status != 200:
                raise ServiceUnavailable(f"EC2 answered {response.status}")
            # Written by AWS itself.
            listing = ElementTree.fromstring(response.data)  # noqa: S314
        except (HTTPError, ElementTree.ParseError) as error:
            raise ServiceUnavailable("EC2 did not list the network interfaces") from error
        found = listing.findall("{*}networkInterfaceSet/{*}item/{*}networkInterfaceId")
        return [item.text or "" for item in found]
