"""The broker's users, one for each purpose, and what each may do: made by its management API.

CloudFormation makes an Amazon MQ broker's first user alone, who is its administrator. The local
cloud reads `users.json`, too, and makes the same users of its own node.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from image_api.errors import ServiceUnavailable
from image_api.settings import BrokerLogin

_TIMEOUT_SECONDS = 10.0
_VIRTUAL_HOST = quote("/", safe="")
# Publishing writes to the exchange alone. Processing is Lambda's poller and the consumer: what is
# tried later or given up goes to a queue by its name, by way of `amq.default`, which is RabbitMQ's
# word for the exchange without a name. Operations: the relay declares what is missing; operators
# send dead letters back.
_PERMISSIONS = Path(__file__).with_name("users.json")


@dataclass(frozen=True, slots=True)
class Permissions:
    """Regular expressions of names, as RabbitMQ checks them: what is declared and deleted,
    published to, and read, which includes purging.
    """

    configure: str
    write: str
    read: str


def permissions(purpose: str, queue: str) -> Permissions:
    own = re.escape(queue)
    return Permissions(
        **{name: text.replace("{queue}", own) for name, text in by_purpose()[purpose].items()}
    )


@cache
def by_purpose() -> dict[str, dict[str, str]]:
    """As they are written down, with `{queue}` for the work queue's name."""
    written: dict[str, dict[str, str]] = json.loads(_PERMISSIONS.read_bytes())
    return written


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
