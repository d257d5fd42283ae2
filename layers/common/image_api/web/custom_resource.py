"""Custom resources: how CloudFormation runs code during a deployment."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from image_api.errors import ImageApiError
from image_api.observability import logger

_TIMEOUT_SECONDS = 10
_PHYSICAL_ID = "database-schema"


def _nothing() -> dict[str, str]:
    return {}


def answer(
    event: dict[str, Any],
    action: Callable[[], dict[str, str]],
    on_delete: Callable[[], dict[str, str]] = _nothing,
) -> dict[str, Any]:
    """Runs `action` and tells CloudFormation how it ended, which fails the deployment if it did.

    Without a `ResponseURL` (invoked by hand) the result is returned and errors escape. Deleting
    the stack changes nothing, unless `on_delete` does, and is never refused: data outlives it.
    """
    url = event.get("ResponseURL")
    if url is None:
        return action()
    if event.get("RequestType") == "Delete":
        return _respond(event, url, "SUCCESS", "", _deleted(on_delete))
    try:
        data = action()
    except Exception as error:
        logger.exception("the deployment's action failed")
        _respond(event, url, "FAILED", _reason(error), {})
        raise
    return _respond(event, url, "SUCCESS", "", data)


def _deleted(on_delete: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return on_delete()
    except Exception:
        # A stack that cannot be deleted is worse than what this would have done.
        logger.exception("the deletion's action failed")
        return {}


def _reason(error: Exception) -> str:
    """Our own errors in full; of others the kind alone, for the text may hold a secret."""
    return error.detail if isinstance(error, ImageApiError) else type(error).__name__


def _respond(
    event: dict[str, Any], url: str, status: str, reason: str, data: dict[str, str]
) -> dict[str, Any]:
    response = {
        "Status": status,
        "Reason": reason or "See the function's log",
        "PhysicalResourceId": event.get("PhysicalResourceId") or _PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data,
    }
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own URL
        url, json.dumps(response).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
        return response
