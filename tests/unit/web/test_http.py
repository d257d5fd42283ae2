"""What every answer over HTTP has in common, whatever the function."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi import compat
from aws_lambda_powertools.event_handler.openapi.params import (
    Body,
    File,
    Form,
    Path,
    Query,
    UploadFile,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from image_api import errors, settings, wiring
from image_api.core.accounts.tokens import TokenSigner
from image_api.core.time_left import time_left
from image_api.web import http, problems, request_times
from tests.application import ENVIRONMENT, Handler, LambdaContext
from tests.log_lines import log_lines
from tests.proxy_events import body_of, header_of, oauth_form_event, proxy_event, upload_event

CONTEXT: Any = LambdaContext()
SIGNER = TokenSigner(ENVIRONMENT["JWT_SECRET"], None, 24 * 3600)

# What each error is made with, where a sentence is not enough.
EXAMPLES: dict[type[errors.ImageApiError], errors.ImageApiError] = {
    errors.InvalidRequest: errors.InvalidRequest("title", "The title is empty"),
    errors.UsernameTaken: errors.UsernameTaken(),
    errors.WrongCredentials: errors.WrongCredentials(),
    errors.AccountLocked: errors.AccountLocked(),
    errors.RefreshTokenRefused: errors.RefreshTokenRefused(),
    errors.TooMuchUnderWay: errors.TooMuchUnderWay("20 direct uploads are begun", 7),
    errors.TooManyAttempts: errors.TooManyAttempts(60),
    errors.ImageNotFound: errors.ImageNotFound(),
    errors.UploadNotFound: errors.UploadNotFound(),
    errors.KeyReused: errors.KeyReused(),
    errors.PreconditionFailed: errors.PreconditionFailed(),
    errors.ImageNotReady: errors.ImageNotReady(),
    errors.RenditionUnderWay: errors.RenditionUnderWay(),
    errors.TooManyRenditions: errors.TooManyRenditions(7),
    errors.RequestInProgress: errors.RequestInProgress(),
}
# A client cannot cause a wrong set-up; the kinds of InvalidImage are raised, never itself.
NOT_FOR_CLIENTS = {
    errors.ConfigurationError,
    errors.InvalidImage,
    errors.ObjectMissing,
    errors.StillInUse,
}


class Sizes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    width: Annotated[int, Field(ge=1)]
    tags: Annotated[list[str], Field(max_length=3)] = []
    sizes: Annotated[list[int] | None, Field(min_length=1)] = None


class Open(BaseModel):
    name: str


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: dict[str, list[Open | None]]


def error_classes() -> list[type[errors.ImageApiError]]:
    return [
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, errors.ImageApiError) and member is not errors.ImageApiError
    ]


def raising(error: Exception) -> Handler:
    app = http.resolver()

    @app.get("/thing")
    def thing() -> Response[Any]:
        raise error

    return http.lambda_handler(app)


def get(handler: Handler, path: str = "/thing", **arguments: Any) -> dict[str, Any]:
    return handler(proxy_event("GET", path, **arguments), CONTEXT)


@pytest.fixture
def echo() -> Handler:
    """Answers a POST with what it was sent."""
    app = http.resolver()

    @app.post("/thing")
    def thing(sizes: Annotated[Sizes, Body()]) -> Response[Any]:
        return http.json_response(sizes.model_dump())

    return http.lambda_handler(app)


@pytest.fixture
def private() -> Handler:
    """Says who asks; its path, query and body have rules."""
    app = http.resolver(tokens=SIGNER)

    @app.put("/thing/<thing_id>")
    def thing(
        thing_id: Annotated[int, Path(ge=1)],
        sizes: Annotated[Sizes, Body()],
        limit: Annotated[int, Query(ge=1)] = 1,
    ) -> Response[Any]:
        return http.json_response({"user_id": http.caller(app).user_id, "thing_id": thing_id})

    return http.lambda_handler(app)


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_answers_knows_how_much_time_the_function_has_left(fails: bool) -> None:
    app = http.resolver()

    @app.get("/thing")
    def thing() -> Response[Any]:
        found = [time_left.is_enough_for(seconds) for seconds in (4.9, 5.1)]
        if fails:
            raise ZeroDivisionError
        return http.json_response(found)

    handler = http.lambda_handler(app)
    context: Any = LambdaContext(remaining_milliseconds=5_000)
    if fails:
        with pytest.raises(ZeroDivisionError):
            handler(proxy_event("GET", "/thing"), context)
    else:
        assert handler(proxy_event("GET", "/thing"), context)["body"] == "[true,false]"
    # And nobody is held to it afterwards.
    assert time_left.is_enough_for(1e9)


def test_what_a_field_is_is_found_out_with_the_first_request_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = http.resolver()

    @app.get("/thing")
    def thing(
        limit: Annotated[int, Query(ge=1)] = 1, tag: Annotated[list[str] | None, Query()] = None
    ) -> Response[Any]:
        return http.json_response([limit, tag])

    handler = http.lambda_handler(app)
    first = get(handler, query={"limit": "2"})
    monkeypatch.setattr(
        compat, "field_annotation_is_scalar", lambda *_: pytest.fail("It was asked again")
    )
    assert get(handler, query={"limit": "2"})["body"] == first["body"] == "[2,null]"


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_that_a_client_can_cause_has_a_status(
    kind: type[errors.ImageApiError],
) -> None:
    mapped = any(ancestor in problems.ANSWERS for ancestor in kind.__mro__)
    assert mapped == (kind not in NOT_FOR_CLIENTS)


@pytest.mark.parametrize("kind", list(problems.ANSWERS), ids=lambda kind: kind.__name__)
def test_an_error_is_answered_with_its_status_and_its_words(
    kind: type[errors.ImageApiError],
) -> None:
    error = EXAMPLES.get(kind) or kind("What is wrong, in words")
    response = get(raising(error))
    assert response["statusCode"] == problems.ANSWERS[kind].status
    if isinstance(error, errors.InvalidRequest):
        assert body_of(response) == {
            "detail": "Validation error",
            "code": "validation_error",
            "errors": [{"field": "title", "message": "The title is empty"}],
        }
    else:
        assert body_of(response) == {"detail": error.detail, "code": problems.ANSWERS[kind].code}
    assert header_of(response, "Content-Type") == "application/json"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.UsernameTaken, 400),
        (errors.WrongCredentials, 401),
        (errors.TooManyAttempts, 429),
        (errors.ImageNotFound, 404),
        (errors.UploadNotFound, 404),
        (errors.PreconditionFailed, 412),
        (errors.EmptyFile, 400),
        (errors.NotAnImage, 400),
        (errors.DamagedImage, 400),
        (errors.FileTooLarge, 413),
        (errors.UnsupportedFormat, 415),
        (errors.ServiceUnavailable, 503),
    ],
)
def test_the_statuses_are_those_of_the_contract(
    kind: type[errors.ImageApiError], status: int
) -> None:
    error = EXAMPLES.get(kind) or kind("words")
    assert get(raising(error))["statusCode"] == status


def test_too_many_attempts_say_when_to_come_back() -> None:
    response = get(raising(errors.TooManyAttempts(61)))
    assert header_of(response, "Retry-After") == "61"


def test_an_outage_says_when_to_come_back() -> None:
    response = get(raising(errors.ServiceUnavailable("The database did not answer")))
    assert header_of(response, "Retry-After") == "5"


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), KeyError("x"), errors.ConfigurationError("Set JWT_SECRET")]
)
def test_an_unknown_error_escapes_so_that_the_gateway_answers_for_it(error: Exception) -> None:
    with pytest.raises(type(error)):
        get(raising(error))


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"name": "This field is required", "width": "This field is required"}),
        ({"name": "a", "width": 0}, {"width": "Input should be greater than or equal to 1"}),
        (
            {"name": "a", "width": "x"},
            {"width": "Input should be a valid integer, unable to parse"},
        ),
        ({"name": None, "width": 1}, {"name": "Input should be a valid string"}),
        ({"name": "a", "width": 1, "tags": [1]}, {"tags": "Input should be a valid string"}),
        (
            {"name": "a", "width": 1, "tags": ["b"] * 4, "sizes": []},
            {
                "tags": "There are 4; at most 3 are allowed",
                "sizes": "There are 0; at least 1 is needed",
            },
        ),
    ],
)
def test_a_broken_rule_names_field_and_rule(
    echo: Handler, body: dict[str, Any], problems: dict[str, str]
) -> None:
    response = echo(proxy_event("POST", "/thing", json_body=body), CONTEXT)
    assert response["statusCode"] == 400
    answer = body_of(response)
    assert set(answer) == {"detail", "code", "errors"}
    assert answer["detail"] == "Validation error"
    assert {problem["field"] for problem in answer["errors"]} == set(problems)
    for problem in answer["errors"]:
        assert set(problem) == {"field", "message"}
        assert problem["message"].startswith(problems[problem["field"]])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"text"',
        '{"name": "a", "width": 1,}',
        "{'name': 'a'}",
        "\ufffd",
        "[" * 10_000,
        '{"a":' * 10_000,
        '{"name": "a", "width": ' + "9" * 5000 + "}",
        '{"name": "a", "width": NaN}',
        '{"name": "a", "width": Infinity}',
    ],
    ids=lambda body: body[:30] or "empty",
)
def test_a_body_that_cannot_be_read_is_the_clients_mistake(echo: Handler, body: str) -> None:
    event = proxy_event("POST", "/thing", body=body, content_type="application/json")
    response = echo(event, CONTEXT)
    assert response["statusCode"] == 400
    assert body_of(response)["detail"] == "Validation error"
    assert body_of(response)["errors"]


def test_a_body_larger_than_a_few_fields_need_is_refused_unread(echo: Handler) -> None:
    body = "[" * (http.MAX_FIELDS_BYTES + 1)
    event = proxy_event("POST", "/thing", body=body, content_type="application/json")
    response = echo(event, CONTEXT)
    assert response["statusCode"] == 413
    assert "at most 65536" in body_of(response)["detail"]


def test_who_is_not_signed_in_is_told_nothing_of_limits(private: Handler) -> None:
    body = "[" * (http.MAX_FIELDS_BYTES + 1)
    event = proxy_event("PUT", "/thing/1", body=body, content_type="application/json")
    assert private(event, CONTEXT)["statusCode"] == 401


def test_a_limit_counts_the_bytes_behind_base64() -> None:
    sizes: list[int] = []
    app = http.resolver(check_size=sizes.append)

    @app.post("/thing")
    def thing() -> Response[Any]:
        return http.json_response({})

    event = proxy_event("POST", "/thing", binary=bytes(3000), content_type="multipart/form-data")
    http.lambda_handler(app)(event, CONTEXT)
    assert sizes == [3000]


def test_a_missing_body_is_the_clients_mistake(echo: Handler) -> None:
    response = echo(proxy_event("POST", "/thing"), CONTEXT)
    assert response["statusCode"] == 400
    assert body_of(response)["errors"]


@given(st.text(max_size=60))
def test_no_body_crashes_the_function(body: str) -> None:
    app = http.resolver()

    @app.post("/thing")
    def thing(sizes: Annotated[Sizes, Body()]) -> Response[Any]:
        return http.json_response(sizes.model_dump())

    event = proxy_event("POST", "/thing", body=body, content_type="application/json")
    assert http.lambda_handler(app)(event, CONTEXT)["statusCode"] in (200, 400)


def test_an_unknown_content_type_is_the_clients_mistake(echo: Handler) -> None:
    event = proxy_event("POST", "/thing", body="<a/>", content_type="application/xml")
    response = echo(event, CONTEXT)
    assert response["statusCode"] == 400
    assert body_of(response)["errors"][0]["field"] == "Content-Type"


def test_a_form_is_read_as_the_same_fields(echo: Handler) -> None:
    event = proxy_event(
        "POST",
        "/thing",
        body="name=a%20b%21&width=7",
        content_type="application/x-www-form-urlencoded; charset=utf-8",
    )
    assert body_of(echo(event, CONTEXT)) == {"name": "a b!", "width": 7, "tags": [], "sizes": None}


def test_the_oauth_form_of_swagger_is_read() -> None:
    app = http.resolver()

    @app.post("/auth/login")
    def login(fields: Annotated[dict[str, str], Body()]) -> Response[Any]:
        return http.json_response(fields)

    response = http.lambda_handler(app)(oauth_form_event("ada", "p&ss=w+rd!"), CONTEXT)
    assert body_of(response)["username"] == "ada"
    assert body_of(response)["password"] == "p&ss=w+rd!"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=B", b""),
        ("multipart/form-data; boundary=B", b"garbage"),
        ("multipart/form-data; boundary=B", b"--B\r\n\r\n--B--"),
        (
            "multipart/form-data; boundary=B",
            b'--B\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--B--',
        ),
        (
            "multipart/form-data; boundary=B",
            b'--B\r\nContent-Disposition: form-data; name="title"\r\n\r\n\xff\xfe\r\n--B--',
        ),
        ("application/json", b"{}"),
        ("image/png", b"\x89PNG"),
    ],
)
def test_a_malformed_upload_is_the_clients_mistake(content_type: str, body: bytes) -> None:
    app = http.resolver()

    @app.post("/image/upload_image")
    def upload(
        image: Annotated[UploadFile, File()], title: Annotated[str | None, Form()] = None
    ) -> Response[Any]:
        return http.json_response({"size": len(image.content)})

    event = proxy_event("POST", "/image/upload_image", binary=body, content_type=content_type)
    response = http.lambda_handler(app)(event, CONTEXT)
    assert response["statusCode"] == 400
    assert body_of(response)["detail"] == "Validation error"


def test_the_bytes_of_an_upload_arrive_unchanged() -> None:
    app = http.resolver()
    data = bytes(range(256)) * 20 + b"\r\n--not-the-boundary\r\n\r\n"
    received: list[tuple[bytes, str | None, str | None]] = []

    @app.post("/image/upload_image")
    def upload(
        image: Annotated[UploadFile, File()], title: Annotated[str | None, Form()] = None
    ) -> Response[Any]:
        received.append((image.content, image.filename, title))
        return http.json_response({})

    event = upload_event(data, token=None, filename="ä 'x'.png", title="Zoë")
    assert http.lambda_handler(app)(event, CONTEXT)["statusCode"] == 200
    assert received == [(data, "ä 'x'.png", "Zoë")]


@pytest.mark.parametrize("thing_id", ["0", "-1", "abc", "1.5", "1e3", "٣x", "9" * 5000])
def test_an_id_that_nothing_can_have_is_not_found(private: Handler, thing_id: str) -> None:
    event = proxy_event(
        "PUT",
        f"/thing/{thing_id}",
        token=SIGNER.issue(7),
        json_body={"name": "a", "width": 1},
    )
    response = private(event, CONTEXT)
    assert response["statusCode"] == 404
    assert set(body_of(response)) == {"detail", "code"}


def test_who_asks_is_settled_before_anything_of_the_request_is_read(private: Handler) -> None:
    for event in (
        proxy_event("PUT", "/thing/abc", query={"limit": "-1"}, json_body=[]),
        proxy_event("PUT", "/thing/1", body="{", content_type="application/json"),
        proxy_event("PUT", "/nowhere"),
        proxy_event("PUT", "/thing/1", token="forged", json_body={"name": "a", "width": 1}),
    ):
        response = private(event, CONTEXT)
        assert response["statusCode"] == 401
        assert header_of(response, "WWW-Authenticate") == "Bearer"
        assert header_of(response, "Content-Type") == "application/json"
        assert set(body_of(response)) == {"detail", "code"}


def test_a_good_token_says_who_asks_whatever_the_headers_case(private: Handler) -> None:
    for name in ("Authorization", "authorization", "AUTHORIZATION"):
        event = proxy_event(
            "PUT",
            "/thing/3",
            json_body={"name": "a", "width": 1},
            headers={name: f"Bearer {SIGNER.issue(7)}"},
        )
        assert body_of(private(event, CONTEXT)) == {"user_id": 7, "thing_id": 3}


def test_one_request_leaves_its_user_to_no_other(private: Handler) -> None:
    body = {"name": "a", "width": 1}
    private(proxy_event("PUT", "/thing/3", json_body=body, token=SIGNER.issue(7)), CONTEXT)
    assert private(proxy_event("PUT", "/thing/3", json_body=body), CONTEXT)["statusCode"] == 401
    second = proxy_event("PUT", "/thing/3", json_body=body, token=SIGNER.issue(8))
    assert body_of(private(second, CONTEXT))["user_id"] == 8


def test_a_function_with_tokens_does_not_start_without_a_good_secret(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("JWT_SECRET", "short")
    settings.tokens.cache_clear()
    wiring.tokens.cache_clear()
    with pytest.raises(errors.ConfigurationError, match="JWT_SECRET has 5 bytes"):
        http.lambda_handler(http.resolver(tokens=wiring.tokens()))


def test_a_path_that_the_function_does_not_know_is_not_found(echo: Handler) -> None:
    response = echo(proxy_event("GET", "/nowhere"), CONTEXT)
    assert response["statusCode"] == 404
    assert set(body_of(response)) == {"detail", "code"}


def answers(private: Handler, echo: Handler) -> list[dict[str, Any]]:
    """One answer of every sort."""
    return [
        echo(proxy_event("POST", "/thing", json_body={"name": "a", "width": 1}), CONTEXT),
        echo(proxy_event("POST", "/thing", json_body={}), CONTEXT),
        echo(proxy_event("GET", "/nowhere"), CONTEXT),
        private(proxy_event("PUT", "/thing/1"), CONTEXT),
        get(raising(errors.ImageNotFound())),
        get(raising(errors.ServiceUnavailable("away"))),
    ]


def test_no_answer_is_sniffed_or_stored(private: Handler, echo: Handler) -> None:
    for response in answers(private, echo):
        assert header_of(response, "X-Content-Type-Options") == "nosniff"
        assert header_of(response, "Cache-Control") == "no-store"
        assert header_of(response, "Referrer-Policy") == "no-referrer"
        assert "default-src 'none'" in (header_of(response, "Content-Security-Policy") or "")


def test_a_browser_of_another_origin_may_read_every_answer(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("CORS_ALLOWED_ORIGIN", "https://gallery.example.com")
    settings.allowed_origin.cache_clear()
    app = http.resolver(tokens=SIGNER)

    @app.get("/thing")
    def thing() -> Response[Any]:
        return http.json_response({})

    handler = http.lambda_handler(app)
    for token in (SIGNER.issue(7), None):
        response = get(handler, token=token, headers={"Origin": "https://gallery.example.com"})
        assert header_of(response, "Access-Control-Allow-Origin") == "https://gallery.example.com"
        exposed = header_of(response, "Access-Control-Expose-Headers") or ""
        assert {name.strip() for name in exposed.split(",")} >= {
            "Link",
            "X-Total-Count",
            "X-Total-Count-Relation",
            "X-Correlation-Id",
            "Retry-After",
        }
    other = get(handler, token=SIGNER.issue(7), headers={"Origin": "https://evil.example.com"})
    assert header_of(other, "Access-Control-Allow-Origin") != "https://evil.example.com"


def test_no_origin_may_send_credentials(private: Handler, echo: Handler) -> None:
    for response in answers(private, echo):
        assert header_of(response, "Access-Control-Allow-Credentials") is None


@pytest.mark.parametrize("sent", ["request-1", "a.b_c:d=e-F", "x" * 128])
def test_a_correlation_id_of_the_client_stands_beside_ours(echo: Handler, sent: str) -> None:
    event = proxy_event("POST", "/thing", headers={"x-correlation-id": sent})
    ours = event["requestContext"]["requestId"]
    with log_lines() as lines:
        assert header_of(echo(event, CONTEXT), "X-Correlation-Id") == ours
    (line,) = lines
    assert (line["correlation_id"], line["client_correlation_id"]) == (ours, sent)


@pytest.mark.parametrize("sent", ["", "a b", "a\r\nSet-Cookie: b", "ä", "x" * 129, "<script>"])
def test_a_strange_correlation_id_is_written_nowhere(echo: Handler, sent: str) -> None:
    event = proxy_event("POST", "/thing", headers={"X-Correlation-Id": sent})
    expected = event["requestContext"]["requestId"]
    with log_lines() as lines:
        assert header_of(echo(event, CONTEXT), "X-Correlation-Id") == expected
    (line,) = lines
    assert "client_correlation_id" not in line


def test_each_request_is_one_line(private: Handler) -> None:
    with log_lines() as lines:
        answered = get(private, token=SIGNER.issue(7), headers={"X-Correlation-Id": "mine"})
        get(private)
    first, second = lines
    assert (first["message"], first["level"]) == ("request answered", "INFO")
    assert (first["method"], first["route"]) == ("GET", "/thing")
    assert first["status"] == answered["statusCode"]
    assert (first["user_id"], first["function_name"]) == (7, CONTEXT.function_name)
    assert first["duration_ms"] >= 0
    assert second["status"] == 401
    # Nothing of the request before.
    assert not {"user_id", "client_correlation_id"} & set(second)
    assert second["correlation_id"] != first["correlation_id"]
    assert second["trace_id"] != first["trace_id"]


def test_how_long_requests_take_is_measured_unless_they_wait_on_purpose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(request_times, "_MOST", 2)
    app = http.resolver()

    @app.get("/thing")
    def thing(wait: int | None = None) -> Response[Any]:
        app.waits = wait is not None
        return http.json_response({})

    handler = http.lambda_handler(app)
    for duration_ms, query in ((2500.0, {}), (15_000.0, {"wait": "15"}), (20.0, {})):
        monkeypatch.setattr(http, "_since", lambda _, value=duration_ms: value)
        get(handler, query=query)

    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["RequestTime"] for line in written if "_aws" in line] == [[2.5, 0.02]]


def test_times_of_requests_are_written_many_at_a_time_and_not_kept_for_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [0.0]
    times = request_times.RequestTimes(lambda: clock[0])

    def written(count: int) -> list[int]:
        """How many each line holds."""
        for _ in range(count):
            times.add(0.1)
        lines = capsys.readouterr().out.splitlines()
        return [len(json.loads(line)["RequestTime"]) for line in lines]

    assert written(98) == []
    assert written(100) == [99, 99]
    assert written(1) == []
    clock[0] = 30.0
    assert written(1) == [2]
    assert written(1) == []


def test_what_escapes_is_one_line_as_well_with_its_traceback() -> None:
    with log_lines() as lines, pytest.raises(ZeroDivisionError):
        get(raising(ZeroDivisionError("division by zero")))
    (line,) = lines
    assert (line["message"], line["level"], line["route"]) == ("request failed", "ERROR", "/thing")
    assert line["correlation_id"]
    assert line["exception_name"] == "ZeroDivisionError"
    assert "division by zero" in line["exception"]


def test_every_answer_carries_a_correlation_id(private: Handler, echo: Handler) -> None:
    assert all(header_of(response, "X-Correlation-Id") for response in answers(private, echo))


@pytest.mark.parametrize(
    ("headers", "base_url"),
    [
        ({"Host": "localhost:8000", "X-Forwarded-Proto": "http"}, "http://localhost:8000"),
        ({"Host": "api.example.com"}, "https://api.example.com"),
        (
            {"Host": "a1b2.execute-api.eu-west-1.amazonaws.com"},
            "https://a1b2.execute-api.eu-west-1.amazonaws.com/v1",
        ),
    ],
)
def test_the_link_to_the_next_page_works_where_the_client_is(
    headers: dict[str, str], base_url: str
) -> None:
    app = http.resolver()

    @app.get("/image/get_all_images")
    def page(
        limit: Annotated[int, Query()],
        title: Annotated[str, Query()],
        cursor: Annotated[str, Query()],
    ) -> Response[Any]:
        return http.json_response([], {"Link": http.link_to_next(app, "aTE")})

    response = get(
        http.lambda_handler(app),
        "/image/get_all_images",
        headers=headers,
        query={"limit": "2", "title": "a&b=ä", "cursor": "old"},
    )
    assert header_of(response, "Link") == (
        f'<{base_url}/image/get_all_images?limit=2&title=a%26b%3D%C3%A4&cursor=aTE>; rel="next"'
    )


def test_the_clients_address_is_the_gateways_not_a_header() -> None:
    app = http.resolver()

    @app.get("/thing")
    def thing() -> Response[Any]:
        return http.json_response({"address": http.client_address(app)})

    response = get(
        http.lambda_handler(app),
        headers={"X-Forwarded-For": "10.0.0.1"},
        source_ip="203.0.113.9",
    )
    assert body_of(response) == {"address": "203.0.113.9"}


def test_an_answer_has_only_the_keys_that_the_gateway_takes(
    private: Handler, echo: Handler
) -> None:
    for response in answers(private, echo):
        allowed = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
        assert set(response) <= allowed
        assert isinstance(response["statusCode"], int)
        json.loads(response["body"])


def test_a_log_line_of_an_outage_names_the_cause_and_not_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = errors.ServiceUnavailable("The database did not answer; try again")
    error.__cause__ = OSError("password=hunter2")
    get(raising(error))
    record, _ = caplog.records
    assert record.__dict__["cause"] == "OSError"
    assert "hunter2" not in str(record.__dict__)


def test_documented_errors_have_the_shape_of_their_answers() -> None:
    documented: Callable[..., Any] = problems.documented
    statuses = {answer.status for answer in problems.ANSWERS.values()}
    assert set(documented(problems.Problem, *statuses)) == {200, *statuses}


# --- names, spellings and charsets ----------------------------------------------------------------


@pytest.fixture
def upload() -> Handler:
    """Answers with what arrived of a form, of which all but the file is optional."""
    app = http.resolver()

    @app.post("/image/upload_image")
    def upload(
        image: Annotated[UploadFile, File()],
        title: Annotated[str | None, Form()] = None,
        visibility: Annotated[str | None, Form()] = None,
        tags: Annotated[list[str] | None, Form()] = None,
    ) -> Response[Any]:
        return http.json_response(
            {
                "tags": tags,
                "bytes": len(image.content),
                "filename": image.filename,
                "title": title,
                "visibility": visibility,
            }
        )

    return http.lambda_handler(app)


FILE = (b'name="image"; filename="a.png"\r\nContent-Type: image/png', b"picture")


def sent_form(
    handler: Handler,
    *parts: tuple[bytes, bytes],
    content_type: str = "multipart/form-data; boundary=XbX",
) -> dict[str, Any]:
    body = b"".join(
        b"--XbX\r\nContent-Disposition: form-data; " + headers + b"\r\n\r\n" + content + b"\r\n"
        for headers, content in parts
    )
    event = proxy_event(
        "POST", "/image/upload_image", binary=body + b"--XbX--\r\n", content_type=content_type
    )
    return handler(event, CONTEXT)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(b'name="title"; filename="blob"', b"hello"), FILE], {"title": "hello"}),
        ([(b'name="title"; filename=""', b"hello"), FILE], {"title": "hello"}),
        ([(b'name="image"\r\nContent-Type: image/png', b"\x89PNG")], {"bytes": 4, "filename": ""}),
        ([(b'name="image"', b"\xff\xfe")], {"bytes": 2}),
        (
            [(b'name="title"\r\nContent-Type: text/plain; charset=ISO-8859-1', b"Sch\xf6n"), FILE],
            {"title": "Schön"},
        ),
        (
            [(b'name="title"\r\ncontent-type: text/plain; charset="UTF-16LE"', b"S\0\xf6\0"), FILE],
            {"title": "Sö"},
        ),
        (
            [(b'name="_charset_"', b"iso-8859-1"), (b'name="title"', b"Sch\xf6n"), FILE],
            {"title": "Schön"},
        ),
        (
            [
                (
                    b'name="image"; filename="=?utf-8?B?w6Quam0=?="; filename*=utf-8\'\'%C3%A4.png',
                    b"x",
                )
            ],
            {"filename": "ä.png"},
        ),
        ([(b'name="title"', b""), (b'name="visibility"', b"  "), FILE], {"title": None}),
        ([FILE], {"tags": None}),
        ([(b'name="tags"', b"a"), FILE], {"tags": ["a"]}),
        ([(b'name="tags"', b"a,b"), (b'name="tags"', b"c"), FILE], {"tags": ["a,b", "c"]}),
        ([(b'name="tags"', b" "), FILE], {"tags": None}),
        ([(b'name="tags"', b""), (b'name="tags"', b"c"), FILE], {"tags": ["c"]}),
    ],
)
def test_what_clients_send_in_their_own_ways_is_understood(
    upload: Handler, parts: list[tuple[bytes, bytes]], expected: dict[str, Any]
) -> None:
    response = sent_form(upload, *parts)

    assert response["statusCode"] == 200, response["body"]
    assert body_of(response) == body_of(response) | expected


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ([(b'name="visible"', b"private"), FILE], "visible", "Unknown field"),
        ([(b'name="Visibility"', b"private"), FILE], "Visibility", "Unknown field"),
        ([(b'name="x"; filename="b.png"', b"\xff"), FILE], "x", "Unknown field"),
        ([FILE, FILE], "image", "Send one file, not 2"),
        ([(b'name="title"', b"a"), (b'name="title"', b"b"), FILE], "title", "once, not 2"),
        ([(b'name="title"', b"Sch\xf6n"), FILE], "title", "not UTF-8"),
        ([(b'name="title"\r\nContent-Type: a/b; charset=zip', b"x"), FILE], "title", "charset"),
        ([(b'name="title"\r\nContent-Type: a/b; charset=gbk', b"\xff"), FILE], "title", "charset"),
        ([(b'filename="a"', b"x"), FILE], "body", "no name"),
    ],
)
def test_what_a_form_may_not_hold_is_named(
    upload: Handler, parts: list[tuple[bytes, bytes]], field: str, words: str
) -> None:
    response = sent_form(upload, *parts)

    assert response["statusCode"] == 400
    assert [problem["field"] for problem in body_of(response)["errors"]] == [field]
    assert words in body_of(response)["errors"][0]["message"]


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=", "no boundary"),
        ("multipart/form-data; boundary=other", "boundary of the Content-Type is not in the form"),
    ],
)
def test_a_form_whose_boundary_is_missing_says_so(
    upload: Handler, content_type: str, words: str
) -> None:
    response = sent_form(upload, FILE, content_type=content_type)

    assert response["statusCode"] == 400
    assert words in body_of(response)["errors"][0]["message"]


@pytest.mark.parametrize(
    "content_type",
    ['Multipart/Form-Data; Boundary="XbX"', "MULTIPART/FORM-DATA;boundary=XbX"],
)
def test_the_media_type_of_a_form_is_read_without_its_case(
    upload: Handler, content_type: str
) -> None:
    assert sent_form(upload, FILE, content_type=content_type)["statusCode"] == 200


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/JSON; Charset=utf-8"])
def test_the_media_type_of_json_is_read_without_its_case(echo: Handler, content_type: str) -> None:
    event = proxy_event(
        "POST", "/thing", body='{"name": "a", "width": 1}', content_type=content_type
    )

    assert echo(event, CONTEXT)["statusCode"] == 200


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ('{"name": "Jos\ufffd", "width": 1}', "application/json"),
        ("name=Zo%E9&width=1", "application/x-www-form-urlencoded"),
        ("name=Zo\ufffd&width=1", "application/x-www-form-urlencoded"),
    ],
)
def test_text_that_is_not_utf8_is_refused_and_never_repaired(
    echo: Handler, text: str, content_type: str
) -> None:
    event = proxy_event("POST", "/thing", body=text, content_type=content_type)

    response = echo(event, CONTEXT)

    assert response["statusCode"] == 400
    assert "UTF-8" in body_of(response)["errors"][0]["message"]


def test_bytes_that_are_not_utf8_are_refused(echo: Handler) -> None:
    event = proxy_event(
        "POST", "/thing", binary=b'{"name": "Jos\xe9", "width": 1}', content_type="application/json"
    )

    response = echo(event, CONTEXT)

    assert response["statusCode"] == 400
    assert "UTF-8" in body_of(response)["errors"][0]["message"]


@pytest.mark.parametrize("spelling", ["01", "+1", "1_0", "1.0", "0x1", "\u0661"])
def test_a_number_has_one_spelling(spelling: str) -> None:
    app = http.resolver()

    @app.get("/thing/<thing_id>")
    def thing(
        thing_id: Annotated[int, Path(ge=1)], limit: Annotated[int, Query(ge=1)] = 1
    ) -> Response[Any]:
        return http.json_response({"limit": limit})

    handler = http.lambda_handler(app)

    assert get(handler, "/thing/1", query={"limit": "10"})["statusCode"] == 200
    assert get(handler, f"/thing/{spelling}")["statusCode"] == 404
    response = get(handler, "/thing/1", query={"limit": spelling})
    assert response["statusCode"] == 400
    assert body_of(response)["errors"][0]["field"] == "limit"


def test_a_query_may_hold_what_its_path_knows_and_blanks_count_as_nothing() -> None:
    app = http.resolver()

    @app.get("/thing")
    def thing(
        limit: Annotated[int, Query(ge=1)] = 7, status: Annotated[str | None, Query()] = None
    ) -> Response[Any]:
        return http.json_response({"limit": limit, "status": status})

    handler = http.lambda_handler(app)

    blank = get(handler, query={"limit": "", "status": " "})
    unknown = get(handler, query={"limits": "1", "status": "ready"})
    replaced = get(handler, query={"status": "\ufffd"})

    assert body_of(blank) == {"limit": 7, "status": None}
    assert [answer["statusCode"] for answer in (unknown, replaced)] == [400, 400]
    assert body_of(unknown)["errors"] == [
        {"field": "limits", "message": "Unknown field or parameter; see /docs"}
    ]
    assert "UTF-8" in body_of(replaced)["errors"][0]["message"]


def test_a_page_takes_any_query() -> None:
    app = http.resolver(serves_pages=True)

    @app.get("/page")
    def page() -> Response[Any]:
        return http.json_response({})

    assert get(http.lambda_handler(app), "/page", query={"utm": "x"})["statusCode"] == 200


def test_of_a_sign_in_form_what_oauth2_adds_is_passed_over() -> None:
    app = http.resolver(form_fields=("name", "width"))

    @app.post("/thing")
    def thing(sizes: Annotated[Sizes, Body()]) -> Response[Any]:
        return http.json_response(sizes.model_dump())

    handler = http.lambda_handler(app)
    form = "name=a&width=1&grant_type=password&anything=else"
    as_json = {"name": "a", "width": 1, "grant_type": "password"}

    answer = handler(
        proxy_event("POST", "/thing", body=form, content_type="application/x-www-form-urlencoded"),
        CONTEXT,
    )
    refused = handler(proxy_event("POST", "/thing", json_body=as_json), CONTEXT)

    assert answer["statusCode"] == 200
    assert body_of(refused)["errors"][0]["field"] == "grant_type"


@pytest.mark.parametrize("model", [Open, Closed, Annotated[list[Open], "any"], Open | None])
def test_a_body_that_takes_unknown_fields_at_any_depth_cannot_be_declared(model: Any) -> None:
    def handler(fields: Annotated[Any, Body()]) -> Response[Any]:
        raise NotImplementedError

    handler.__annotations__["fields"] = Annotated[model, Body()]

    with pytest.raises(TypeError, match="Open takes unknown fields"):
        http.resolver().post("/thing")(handler)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": "a", "width": 1, "name": "b"}', "name"),
        ('{"name": "a", "width": 1, "tags": [{"x": 1, "x": 2}]}', "x"),
        ("name=a&width=1&name=b", "name"),
    ],
)
def test_a_field_that_is_sent_twice_is_named(echo: Handler, body: str, field: str) -> None:
    content_type = "application/json" if body[0] == "{" else "application/x-www-form-urlencoded"

    response = echo(proxy_event("POST", "/thing", body=body, content_type=content_type), CONTEXT)

    assert response["statusCode"] == 400
    assert body_of(response)["errors"] == [
        {"field": field, "message": "Send this once, not 2 times"}
    ]


def test_a_parameter_that_is_sent_twice_is_named_unless_it_is_a_list() -> None:
    app = http.resolver()

    @app.get("/thing")
    def thing(
        status: Annotated[str | None, Query()] = None,
        tag: Annotated[list[str] | None, Query()] = None,
    ) -> Response[Any]:
        return http.json_response({"tag": tag})

    handler = http.lambda_handler(app)

    def asked(**query: list[str]) -> dict[str, Any]:
        event = proxy_event("GET", "/thing", query={name: each[-1] for name, each in query.items()})
        return handler({**event, "multiValueQueryStringParameters": query}, CONTEXT)

    assert body_of(asked(tag=["a", "b"])) == {"tag": ["a", "b"]}
    twice = asked(status=["ready", "failed"])
    assert body_of(twice)["errors"][0]["field"] == "status"
    assert "once" in body_of(twice)["errors"][0]["message"]


@pytest.mark.parametrize("body", ["", " ", "{}", "null"])
def test_where_no_body_is_expected_an_empty_one_says_nothing(body: str) -> None:
    assert get(bodiless(), body=body, content_type="application/json")["statusCode"] == 200


@pytest.mark.parametrize(
    ("body", "field"), [('{"title": "x"}', "title"), ("[1]", "body"), ("title", "body")]
)
def test_where_no_body_is_expected_what_it_holds_is_refused(body: str, field: str) -> None:
    response = get(bodiless(), body=body, content_type="application/json")

    assert response["statusCode"] == 400
    assert body_of(response)["errors"][0]["field"] == field


def bodiless() -> Handler:
    app = http.resolver()

    @app.get("/thing")
    def thing() -> Response[Any]:
        return http.json_response({"here": True}, {"ETag": '"7"'})

    return http.lambda_handler(app)


def test_a_body_of_nothing_is_one_without_fields() -> None:
    app = http.resolver()

    class Optional(BaseModel):
        model_config = ConfigDict(extra="forbid")

        name: str | None = None

    def thing(fields: Any) -> Response[Any]:
        return http.json_response(fields.model_dump())

    thing.__annotations__["fields"] = Annotated[Optional, Body()]
    app.post("/thing")(thing)

    assert body_of(http.lambda_handler(app)(proxy_event("POST", "/thing"), CONTEXT)) == {
        "name": None
    }


# --- HEAD -----------------------------------------------------------------------------------------


def test_head_is_answered_as_get_whose_body_the_gateway_leaves_out() -> None:
    handler = bodiless()

    asked, got = (handler(proxy_event(method, "/thing"), CONTEXT) for method in ("HEAD", "GET"))

    for each in (asked, got):
        del each["multiValueHeaders"]["X-Correlation-Id"]
    assert asked == got
    assert asked["statusCode"] == 200


def test_head_is_logged_as_what_it_is_and_refused_where_there_is_no_get(private: Handler) -> None:
    with log_lines() as lines:
        bodiless()(proxy_event("HEAD", "/thing"), CONTEXT)
        refused = private(
            {**proxy_event("HEAD", "/thing/1"), "resource": "/thing/{thing_id}"}, CONTEXT
        )

    assert [(line["method"], line["status"]) for line in lines] == [("HEAD", 200), ("HEAD", 405)]
    assert header_of(refused, "Allow") == "PUT, OPTIONS"
