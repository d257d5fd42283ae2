"""Errors as answers: the one table from error to status, and the shapes of their bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

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

    from image_api.core.library.batch import BatchResult


class Answer(NamedTuple):
    """`code` is for programs: it stays as it is, whatever the words become."""

    status: int
    code: str


ANSWERS: dict[type[errors.ImageApiError], Answer] = {
    errors.InvalidRequest: Answer(400, "validation_error"),
    errors.Unauthenticated: Answer(401, "unauthenticated"),
    errors.WrongCredentials: Answer(401, "wrong_credentials"),
    errors.AccountLocked: Answer(403, "account_locked"),
    errors.RefreshTokenRefused: Answer(401, "refresh_token_refused"),
    errors.TooManyAttempts: Answer(429, "too_many_attempts"),
    errors.ImageNotFound: Answer(404, "image_not_found"),
    errors.ImageNotReady: Answer(409, "not_ready"),
    errors.ImageFailed: Answer(409, "image_failed"),
    errors.TooManyRenditions: Answer(429, "too_many_renditions"),
    errors.RenditionUnderWay: Answer(503, "rendition_under_way"),
    errors.UploadNotFound: Answer(404, "upload_not_found"),
    errors.PreconditionFailed: Answer(412, "precondition_failed"),
    errors.KeyReused: Answer(422, "idempotency_key_reused"),
    errors.RequestInProgress: Answer(409, "request_in_progress"),
    errors.EmptyFile: Answer(400, "empty_file"),
    errors.NotAnImage: Answer(400, "not_an_image"),
    errors.DamagedImage: Answer(400, "damaged_image"),
    errors.UnsupportedFormat: Answer(415, "unsupported_format"),
    errors.TooManyPixels: Answer(413, "too_many_pixels"),
    errors.FileTooLarge: Answer(413, "file_too_large"),
    errors.QuotaExceeded: Answer(403, "quota_exceeded"),
    errors.TooMuchUnderWay: Answer(429, "too_much_under_way"),
    errors.ServiceUnavailable: Answer(503, "service_unavailable"),
}
_UNKNOWN_PATH = Answer(404, "path_not_found")
_WRONG_METHOD = Answer(405, "method_not_allowed")
# What the gateway answers by itself, as template.yaml has it.
_OF_THE_GATEWAY = (
    Answer(413, "request_too_large"),
    Answer(429, "too_many_requests"),
    Answer(500, "internal_error"),
    Answer(504, "timeout"),
    Answer(400, "bad_request"),
)
EVERY_ANSWER = frozenset((*ANSWERS.values(), _UNKNOWN_PATH, _WRONG_METHOD, *_OF_THE_GATEWAY))
CODES = sorted(answer.code for answer in EVERY_ANSWER)


_ACCEPTED = "Image request sent to the processing service"


class Problem(BaseModel):
    """What is wrong, in words, and as a code for programs."""

    detail: str
    code: Annotated[str, Field(json_schema_extra={"enum": [*CODES]})]


class FieldProblem(BaseModel):
    field: str
    message: str


class InvalidFields(BaseModel):
    """Which fields break which rule."""

    detail: str = Field(default="Validation error", examples=["Validation error"])
    code: Literal["validation_error"] = "validation_error"
    errors: list[FieldProblem]


def documented(
    answer: Any, *statuses: int, headers: dict[str, str] | None = None
) -> dict[int, OpenAPIResponse]:
    """The answers of a route, for its OpenAPI document: the body of a 200, and the errors.

    `headers` are those of a 200, by name: what each one says.
    """
    success: OpenAPIResponse = {
        "description": "Success",
        "content": {"application/json": {"model": answer}},
    }
    if headers:
        success["headers"] = _described(headers)
    responses = {200: success, **documented_errors(*statuses)}
    if "ETag" in (headers or {}):
        responses[304] = {
            "description": "Not modified: an ETag in If-None-Match is current",
            "content": {},
        }
    return responses


def _described(headers: dict[str, str]) -> dict[str, Any]:
    return {
        name: {"description": description, "schema": {"type": "string"}}
        for name, description in headers.items()
    }


def documented_errors(*statuses: int) -> dict[int, OpenAPIResponse]:
    meanings: dict[int, tuple[str, Any]] = {
        400: ("A rule is broken", InvalidFields | Problem),
        401: ("Not signed in, or the token or the password is not valid", Problem),
        403: ("The account stores as much as it may; of signing in: it is locked", Problem),
        404: ("It does not exist for this user", Problem),
        409: (
            "The first request with this Idempotency-Key is still running; of a rendition: "
            "the image is not processed yet, or could not be",
            Problem,
        ),
        412: ("The image is at none of the versions of If-Match", Problem),
        413: ("Larger than a limit; the answer says which", Problem),
        415: ("The format is not accepted", Problem),
        422: ("The Idempotency-Key belongs to another request", Problem),
        429: ("Too many attempts or requests, or too much under way", Problem),
        503: (
            "A part is down or busy; of a rendition: it takes longer than a request may",
            Problem,
        ),
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
    return responses


def redirected(
    description: str,
    *statuses: int,
    or_json: Any = None,
    headers: dict[str, str] | None = None,
) -> dict[int, OpenAPIResponse]:
    """As `documented`, of a route that answers 302, or 200 with `or_json`; `headers` of both."""
    responses = documented(or_json, *statuses, headers=headers)
    if or_json is None:
        del responses[200]
    responses[302] = {
        "description": description,
        "content": {},
        "headers": {
            "Location": {
                "description": "Signed, expires",
                "schema": {"type": "string", "format": "uri"},
            },
            **_described(headers or {}),
        },
    }
    return responses


def of_error(error: errors.ImageApiError) -> Response[dict[str, Any]]:
    answer = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), None)
    if answer is None:
        raise error
    if isinstance(error, errors.InvalidRequest):
        return _of_fields([{"field": error.field, "message": error.message}])
    headers: dict[str, str | list[str]] = {}
    if isinstance(
        error,
        errors.TooManyAttempts
        | errors.TooMuchUnderWay
        | errors.ServiceUnavailable
        | errors.RequestInProgress
        | errors.ImageNotReady
        | errors.TooManyRenditions
        | errors.RenditionUnderWay,
    ):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.ServiceUnavailable):
        logger.warning("a part is down", reason=error.detail, cause=type(error.__cause__).__name__)
    return _response(answer, error.detail, headers)


def result(image_id: int, refusal: errors.ImageApiError | None) -> BatchResult:
    """Of one image among many."""
    # Imported here: one function alone has batches.
    from image_api.core.library.batch import BatchResult

    if refusal is None:
        return BatchResult(id=image_id, status_code=200, code="accepted", detail=_ACCEPTED)
    answer = next(ANSWERS[kind] for kind in type(refusal).__mro__ if kind in ANSWERS)
    return BatchResult(
        id=image_id, status_code=answer.status, code=answer.code, detail=refusal.detail
    )


def of_invalid_request(error: RequestValidationError) -> Response[dict[str, Any]]:
    for problem in error.errors():
        if problem["loc"][0] == "path":
            is_upload = problem["loc"][1] == "upload_id"
            return of_error(errors.UploadNotFound() if is_upload else errors.ImageNotFound())
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
    return _response(_UNKNOWN_PATH, "No such path; see /docs")


def of_wrong_method(method: str | None, allowed: list[str]) -> Response[dict[str, Any]]:
    """API Gateway answers a known path with a method that it lacks like an unknown path,
    so the template sends every method of a path to its function.
    """
    detail = f"This path takes {' and '.join(allowed)}, not {method}"
    allow = ", ".join([*allowed, "OPTIONS"])
    return _response(_WRONG_METHOD, detail, {"Allow": allow})


def _of_fields(problems: list[dict[str, str]]) -> Response[dict[str, Any]]:
    return _response(ANSWERS[errors.InvalidRequest], "Validation error", errors=problems)


def _response(
    answer: Answer, detail: str, headers: dict[str, str | list[str]] | None = None, **more: Any
) -> Response[dict[str, Any]]:
    body = {"detail": detail, "code": answer.code, **more}
    return Response(answer.status, "application/json", body, headers or {})


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
    if problem["type"] in ("too_long", "too_short"):
        known = problem["ctx"]
        bound = (
            f"at most {known['max_length']} are allowed"
            if "max_length" in known
            else f"at least {known['min_length']} is needed"
        )
        return f"There are {known['actual_length']}; {bound}"
    return str(problem["msg"]).removeprefix("Value error, ")
