"""What can go wrong, as classes; the API's own words are in `detail`, its code in `code`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx


class ClientError(Exception):
    """Anything that this package raises by itself."""


class Unreachable(ClientError):
    """No answer came: the address is wrong, the server is away, or the connection broke."""


def unreachable(url: str, error: httpx.TransportError) -> Unreachable:
    """To be thrown into a flow, which has not caught the cause itself."""
    told = Unreachable(f"{url}: {error or type(error).__name__}")
    told.__cause__ = error
    return told


class NotSignedIn(ClientError):
    """There is no token, or it has ended and could not be refreshed."""


class StillProcessing(ClientError):
    """The image was not ready within the time that the caller had."""


class ProcessingFailed(ClientError):
    """The image, or its last change, could not be processed; the message says why."""


@dataclass(frozen=True, slots=True)
class FieldError:
    field: str
    message: str


class ApiError(ClientError):
    """The API refused a request."""

    def __init__(self, response: httpx.Response) -> None:
        body = _body(response)
        self.status_code = response.status_code
        self.code: str | None = body.get("code")
        self.detail: str = body.get("detail") or f"The server answered {response.status_code}"
        self.fields = tuple(
            FieldError(str(problem.get("field")), str(problem.get("message")))
            for problem in body.get("errors") or ()
        )
        self.correlation_id = response.headers.get("X-Correlation-Id")
        self.retry_after_seconds = _seconds(response.headers.get("Retry-After"))
        super().__init__(self.in_words)

    @property
    def in_words(self) -> str:
        if not self.fields:
            return self.detail
        return "; ".join(f"{problem.field}: {problem.message}" for problem in self.fields)


class Invalid(ApiError):
    """400, 413, 415 or 422: this request will be refused however often it is sent."""


class Unauthorized(ApiError, NotSignedIn):
    """401: wrong name or password, or a token that has ended."""


class Forbidden(ApiError):
    """403: the account stores as much as it may."""


class NotFound(ApiError):
    """404: it does not exist, or not for this account."""


class Conflict(ApiError):
    """409: it is not ready, or the same request is still running."""


class PreconditionFailed(ApiError):
    """412: the image has changed since the version that was named."""


class TooManyRequests(ApiError):
    """429: `retry_after_seconds` says when it is worth another try."""


class ServerError(ApiError):
    """5xx: something went wrong there, or a part is down."""


_KINDS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    429: TooManyRequests,
}


def of_response(response: httpx.Response) -> ApiError:
    default = ServerError if response.status_code >= 500 else Invalid
    return _KINDS.get(response.status_code, default)(response)


def _body(response: httpx.Response) -> dict[str, Any]:
    """A storage answers errors in XML, and a proxy in HTML: neither is for people to read."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None
