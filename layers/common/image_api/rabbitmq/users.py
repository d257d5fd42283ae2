"""The broker's users, one for each purpose, and what each may do: made by its management API.

CloudFormation makes an Amazon MQ broker's first user alone, who is its administrator.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from image_api.core import events
from image_api.core.queues import dead_queue
from image_api.errors import ServiceUnavailable
from image_api.settings import BrokerLogin

_TIMEOUT_SECONDS = 10.0
_VIRTUAL_HOST = quote("/", safe="")
# RabbitMQ's name for the exchange without one, which leads to every queue by its name.
_DEFAULT_EXCHANGE = r"amq\.default"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Regular expressions of names, as RabbitMQ checks them: what is declared and deleted,
    published to, and read, which includes purging.
    """

    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"


def permissions(purpose: str, queue: str) -> Permissions:
    exchange = re.escape(events.EXCHANGE)
    work = re.escape(queue)
    ours = rf"{exchange}|{work}(\.retry\.[0-9]+s)?|{re.escape(dead_queue(queue))}"
    match purpose:
        case "publishing":
            return Permissions(write=f"^{exchange}$")
        case "processing":
            # Lambda's poller and the consumer: what is tried later or given up goes to a queue by
            # its name.
            return Permissions(write=f"^({exchange}|{_DEFAULT_EXCHANGE})$", read=f"^{work}$")
        case "operations":
            # The relay declares what is missing; operators send dead letters back.
            return Permissions(f"^({ours})$", f"^({ours}|{_DEFAULT_EXCHANGE})$", f"^({ours})$")
    raise ValueError(f"{purpose!r} is no purpose of a user of the broker")


class ManagementApi:
    """Asked once, on a deployment."""

    def __init__(self, url: str, owner: BrokerLogin) -> None:
        self._url = url
        token = base64.b64encode(f"{owner.user}:{owner.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def make_users(self, logins: Iterable[tuple[str, BrokerLogin]], queue: str) -> None:
        """By purpose. One that is there gets this password and these permissions, and no others in
        this virtual host. Raises ServiceUnavailable, without a password in it.
        """
        for purpose, login in logins:
            may = permissions(purpose, queue)
            name = quote(login.user, safe="")
            # No tags: nobody but the owner asks this API.
            self._put(f"/api/users/{name}", {"password": login.password, "tags": ""})
            self._put(
                f"/api/permissions/{_VIRTUAL_HOST}/{name}",
                {"configure": may.configure, "write": may.write, "read": may.read},
            )

    def _put(self, path: str, body: dict[str, str]) -> None:
        address = urlsplit(self._url)
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connection = kind(address.netloc, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("PUT", path, json.dumps(body), self._headers)
            response = connection.getresponse()
            response.read()
        except (HTTPException, OSError) as error:
            raise ServiceUnavailable(
                f"The broker's management API does not answer at {self._url}: "
                f"{type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if response.status not in (201, 204):
            raise ServiceUnavailable(
                f"The broker's management API answers {response.status} to {path}"
            )
