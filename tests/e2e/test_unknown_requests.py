"""What the gateway and the functions say to requests that fit nowhere."""

from __future__ import annotations

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.routes import OPERATIONS, PAGES, filled, taking

TAKEN_METHODS = {
    filled(taken): {method for method, path in OPERATIONS if path == taken}
    for _, taken in OPERATIONS
}
GETTABLE = sorted(path for method, path in OPERATIONS if method == "GET")
# Those of a query; that of a page is its own.
PARAMETERS = [
    (path, parameter["name"])
    for (_, path), operation in OPERATIONS.items()
    for parameter in operation.get("parameters", [])
    if parameter["in"] == "query" and path not in PAGES
]
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
            assert answer.json()["code"] == "path_not_found"


@pytest.mark.parametrize("path", sorted(TAKEN_METHODS))
def test_a_wrong_method_is_refused_with_the_right_one(visitor: ApiClient, path: str) -> None:
    for method in set(METHODS) - TAKEN_METHODS[path]:
        answer = visitor.request(method, path)

        assert answer.status_code == 405, method
        assert answer.json().keys() == {"detail", "code"}
        assert answer.json()["code"] == "method_not_allowed"
        for taken in TAKEN_METHODS[path]:
            assert taken in answer.json()["detail"]
            assert taken in answer.headers["Allow"]


@pytest.mark.parametrize("path", sorted(TAKEN_METHODS))
def test_a_browser_may_ask_before_it_sends(visitor: ApiClient, path: str) -> None:
    for method in TAKEN_METHODS[path]:
        answer = visitor.request(
            "OPTIONS",
            path,
            headers={
                "Origin": "https://gallery.example",
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization,if-none-match",
            },
        )

        assert answer.status_code in (200, 204)
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://gallery.example")
        assert method in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert set(allowed.replace(" ", "").split(",")) >= {
            *("authorization", "content-type", "idempotency-key"),
            *("if-match", "if-none-match", "x-correlation-id"),
        }


def test_head_says_what_get_would_without_its_body(ada: ApiClient) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    for template in GETTABLE:
        path = filled(template, image_id)
        head, whole = ada.request("HEAD", path), ada.get(path)

        assert (head.status_code, head.content) == (whole.status_code, b""), path
        names = {"Content-Type", "Content-Length", "X-Total-Count", "Cache-Control"}
        for name in names if whole.content else names - {"Content-Length"}:
            assert head.headers.get(name) == whole.headers.get(name), (path, name)


@pytest.mark.parametrize("route", [route for route in OPERATIONS if route[1] not in PAGES], ids=str)
def test_an_unknown_parameter_names_itself(ada: ApiClient, route: tuple[str, str]) -> None:
    method, path = route
    answer = ada.request(method, filled(path), params={"nonsense": "1"})

    assert "nonsense" in field_messages(answer)


@pytest.mark.parametrize("route", taking("application/json"), ids=str)
def test_an_unknown_field_names_itself(ada: ApiClient, route: tuple[str, str]) -> None:
    method, path = route
    answer = ada.request(method, filled(path), json={"nonsense": 1})

    assert "nonsense" in field_messages(answer)


def test_an_unknown_field_of_a_form_names_itself(ada: ApiClient) -> None:
    messages = field_messages(ada.upload(samples.gif(), visiblity="private"))

    assert messages.keys() == {"visiblity"}


@pytest.mark.parametrize("route", taking("application/json"), ids=str)
def test_a_body_that_is_not_utf_8_is_refused_and_not_repaired(
    ada: ApiClient, route: tuple[str, str]
) -> None:
    method, path = route
    body, headers = b'{"title": "Jos\xe9"}', {"Content-Type": "application/json"}
    answer = ada.request(method, filled(path), data=body, headers=headers)

    assert list(field_messages(answer).values()) == ["The body is not UTF-8"]


@pytest.mark.parametrize(("path", "name"), PARAMETERS)
def test_a_query_that_is_not_utf_8_is_refused_and_not_repaired(
    ada: ApiClient, path: str, name: str
) -> None:
    answer = ada.get(f"{filled(path)}?{name}=%E4")

    assert field_messages(answer) == {name: "This is not UTF-8"}


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
