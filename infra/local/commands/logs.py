"""What the log of the local cloud has on one request, whole."""

import sys
from collections.abc import Mapping
from typing import Any

from infra.local.cloud import CloudFailed
from infra.local.logs.archive import records
from infra.local.logs.stream import InvocationRecord, LogStream
from infra.local.settings import Settings

_NEWEST = 200


def show_logs(settings: Settings, wanted: str | None, function: str | None) -> int:
    """Everything of the invocations that `wanted` is the id of, or that speak of it: such as all
    that a correlation id went through. Without it the newest lines. Raises CloudFailed."""
    found = [
        record
        for record in records(settings.log_folder)
        if function is None or record.get("function") == function
    ]
    if wanted is not None:
        invocations = {record.get("request_id") for record in found if _speaks_of(record, wanted)}
        invocations.discard(None)
        found = [record for record in found if record.get("request_id") in invocations]
    if not found:
        raise CloudFailed("The log has nothing on that" if wanted else "The log is empty")
    logs = LogStream(sys.stdout, is_whole=True)
    for record in found if wanted else found[-_NEWEST:]:
        _show(logs, record)
    return 0


def _speaks_of(record: Mapping[str, Any], wanted: str) -> bool:
    return str(record.get("request_id", "")).startswith(wanted) or wanted in record.get("line", "")


def _show(logs: LogStream, record: Mapping[str, Any]) -> None:
    fields = {name: value for name, value in record.items() if name not in {"time", "kind"}}
    logs.at(record["time"])
    match record["kind"]:
        case "invocation":
            logs.invocation(InvocationRecord(**fields))
        case "application":
            logs.application(**fields)
        case _:
            logs.event(**fields)
