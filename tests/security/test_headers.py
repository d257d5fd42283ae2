"""What every answer carries, whoever gives it: a function, the gateway, the storage."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.security.conftest import ORIGIN

FROM_OWN_PAGE = {"Origin": ORIGIN}
FROM_ELSEWHERE = {"Origin": "https://evil.example"}

Send = Callable[[ApiClient, ApiClient, dict[str, str]], requests.Response]

# Each is what is asked by (somebody signed in, a visitor, headers), and the status of the answer,
# with the code that it has if it is an error.
ANSWERS: dict[str, tuple[Send, int, str | None]] = {
    "a list": (
        lambda user, _, headers: user.get("/image/get_all_images", headers=headers),
        *(200, None),
    ),
    "a session": (
        lambda user, _, headers: user.request(
            "POST",
            "/auth/login",
            json={"username": user.username, "password": "analytical!engine"},
            headers=headers,
        ),
        *(200, None),
    ),
    "the document": (
        lambda _, visitor, headers: visitor.get("/openapi.json", headers=headers),
        *(200, None),
    ),
    "the health": (
        lambda _, visitor, headers: visitor.get("/health", headers=headers),
        *(200, None),
    ),
    "a broken rule": (
        lambda user, _, headers: user.get("/image/get_all_images?limit=0", headers=headers),
        *(400, "validation_error"),
    ),
    "no token": (
        lambda _, visitor, headers: visitor.get("/image/get_all_images", headers=headers),
        *(401, "unauthenticated"),
    ),
    "wrong credentials": (
        lambda _, visitor, headers: visitor.request(
            "POST",
            "/auth/login",
            json={"username": "nobody", "password": "wrong"},
            headers=headers,
        ),
        *(401, "wrong_credentials"),
    ),
    "a missing image": (
        lambda user, _, headers: user.get("/image/0", headers=headers),
        *(404, "image_not_found"),
    ),
    "a wrong method": (
        lambda user, _, headers: user.request("PATCH", "/image/1", headers=headers),
        *(405, "method_not_allowed"),
    ),
    "an unknown path": (
        lambda user, _, headers: user.get("/images", headers=headers),
        *(404, "path_not_found"),
    ),
    "too large for the function": (
        lambda user, _, headers: user.request(
            "PUT", "/image/update/1", json={"title": "x" * 100_000}, headers=headers
        ),
        *(413, "file_too_large"),
    ),
    "a format that is not accepted": (
        lambda user, _, headers: user.request(
            "POST",
            "/image/upload_image",
            files={"image": ("a.psd", b"8BPS\0\1" + bytes(20))},
            headers=headers,
        ),
        *(415, "unsupported_format"),
    ),
}
FROM_THE_GATEWAY: dict[str, tuple[Send, int, str | None]] = {
    "too large for the gateway": (
        lambda user, _, headers: user.request(
            "POST", "/image/upload_image", data=bytes(9_000_000), headers=headers
        ),
        *(413, "request_too_large"),
    ),
    "headers too large": (
        lambda user, _, headers: user.get(
            "/image/get_all_images", headers={**headers, "X-Long": "x" * 10_240}
        ),
        *(431, "bad_request"),
    ),
    "a coding that is not known": (
        lambda user, _, headers: user.request(
            "PUT", "/image/update/1", data=b"{}", headers={**headers, "Content-Encoding": "br"}
        ),
        *(415, "bad_request"),
    ),
}


@pytest.mark.parametrize("what", sorted({**ANSWERS, **FROM_THE_GATEWAY}))
def test_every_answer_is_what_it_says_and_not_kept(
    ada: ApiClient, visitor: ApiClient, what: str
) -> None:
    send, status, code = {**ANSWERS, **FROM_THE_GATEWAY}[what]

    answer = send(ada, visitor, FROM_OWN_PAGE)

    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("what", sorted(ANSWERS))
def test_no_answer_of_a_function_may_act_as_a_page(
    ada: ApiClient, visitor: ApiClient, what: str
) -> None:
    answer = ANSWERS[what][0](ada, visitor, {})

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("what", sorted({**ANSWERS, **FROM_THE_GATEWAY}))
def test_a_page_of_the_allowed_origin_may_read_the_answer_and_no_other_may(
    ada: ApiClient, visitor: ApiClient, what: str
) -> None:
    send, *_ = {**ANSWERS, **FROM_THE_GATEWAY}[what]

    own, other = send(ada, visitor, FROM_OWN_PAGE), send(ada, visitor, FROM_ELSEWHERE)

    assert own.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert other.headers.get("Access-Control-Allow-Origin") in (None, ORIGIN)
    for answer in (own, other):
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_of_another_origin_is_not_told_that_it_may_send(visitor: ApiClient) -> None:
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example", "http://localhost"):
        answer = visitor.request(
            "OPTIONS",
            "/image/upload_image",
            headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
        )
        assert answer.headers.get("Access-Control-Allow-Origin") in (None, ORIGIN)
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_the_documentation_runs_its_own_scripts_and_nothing_else(visitor: ApiClient) -> None:
    answer = visitor.get("/docs")

    directives = dict(
        directive.strip().partition(" ")[::2]
        for directive in answer.headers["Content-Security-Policy"].split(";")
    )
    assert directives["default-src"] == "'none'"
    assert re.fullmatch(r"('sha256-[A-Za-z0-9+/=]{44}' ?)+", directives["script-src"])
    assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_client_cannot_put_headers_or_lines_into_an_answer(ada: ApiClient) -> None:
    answer = ada.get(
        "/image/get_all_images?title=%0d%0aSet-Cookie:%20a=b",
        headers={"X-Correlation-Id": "a b<script>", "X-Forwarded-Proto": "javascript"},
    )

    assert "Set-Cookie" not in answer.headers
    assert "<script>" not in str(answer.headers)


@pytest.mark.parametrize("content_type", sorted(samples.MAKERS))
def test_a_stored_image_has_its_true_type_and_a_name_that_nobody_chose(
    ada: ApiClient, content_type: str
) -> None:
    image = ada.uploaded(
        samples.MAKERS[content_type](exif=samples.exif())
        if content_type in samples.WITH_EXIF
        else samples.MAKERS[content_type](),
        filename='"><script>alert(1)</script>.html',
    )

    for url in (image["url"], image["thumbnail_url"], image["preview_url"]):
        served = ada.download(url)
        kind = served.headers["Content-Type"]
        assert kind.startswith("image/") and kind != "image/svg+xml"
        assert re.fullmatch(
            r'inline; filename="[a-z]+\.[a-z]+"', served.headers["Content-Disposition"]
        )
    assert ada.download(image["url"]).headers["Content-Type"] == image["content_type"]
