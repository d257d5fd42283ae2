"""Custom resources: how CloudFormation runs code during a deployment."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Callable
from typing import Any

from image_api.errors import ConfigurationError, ImageApiError, StillInUse
from image_api.observability import logger

_TIMEOUT_SECONDS = 10
_PHYSICAL_ID = "database-schema"
_DIGEST_CHARACTERS = 16
# What a roll-back leaves, and what it goes back to.
_REMEMBERED = 2


def _nothing() -> dict[str, str]:
    return {}


def answer(
    event: dict[str, Any],
    action: Callable[[], dict[str, str]],
    on_delete: Callable[[], dict[str, str]] = _nothing,
    *,
    can_go_back: bool = False,
) -> dict[str, Any]:
    """Runs `action` and tells CloudFormation how it ended, which fails the deployment if it did.

    Without a `ResponseURL` (invoked by hand) the result is returned and errors escape; with one all
    but wrong settings do, for which there is a sentence. Deleting
    the stack changes nothing, unless `on_delete` does: data outlives it. It is refused while
    `on_delete` says StillInUse, and never because that itself failed.
    With `can_go_back` neither is going back to properties that succeeded before: a deployment that
    failed because the database was away is rolled back while it is still away.
    """
    url = event.get("ResponseURL")
    if url is None:
        return action()
    if event.get("RequestType") == "Delete":
        return _delete(event, url, on_delete)
    try:
        data = action()
    except Exception as error:
        if can_go_back and _digest(event) in _succeeded(event):
            logger.exception("the action failed while the deployment was rolled back")
            return _respond(event, url, "SUCCESS", "", {}, _id_after(event))
        if isinstance(error, ConfigurationError):
            # Its sentence says all to whoever sets this up, who would lose it among tracebacks.
            logger.error("the settings are wrong", reason=error.detail)
            return _respond(event, url, "FAILED", error.detail, {})
        logger.exception("the deployment's action failed")
        _respond(event, url, "FAILED", _reason(error), {})
        raise
    return _respond(event, url, "SUCCESS", "", data, _id_after(event) if can_go_back else None)


def _delete(
    event: dict[str, Any], url: str, on_delete: Callable[[], dict[str, str]]
) -> dict[str, Any]:
    try:
        data = on_delete()
    except StillInUse as error:
        return _respond(event, url, "FAILED", error.detail, {})
    except Exception:
        # A stack that cannot be deleted is worse than what this would have done.
        logger.exception("the deletion's action failed")
        data = {}
    return _respond(event, url, "SUCCESS", "", data)


def _reason(error: Exception) -> str:
    """Our own errors in full; of others the kind alone, for the text may hold a secret."""
    return error.detail if isinstance(error, ImageApiError) else type(error).__name__


def _digest(event: dict[str, Any]) -> str:
    properties = json.dumps(event.get("ResourceProperties", {}), sort_keys=True)
    return hashlib.sha256(properties.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _succeeded(event: dict[str, Any]) -> list[str]:
    """Digests of the properties that succeeded last and before that. The resource's name has them:
    it is all that CloudFormation remembers of an answer, and names in a roll-back.
    """
    _, _, digests = str(event.get("PhysicalResourceId", "")).partition(f"{_PHYSICAL_ID}.")
    return [digest for digest in digests.split(".") if digest]


def _id_after(event: dict[str, Any]) -> str:
    digests = list(dict.fromkeys([_digest(event), *_succeeded(event)]))[:_REMEMBERED]
    return ".".join([_PHYSICAL_ID, *digests])


def _respond(
    event: dict[str, Any],
    url: str,
    status: str,
    reason: str,
    data: dict[str, str],
    physical_id: str | None = None,
) -> dict[str, Any]:
    response = {
        "Status": status,
        "Reason": reason or "See the function's log",
        "PhysicalResourceId": physical_id or event.get("PhysicalResourceId") or _PHYSICAL_ID,
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
