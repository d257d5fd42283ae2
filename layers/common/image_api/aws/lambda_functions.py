"""Lambda: one function invokes another."""

from __future__ import annotations

import json
from urllib.parse import quote

from image_api.aws.requests import SignedRequests
from image_api.core.renditions.render_requests import (
    RendererBusy,
    RendererFailed,
    RendererLost,
    StillRendering,
)
from image_api.errors import ServiceUnavailable

_MAX_NAMED_CHARACTERS = 100
_FIRST_SERVER_ERROR = 500


class LambdaRenderer:
    """Invokes the renderer once a call: nothing is tried again here. Threads may share it."""

    def __init__(self, requests: SignedRequests, function: str, endpoint_url: str) -> None:
        self._requests = requests
        name = quote(function, safe="")
        self._url = f"{endpoint_url.rstrip('/')}/2015-03-31/functions/{name}/invocations"

    def invoke(self, payload: bytes, wait_seconds: float) -> bytes:
        """What it answers; raises as `core.renditions.render_requests.RendererFunction` says."""
        from urllib3.exceptions import (
            ConnectTimeoutError,
            HTTPError,
            NewConnectionError,
            ReadTimeoutError,
        )

        try:
            response = self._requests.send(
                "POST",
                self._url,
                payload,
                {"Content-Type": "application/json", "X-Amz-Invocation-Type": "RequestResponse"},
                timeout_seconds=wait_seconds,
            )
        except ReadTimeoutError as error:
            raise StillRendering from error
        except (ConnectTimeoutError, NewConnectionError) as error:
            raise ServiceUnavailable("The renderer was not reached") from error
        except HTTPError as error:
            raise RendererLost("The connection to the renderer broke") from error
        if response.status == 429:
            raise RendererBusy
        if response.status >= _FIRST_SERVER_ERROR:
            # Somebody on the way gave up.
            raise RendererLost(f"Lambda answered {response.status} for the renderer")
        if response.status != 200:
            raise ServiceUnavailable(f"Lambda answered {response.status} for the renderer")
        if "X-Amz-Function-Error" in response.headers:
            raise RendererFailed(f"The renderer failed: {_error_type(response.data)}")
        return response.data


def _error_type(payload: bytes) -> str:
    """Such as Runtime.ExitError, and nothing that the function's code chose to say."""
    try:
        answer = json.loads(payload)
    except ValueError:
        return "unknown"
    found = answer.get("errorType") if isinstance(answer, dict) else None
    text = found if isinstance(found, str) and found.isprintable() else "unknown"
    return text[:_MAX_NAMED_CHARACTERS]
