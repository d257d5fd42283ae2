"""HTTP: the resolver of a function, its entry point, and the request under way."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import parse_qsl, urlencode

import orjson
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestUnsupportedContentType,
    RequestValidationError,
)
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import errors, settings
from image_api.core.time_left import time_left
from image_api.core.tracing import Origin, trace_id_of, traceparent_of
from image_api.observability import logger
from image_api.web import problem_pages, problems, validation
from image_api.web.request_times import RequestTimes
from image_api.web.validation import REPLACED, RequestValidation, invalid, refuse_open_models

if TYPE_CHECKING:
    from image_api.core.accounts.tokens import AccessClaims
    from image_api.core.library.images import Caller
    from image_api.core.library.listing import Page

_COMMON_HEADERS = {
    "X-Content-Type-Options": ["nosniff"],
    "Cache-Control": ["no-store"],
    # For answers that are no page: pages have a policy of their own.
    "Content-Security-Policy": ["default-src 'none'; frame-ancestors 'none'"],
    "Referrer-Policy": ["no-referrer"],
}
# Of other origins' pages: what they may send, which template.yaml repeats, and what they may read.
ALLOWED_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    "X-Correlation-Id",
)
EXPOSED_HEADERS = (
    *("ETag", "Link", "Retry-After", "X-Correlation-Id", "X-Total-Count"),
    "X-Total-Count-Relation",
)
LINK_TOKEN = "token"  # noqa: S105 - the name of a parameter
MAX_FIELDS_BYTES = 64 * 1024
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}", re.ASCII)
_FIRST_ERROR, _FIRST_SERVER_ERROR = 400, 500
_PARAMETER = re.compile(r"<(\w+)>")

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


class TokenVerifier(Protocol):
    def verify(self, authorization: str | None) -> AccessClaims:
        """Raises Unauthenticated."""


def check_body_size(size_bytes: int) -> None:
    """What a path takes that expects a few fields."""
    if size_bytes > MAX_FIELDS_BYTES:
        raise errors.FileTooLarge(
            f"The request has {size_bytes} bytes; this path takes at most {MAX_FIELDS_BYTES}"
        )


class Resolver(APIGatewayRestResolver):
    """Powertools' resolver, which knows its paths and whether they need a signed-in user."""

    def __init__(
        self,
        tokens: TokenVerifier | None,
        check_size: Callable[[int], None],
        *,
        serves_pages: bool,
        takes_links: bool,
        form_fields: Collection[str] | None,
    ) -> None:
        # Before Powertools' constructor, which registers routes of its own.
        self._methods: dict[str, list[str]] = {}
        self._cors_config = CORSConfig(
            allow_origin=settings.allowed_origin(),
            allow_headers=list(ALLOWED_HEADERS),
            expose_headers=list(EXPOSED_HEADERS),
            max_age=600,
        )
        super().__init__(
            enable_validation=True, cors=self._cors_config, json_body_deserializer=_json_object
        )
        self.tokens = tokens
        self.takes_links = takes_links
        self.check_size = check_size
        self.form_fields = form_fields
        self.serves_pages = serves_pages
        # Whether the request under way takes its time on purpose.
        self.waits = False
        # Its headers, by their names in lower case. Powertools makes that of them each time anew.
        self.headers: dict[str, str] = {}
        # Powertools takes no middleware of ours in the place of its own but by this attribute.
        self._request_validation_middleware = RequestValidation(serves_pages=serves_pages)
        self.exception_handler(errors.ImageApiError)(problems.of_error)
        self.exception_handler(RequestValidationError)(problems.of_invalid_request)
        self.exception_handler(RequestUnsupportedContentType)(problems.of_content_type)
        self.exception_handler(NotFoundError)(problems.of_unknown_path)

    def route(self, rule: str, method: Any, *args: Any, **kwargs: Any) -> Any:
        """As Powertools' own; keeps what `methods_of` answers. HEAD comes with GET."""
        methods = [method] if isinstance(method, str) else list(method)
        known = self._methods.setdefault(_PARAMETER.sub(r"{\1}", rule), [])
        for name in methods:
            known.extend(["GET", "HEAD"] if name == "GET" else [name])
        declare = super().route(rule, method, *args, **kwargs)

        def declared(handler: Callable[..., Any]) -> Any:
            refuse_open_models(handler)
            return declare(handler)

        return declared

    def methods_of(self, resource: str) -> list[str]:
        """Those that a path of the template has here; none for a path that is not ours."""
        return self._methods.get(resource, [])

    def cors_headers(self, event: dict[str, Any]) -> dict[str, str]:
        """What Powertools adds to the answers of routes; a refusal comes before any of them."""
        headers = event.get("headers") or {}
        origin = next((value for name, value in headers.items() if name.lower() == "origin"), None)
        allowed = self._cors_config.allowed_origin(origin) if origin else None
        return self._cors_config.to_dict(allowed) if allowed else {}


def resolver(
    *,
    tokens: TokenVerifier | None = None,
    check_size: Callable[[int], None] = check_body_size,
    serves_pages: bool = False,
    takes_links: bool = False,
    form_fields: Collection[str] | None = None,
) -> Resolver:
    """With `tokens`, for signed-in users only; with `takes_links` also for whoever comes with the
    query's `token`, which the route itself has to check. `check_size` gets the size of the body in
    bytes before any of it is decoded. Pages take any query: links to them carry what others add.
    `form_fields` are all that is read of an urlencoded form, as OAuth2 asks for (RFC 6749, 3.2).
    """
    return Resolver(
        tokens,
        check_size,
        serves_pages=serves_pages,
        takes_links=takes_links,
        form_fields=form_fields,
    )


def lambda_handler(app: Resolver) -> Handler:
    """The function's entry point: who asks is settled before anything of the request is read.

    A method that the path does not have is refused to everybody.
    """
    times = RequestTimes()

    def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        started_at = time.perf_counter()
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        origin = _origin(event, headers)
        app.context.clear()
        app.context.update(origin)
        app.waits, app.headers = False, headers
        # Nothing of the request before stays.
        logger.append_keys(
            function_name=context.function_name,
            correlation_id=origin["correlation_id"],
            client_correlation_id=origin["client_correlation_id"] or None,
            trace_id=trace_id_of(origin["traceparent"]),
            user_id=None,
        )
        method, route = event.get("httpMethod"), event.get("resource")
        try:
            with time_left.during(context.get_remaining_time_in_millis):
                response = _answer(app, event, context, headers)
        except Exception:
            logger.exception(
                "request failed", method=method, route=route, duration_ms=_since(started_at)
            )
            raise
        status, duration_ms = response["statusCode"], _since(started_at)
        is_of_a_link = app.takes_links and status >= _FIRST_ERROR
        if is_of_a_link and problem_pages.is_preferred(headers.get("accept")):
            response = problem_pages.of_problem(response)
        write = logger.info if status < _FIRST_SERVER_ERROR else logger.warning
        write(
            "request answered", method=method, route=route, status=status, duration_ms=duration_ms
        )
        if not app.waits:
            times.add(duration_ms / 1000)
        return _with_common_headers(response, origin["correlation_id"])

    return handle


def _answer(
    app: Resolver, event: dict[str, Any], context: LambdaContext, headers: dict[str, str]
) -> dict[str, Any]:
    method, allowed = event.get("httpMethod"), app.methods_of(event.get("resource") or "")
    if allowed and method not in allowed:
        return _refusal(app, event, problems.of_wrong_method(method, allowed))
    try:
        if app.tokens is not None and not (app.takes_links and _has_link(event)):
            claims = app.tokens.verify(headers.get("authorization"))
            app.context["user_id"] = claims.user_id
            logger.append_keys(user_id=claims.user_id)
        app.check_size(_body_size_bytes(event))
        _read_text(event, _media_type(event), app.form_fields)
    except (errors.Unauthenticated, errors.FileTooLarge) as error:
        return _refusal(app, event, problems.of_error(error))
    except RequestValidationError as error:
        return _refusal(app, event, problems.of_invalid_request(error))
    if method == "HEAD":
        # As a GET, whose body the gateway leaves out: it alone can then say how long that is.
        event = {**event, "httpMethod": "GET"}
    return app.resolve(event, context)


def _has_link(event: dict[str, Any]) -> bool:
    return bool(((event.get("queryStringParameters") or {}).get(LINK_TOKEN) or "").strip())


def _since(started_at: float) -> float:
    """Milliseconds."""
    return round((time.perf_counter() - started_at) * 1000, 1)


# Up to what JavaScript can hold; none is ever as large.
ImageId = Annotated[int, Path(ge=1, le=2**53 - 1, description="The image's id", examples=[1])]
UploadId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{32}$",
        description="From the beginning of the upload",
        examples=["0f1e2d3c4b5a69788796a5b4c3d2e1f0"],
    ),
]
Wait = Annotated[
    int | None,
    Query(
        ge=1,
        le=15,
        description="Maximum seconds to wait; the answer comes earlier once the image is no "
        "longer `processing`, and at once where too many wait",
        examples=[15],
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Within 24 hours the same request with the same key gets the first answer "
        "again, and nothing is done twice",
        pattern="^[!-~]{1,255}$",
        examples=["7d1c6ae4-0a2f-4a52-9f3b-2f0c4f6e8a11"],
    ),
]


def caller(app: Resolver, idempotency_key: str | None = None) -> Caller:
    """Who sent the request under way."""
    # Imported here: whoever has no signed-in users has no images either.
    from image_api.core.library.images import Caller

    context = app.context
    return Caller(
        user_id=int(context["user_id"]),
        correlation_id=context["correlation_id"],
        traceparent=context["traceparent"],
        client_correlation_id=context["client_correlation_id"],
        idempotency_key=idempotency_key,
    )


def user_id(app: Resolver) -> int:
    """Who is signed in."""
    return int(app.context["user_id"])


def origin(app: Resolver) -> Origin:
    """Of what comes of the request under way."""
    return Origin(app.context["correlation_id"], app.context["traceparent"])


def correlation_id(app: Resolver) -> str:
    return str(app.context["correlation_id"])


def signed_in_user(app: Resolver) -> int | None:
    """None for whoever came with a link."""
    user_id = app.context.get("user_id")
    return None if user_id is None else int(user_id)


def accepted_types(app: Resolver) -> str | None:
    """The Accept header."""
    return app.headers.get("accept")


def client_address(app: Resolver) -> str:
    return str(app.current_event.request_context.identity.source_ip or "unknown")


def json_response(
    body: object, headers: dict[str, str] | None = None, *, status: int = 200
) -> Response[Any]:
    """A body that needs no validation on its way out, since the use case built it field by field.

    Powertools would walk through a list of 100 images in Python, which takes longer than the query.
    """
    return Response(status, "application/json", orjson.dumps(body).decode(), dict(headers or {}))


def redirect(url: str, headers: dict[str, str] | None = None) -> Response[Any]:
    """To where the answer lies; without a body, so that no token of a URL is in it twice."""
    return Response(302, None, "", {"Location": url, **(headers or {})})


def link_to_next(app: Resolver, cursor: str) -> str:
    """A Link header to the same list from `cursor` on (RFC 8288)."""
    event = app.current_event
    sent = event.multi_value_query_string_parameters or {}
    query = urlencode({**sent, "cursor": cursor}, doseq=True)
    return f'<{base_url(app)}{event.path}?{query}>; rel="next"'


def page_headers(app: Resolver, page: Page) -> dict[str, str]:
    headers = {"X-Total-Count": str(page.total)}
    if not page.is_total_exact:
        headers["X-Total-Count-Relation"] = "at-least"
    if page.next_cursor is not None:
        headers["Link"] = link_to_next(app, page.next_cursor)
    return headers


def base_url(app: Resolver) -> str:
    """Where this API is for the client that asks, without a slash at the end."""
    scheme = app.headers.get("x-forwarded-proto", "https")
    return f"{scheme}://{app.headers.get('host', 'localhost')}{base_path(app)}"


def base_path(app: Resolver) -> str:
    """What stands before the path of each route for the client that asks."""
    # Only API Gateway's own domain shows the stage to clients.
    is_its_own = ".execute-api." in app.headers.get("host", "")
    return f"/{app.current_event.request_context.stage}" if is_its_own else ""


def _origin(event: dict[str, Any], headers: dict[str, str]) -> dict[str, str]:
    """What ties to the request all that comes of it. What the client calls it stands beside our
    own name and never in its place, since two clients may send the same.
    """
    sent = headers.get("x-correlation-id", "")
    return {
        "correlation_id": str((event.get("requestContext") or {}).get("requestId") or ""),
        "client_correlation_id": sent if _CORRELATION_ID.fullmatch(sent) else "",
        "traceparent": traceparent_of(headers.get("traceparent"), headers.get("x-amzn-trace-id")),
    }


def _body_size_bytes(event: dict[str, Any]) -> int:
    body = event.get("body") or ""
    return len(body) * 3 // 4 if event.get("isBase64Encoded") else len(body)


def _media_type(event: dict[str, Any]) -> str:
    """In lower case, and so in the event as well: Powertools compares it with its case."""
    media_type = ""
    for name in ("headers", "multiValueHeaders"):
        sent = event.get(name) or {}
        for header in [header for header in sent if header.lower() == "content-type"]:
            values = sent[header] if isinstance(sent[header], list) else [sent[header]]
            lowered = []
            for value in values:
                essence, semicolon, parameters = value.partition(";")
                media_type = essence.strip().lower()
                lowered.append(media_type + semicolon + parameters)
            sent[header] = lowered if isinstance(sent[header], list) else lowered[0]
    return media_type


def _read_text(event: dict[str, Any], media_type: str, form_fields: Collection[str] | None) -> None:
    """A body that is text comes as text, whatever the gateway made of it, and in UTF-8."""
    if media_type == _MULTIPART:
        return
    if event.get("isBase64Encoded"):
        try:
            event["body"] = b64decode(event.get("body") or "").decode()
        except UnicodeDecodeError as error:
            raise _not_utf8() from error
        except ValueError as error:
            raise invalid("json_invalid", "The body cannot be read") from error
        event["isBase64Encoded"] = False
    if REPLACED in (event.get("body") or ""):
        raise _not_utf8()
    if media_type == _FORM:
        _read_form_as_json(event, form_fields)


def _not_utf8() -> RequestValidationError:
    return invalid("json_invalid", "The body is not UTF-8")


def _read_form_as_json(event: dict[str, Any], wanted: Collection[str] | None) -> None:
    """The OAuth2 form, which Swagger's Authorize button sends, is the same fields otherwise put."""
    try:
        sent = parse_qsl(event.get("body") or "", keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise _not_utf8() from error
    fields = [(name, value) for name, value in sent if wanted is None or name in wanted]
    event["body"] = json.dumps(_named_once(fields))
    for name in ("headers", "multiValueHeaders"):
        headers = event.get(name) or {}
        for header in [header for header in headers if header.lower() == "content-type"]:
            headers[header] = "application/json" if name == "headers" else ["application/json"]


def _json_object(body: str) -> dict[str, Any]:
    try:
        value = json.loads(body, object_pairs_hook=_named_once)
    except (ValueError, RecursionError) as error:
        # Nested too deeply, or a number of thousands of digits: Python's parser gives up.
        raise invalid("json_invalid", "The body cannot be read") from error
    if value is not None and not isinstance(value, dict):
        raise invalid("object_type", "The body must be an object")
    return value or {}


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON leaves open which of two with one name counts, and parsers differ (RFC 8259, 4)."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid("json_invalid", validation.ONCE.format(names.count(twice)), twice)
    return fields


def _with_common_headers(response: dict[str, Any], correlation_id: str) -> dict[str, Any]:
    headers = response.setdefault("multiValueHeaders", {})
    for name, values in _COMMON_HEADERS.items():
        headers.setdefault(name, values)
    headers["X-Correlation-Id"] = [correlation_id]
    return response


def _refusal(
    app: Resolver, event: dict[str, Any], response: Response[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "multiValueHeaders": {
            name: [str(value)]
            for name, value in {**app.cors_headers(event), **response.headers}.items()
        },
        "body": json.dumps(response.body),
        "isBase64Encoded": False,
    }
