"""One function invoked with one event, and what it answers and logs shown."""

import base64
import json
import sys
from pathlib import Path
from urllib.parse import quote

import aiohttp
from rich.console import Console

from infra.local.cloud import Cloud, CloudFailed
from infra.local.commands.terminal import terminal
from infra.local.invocation import Event, json_event
from infra.local.lambda_.invoke_api import TERMINAL_HEADER
from infra.local.logs.stream import LogStream
from infra.local.settings import Settings


async def invoke(settings: Settings, function: str, event_path: Path) -> int:
    """Through the cloud that runs, else through one of its own. Raises CloudFailed and others."""
    try:
        payload = event_path.read_bytes()
        json.loads(payload)
    except FileNotFoundError as error:
        raise CloudFailed(f"There is no event at {event_path}") from error
    except ValueError as error:
        raise CloudFailed(f"{event_path} is not JSON: {error}") from error
    state = settings.running_cloud() or {}
    if "invoke_url" in state:
        return await _invoke_running(state["invoke_url"], function, payload)
    return await _invoke_alone(settings, function, payload)


async def _invoke_running(invoke_url: str, function: str, payload: bytes) -> int:
    url = f"{invoke_url}/2015-03-31/functions/{quote(function, safe='')}/invocations"
    headers = {"X-Amz-Log-Type": "Tail"}
    async with terminal() as port:
        if port is not None:
            headers[TERMINAL_HEADER] = str(port)
        async with (
            # The function's own time-out ends it, and none while somebody looks at it.
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.post(url, data=payload, headers=headers) as answer,
        ):
            body = await answer.read()
    if answer.status != 200:
        raise CloudFailed(json.loads(body).get("Message", body.decode()))
    log = base64.b64decode(answer.headers.get("X-Amz-Log-Result", ""))
    return _show(body, log, is_error="X-Amz-Function-Error" in answer.headers)


async def _invoke_alone(settings: Settings, function: str, payload: bytes) -> int:
    console = Console(stderr=True)
    logs = LogStream(sys.stderr)
    cloud = Cloud(settings, logs, console, with_api=False)
    async with cloud.run(), terminal() as port:
        try:
            function_id = cloud.functions.template.function(function).logical_id
        except KeyError as error:
            raise CloudFailed(str(error.args[0])) from error
        event = Event([payload], json_event({}).request_id, wants_log=True)
        if port is not None:
            result = await cloud.functions.invoke_apart(function_id, event, port)
        else:
            result = await cloud.functions.invoke(function_id, event)
        return _show(result.payload, b"", is_error=result.is_error)


def _show(body: bytes, log: bytes, *, is_error: bool) -> int:
    try:
        print(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    except ValueError:
        print(body.decode(errors="replace"))
    for line in log.decode(errors="replace").splitlines():
        if not line.startswith(("START ", "END ")):
            print(line.replace("\r", "\n").rstrip(), file=sys.stderr)
    return 1 if is_error else 0
