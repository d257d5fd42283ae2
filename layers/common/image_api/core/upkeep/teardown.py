"""What has to be over before a stack's parts can be deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from image_api.errors import ServiceUnavailable, StillInUse
from image_api.observability import logger

_PAUSE_SECONDS = 10.0
# What is left to tell CloudFormation.
_MIN_REMAINING_MILLISECONDS = 30_000


class Networks(Protocol):
    def poller_interfaces(self, group: str) -> list[str]:
        """Ids of the network interfaces that Lambda's poller has in a security group. Raises
        ServiceUnavailable.
        """


def wait_for_interfaces(
    networks: Networks,
    group: str,
    remaining_milliseconds: Callable[[], int],
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Lambda removes them with the consumer's role, some minutes after the trigger is gone. Were
    the role deleted before, they would stay, and with them the security group and the subnets.

    Raises StillInUse, which names those that stay for longer than there is time: the role is
    kept then, and a second deletion goes on. Where EC2 did not list them, nobody knows of any.
    """
    left: list[str] = []
    if not group:
        return {"Left": ""}
    while remaining_milliseconds() > _MIN_REMAINING_MILLISECONDS:
        try:
            left = networks.poller_interfaces(group)
        except ServiceUnavailable:
            logger.warning("the network interfaces were not listed")
        else:
            if not left:
                return {"Left": ""}
        pause(_PAUSE_SECONDS)
    if left:
        logger.warning("network interfaces are left", interfaces=left)
        raise StillInUse(f"Lambda's poller still has network interfaces: {', '.join(left)}")
    return {"Left": ""}
