"""Errors as answers: the one table from error to status, and the shapes of their bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestUnsupportedContentType,
    RequestValidationError,
)
from pydantic import BaseModel, Field

from image_api import errors
from image_api.observability import logger
from image_api.web import validation

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

STATUS_OF: dict[type[errors.ImageApiError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.WrongCredentials: 401,
    errors.TooManyAttempts: 429,
    errors.ImageNotFound: 404,
    errors.UploadNotFound: 404,
    errors.KeyReused: 422,
    errors.RequestInProgress: 409,
    errors.EmptyFile: 400,
    errors.NotAnImage: 400,
    errors.DamagedImage: 400,
    errors.UnsupportedFormat: 415,
    errors.TooManyPixels: 413,
    errors.FileTooLarge: 413,
    errors.ServiceUnavailable: 503,
}


class Problem(BaseModel):
    """What is wrong, in words."""

    detail: str


class FieldProblem(BaseModel):
    field: str
    message: str


class InvalidFields(BaseModel):
    """Which fields break which rule."""

    detail: str = Field(default="Validation error", examples=["Validation error"])
    errors: list[FieldProblem]


def documented(
    answer: Any, *statuses: int, headers: dict[str, str] | None = None
) -> dict[int, OpenAPIResponse]:
    """The answers of a route, for its OpenAPI document: the body of a 200, and the errors.

    `headers` are those of a 200, by name: what each one says.
    """
    meanings: dict[int, tuple[str, Any]] = {
        400: ("A rule is broken", InvalidFields | Problem),
        401: ("Not signed in, or the token is not valid", Problem),
        404: ("It does not exist for this user", Problem),
        409: ("The first request with this Idempotency-Key is still running", Problem),
        413: ("Larger than a limit; the answer says which", Problem),
        415: ("The format is not accepted", Problem),
        422: ("The Idempotency-Key belongs to another request", Problem),
        429: ("Too many attempts", Problem),
        503: ("A part is down", Problem),
    }
    responses: dict[int, OpenAPIResponse] = {
        status: {
            "description": meanings[status][0],
            "content": {"application/json": {"model": meanings[status][1]}},
        }
        for status in statuses
    }
    for status in {409, 429, 503} & responses.keys():
        responses[status]["headers"] = {
            "Retry-After": {
                "description": "Seconds until it is worth another try",
                "schema": {"type": "integer"},
            }
        }
    success: OpenAPIResponse = {
        "description": "Success",
        "content": {"application/json": {"model": answer}},
    }
    if headers:
        success["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in headers.items()
        }
    return {200: success, **responses}


def of_error(error: errors.ImageApiError) -> Response[dict[str, Any]]:
    status = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), None)
    if status is None:
        raise error
    if isinstance(error, errors.InvalidRequest):
        return _of_fields([{"field": error.field, "message": error.message}])
    headers: dict[str, str | list[str]] = {}
    if isinstance(
        error, errors.TooManyAttempts | errors.ServiceUnavailable | errors.RequestInProgress
    ):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.ServiceUnavailable):
        logger.warning("a part is down", reason=error.detail, cause=type(error.__cause__).__name__)
    return Response(status, "application/json", {"detail": error.detail}, headers)


def of_invalid_request(error: RequestValidationError) -> Response[dict[str, Any]]:
    if any(problem["loc"][0] == "path" for problem in error.errors()):
        return of_error(errors.ImageNotFound())
    return _of_fields(
        [
            {"field": _field(problem["loc"]), "message": _message(problem)}
            for problem in error.errors()
        ]
    )


def of_content_type(_: RequestUnsupportedContentType) -> Response[dict[str, Any]]:
    return _of_fields(
        [{"field": "Content-Type", "message": "This content type is not accepted here"}]
    )


def of_unknown_path(_: NotFoundError) -> Response[dict[str, Any]]:
    return Response(404, "application/json", {"detail": "No such path; see /docs"})


def of_wrong_method(method: str | None, allowed: list[str]) -> Response[dict[str, Any]]:
    """API Gateway answers a known path with a method that it lacks like an unknown path,
    so the template sends every method of a path to its function.
    """
    detail = f"This path takes {' and '.join(allowed)}, not {method}"
    allow = ", ".join([*allowed, "OPTIONS"])
    return Response(405, "application/json", {"detail": detail}, {"Allow": allow})


def _of_fields(problems: list[dict[str, str]]) -> Response[dict[str, Any]]:
    return Response(400, "application/json", {"detail": "Validation error", "errors": problems})


def _field(location: tuple[str | int, ...]) -> str:
    """The field as the client wrote it: without where it was found (body, query, path)."""
    inner = [str(part) for part in location[1:] if not isinstance(part, int)]
    return ".".join(inner) or str(location[0])


def _message(problem: dict[str, Any]) -> str:
    """Pydantic's words; those of our own rules without the prefix that it puts before them."""
    if problem["type"] == "missing":
        return "This field is required"
    if problem["type"] == "extra_forbidden":
        return validation.UNKNOWN
    return str(problem["msg"]).removeprefix("Value error, ")
