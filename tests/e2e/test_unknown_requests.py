"""What the gateway and the functions say to requests that fit nowhere."""

from __future__ import annotations

import pytest

from tests.e2e.api_client import ApiClient

TAKEN_METHODS = {
    "/auth/register": "POST",
    "/auth/login": "POST",
    "/image/upload_image": "POST",
    "/image/direct_upload": "POST",
    "/image/get_all_images": "GET",
    "/image/1": "GET",
    "/image/update/1": "PUT",
    "/image/delete/1": "DELETE",
    "/docs": "GET",
    "/openapi.json": "GET",
    "/health": "GET",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REVEALING = ("traceback", "select ", "postgres", "pg8000", "boto", ".py", "arn:", "secret")


@pytest.mark.parametrize(
    "path",
    ["/images", "/image", "/image/1/2", "/auth", "/docs/index.html", "/image//1", "/v1"],
)
def test_an_unknown_path_is_not_found_in_words(
    visitor: ApiClient, ada: ApiClient, path: str
) -> None:
    for client in (visitor, ada):
        for method in METHODS:
            answer = client.request(method, path)

            assert answer.status_code == 404, method
            assert answer.json().keys() == {"detail", "code"}


@pytest.mark.parametrize("path", sorted(TAKEN_METHODS))
def test_a_wrong_method_is_refused_with_the_right_one(visitor: ApiClient, path: str) -> None:
    for method in METHODS:
        if method == TAKEN_METHODS[path]:
            continue
        answer = visitor.request(method, path)

        assert answer.status_code == 405, method
        assert answer.json().keys() == {"detail", "code"}
        assert TAKEN_METHODS[path] in answer.json()["detail"]
        assert TAKEN_METHODS[path] in answer.headers["Allow"]


@pytest.mark.parametrize("path", sorted(TAKEN_METHODS))
def test_a_browser_may_ask_before_it_sends(visitor: ApiClient, path: str) -> None:
    answer = visitor.request(
        "OPTIONS",
        path,
        headers={
            "Origin": "https://gallery.example",
            "Access-Control-Request-Method": TAKEN_METHODS[path],
            "Access-Control-Request-Headers": "authorization,if-none-match",
        },
    )

    assert answer.status_code in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://gallery.example")
    assert TAKEN_METHODS[path] in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert set(allowed.replace(" ", "").split(",")) >= {
        *("authorization", "content-type", "idempotency-key"),
        *("if-match", "if-none-match", "x-correlation-id"),
    }


@pytest.mark.parametrize(
    "path", [path for path, method in TAKEN_METHODS.items() if method == "GET"]
)
def test_head_says_what_get_would_without_its_body(ada: ApiClient, path: str) -> None:
    head, whole = ada.request("HEAD", path), ada.get(path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("Content-Type", "Content-Length", "X-Total-Count"):
        assert head.headers.get(name) == whole.headers.get(name), name


def test_a_page_of_another_origin_may_read_answers_and_errors(
    ada: ApiClient, visitor: ApiClient
) -> None:
    origin = {"Origin": "https://gallery.example"}
    answers = {
        200: ada.get("/image/get_all_images", headers=origin),
        400: ada.get("/image/get_all_images?limit=0", headers=origin),
        401: visitor.get("/image/get_all_images", headers=origin),
        404: ada.get("/image/0", headers=origin),
        405: ada.request("PATCH", "/image/0", headers=origin),
    }

    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*", status
    exposed = answers[200].headers["Access-Control-Expose-Headers"].lower()
    assert set(exposed.replace(" ", "").split(",")) >= {
        *("etag", "link", "retry-after", "x-correlation-id"),
        *("x-total-count", "x-total-count-relation"),
    }


def test_no_error_shows_what_is_behind_the_api(ada: ApiClient, visitor: ApiClient) -> None:
    answers = [
        visitor.request("POST", "/auth/register", data=b"{'", headers={"Content-Type": "a/b"}),
        visitor.request("POST", "/auth/login", json={"username": "\ud800", "password": "\x00"}),
        visitor.request("POST", "/auth/login", json={"username": "' OR 1=1", "password": "x"}),
        ada.get("/image/get_all_images", params={"cursor": "' OR 1=1"}),
        ada.get("/image/get_all_images", params={"title": "\x00"}),
        ada.get("/image/1%00"),
        ada.request("PUT", "/image/update/1", json={"title": "\x00"}),
        ada.upload(b"\xff\xd8\xff", "\x00.jpg"),
    ]

    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text
        assert not [word for word in REVEALING if word in answer.text.lower()], answer.text


def test_answers_are_not_cached_and_not_guessed_at(ada: ApiClient) -> None:
    for answer in (ada.images(), ada.image(0)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
