"""Functions behind somebody else's Lambda API: `sam local start-lambda`, an emulator, AWS."""

import json
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp

from infra.local.invocation import Event, NotInvoked, Result, Throttled, failure

# Lambda's own longest, and something for a container to start.
_TIMEOUT_SECONDS = 900.0 + 60.0
_CONNECT_TIMEOUT_SECONDS = 10.0
# What a runtime answers for a function that failed has these keys and no other.
_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace", "cause"}
_NEVER_RAN = (401, 403, 404)


class LambdaEndpoint:
    """Invokes through the API at `url`. Requests are signed, as some emulators route by that.

    `function_name` is what the functions are called there; None stands for their logical ids.
    """

    def __init__(
        self, url: str, function_name: str | None, variables: Mapping[str, str], region: str
    ) -> None:
        self._url = url.rstrip("/")
        self._function_name = function_name
        self._variables = variables
        self._region = region

    async def invoke(self, function_id: str, event: Event) -> Result:
        """Waits for the function's answer. Raises NotInvoked, Throttled."""
        name = self._function_name or function_id
        url = f"{self._url}/2015-03-31/functions/{quote(name, safe='')}/invocations"
        payload = b"".join(event.payload)
        headers = self._signed(url, payload)
        timeout = aiohttp.ClientTimeout(
            total=_TIMEOUT_SECONDS, sock_connect=_CONNECT_TIMEOUT_SECONDS
        )
        try:
            async with (
                # One connection for each batch: none is kept that the other side may have closed.
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, data=payload, headers=headers) as answer,
            ):
                body = await answer.read()
                return _result(name, answer.status, answer.headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotInvoked(f"nothing answers at {self._url}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            return failure("ConnectionLost", f"{self._url} gave no answer: {error!r}")

    def _signed(self, url: str, payload: bytes) -> dict[str, str]:
        # Takes a while to load, and only this command signs requests.
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        headers = {"Content-Type": "application/json", "X-Amz-Invocation-Type": "RequestResponse"}
        request = AWSRequest("POST", url, headers, payload)
        credentials = Credentials(
            self._variables.get("AWS_ACCESS_KEY_ID", "test"),
            self._variables.get("AWS_SECRET_ACCESS_KEY", "test"),
            self._variables.get("AWS_SESSION_TOKEN"),
        )
        SigV4Auth(credentials, "lambda", self._region).add_auth(request)
        return dict(request.headers.items())


def _result(name: str, status: int, headers: Mapping[str, str], body: bytes) -> Result:
    text = body.decode(errors="replace")[:500]
    if status == 429:
        raise Throttled(name)
    if status in _NEVER_RAN:
        raise NotInvoked(f"{name} cannot be invoked: {status} {text}")
    if status != 200:
        return failure("InvocationFailed", f"{status} {text}")
    # A container that was killed leaves no answer behind, and `sam local` calls that a success.
    if not body:
        return failure("NoAnswer", f"{name} ended without an answer")
    return Result(body, is_error="X-Amz-Function-Error" in headers or _is_function_error(body))


def _is_function_error(body: bytes) -> bool:
    """`sam local start-lambda` leaves out the header where the error has a request id."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and {"errorMessage", "errorType"} <= set(answer) <= _ERROR_KEYS
