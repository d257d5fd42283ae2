"""Where the local gateway is known not to do what AWS does, and what it does instead.

A test asks for exactly this, so that it is noticed when it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """`says` is what the gateway does, in words; `observed` are the values that are not AWS's."""

    says: str
    observed: Mapping[str, Any]


LOCAL_GATEWAY = {
    "The context names the API's domain, which starts with the API's id": Difference(
        "The host name that the client used",
        {
            "event:requestContext/domainName": "localhost",
            "event:requestContext/domainPrefix": "localhost",
        },
    ),
}
