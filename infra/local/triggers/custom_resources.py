"""CloudFormation's custom resources: the function does the work, and says by PUT how it went."""

import asyncio
import json
import secrets
from typing import Any
from uuid import uuid4

from infra.entry_point import Explained
from infra.local.invocation import Invoke, error_summary, json_event
from infra.local.template.model import ACCOUNT_ID, STACK_NAME, CustomResource

_PATH = "/custom-resources/"
# CloudFormation would wait for an hour; here the function has ended by then, or died.
_ANSWER_TIMEOUT_SECONDS = 10.0


class CustomResourceFailed(Explained):
    """A custom resource could not be created; the text says why."""


class CustomResources:
    """Creates custom resources. `base_url` is where `receive_report` is reached over HTTP."""

    def __init__(self, invoke: Invoke, region: str, base_url: str) -> None:
        self._invoke = invoke
        self._region = region
        self._base_url = base_url
        self._awaited: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def create(self, resource: CustomResource) -> None:
        """Returns once the function has reported success. Raises CustomResourceFailed."""
        path = _PATH + secrets.token_urlsafe(16)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._awaited[path] = answer
        stack = f"arn:aws:cloudformation:{self._region}:{ACCOUNT_ID}:stack/{STACK_NAME}/local"
        event = json_event(
            {
                "RequestType": "Create",
                "ServiceToken": resource.properties["ServiceToken"],
                "ResponseURL": self._base_url + path,
                "StackId": stack,
                "RequestId": str(uuid4()),
                "ResourceType": resource.resource_type,
                "LogicalResourceId": resource.logical_id,
                "ResourceProperties": _as_text(resource.properties),
            }
        )
        try:
            result = await self._invoke(resource.function_id, event)
            if result.is_error and not answer.done():
                raise CustomResourceFailed(
                    f"{resource.logical_id}: its function failed: {error_summary(result.payload)}"
                )
            async with asyncio.timeout(_ANSWER_TIMEOUT_SECONDS):
                report = await answer
        except TimeoutError as error:
            raise CustomResourceFailed(
                f"{resource.logical_id}: its function ended without reporting to its ResponseURL"
            ) from error
        finally:
            del self._awaited[path]
        if report.get("Status") != "SUCCESS":
            raise CustomResourceFailed(
                f"{resource.logical_id}: {report.get('Reason') or 'failed without a reason'}"
            )

    def receive_report(self, path: str, body: bytes) -> bool:
        """What a function reported; one that is not awaited any more is ignored.

        False where the path is not one for reports.
        """
        awaited = self._awaited.get(path)
        if awaited is None or awaited.done():
            return path.startswith(_PATH)
        try:
            report = json.loads(body)
        except ValueError:
            report = None
        if not isinstance(report, dict):
            report = {"Status": "FAILED", "Reason": "The function's report is not a JSON object"}
        awaited.set_result(report)
        return True


def _as_text(value: Any) -> Any:
    """CloudFormation hands every property over as text."""
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
