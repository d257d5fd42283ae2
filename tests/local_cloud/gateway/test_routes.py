"""Which route answers which path."""

import pytest

from infra.local.gateway.routes import RouteTable
from infra.local.template.model import FunctionIntegration, Route


def table(*routes: str) -> RouteTable:
    return RouteTable(
        Route(path, method, FunctionIntegration(f"{method} {path}", 29.0))
        for method, path in (route.split() for route in routes)
    )


def match(routes: RouteTable, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    found = routes.match(method, path)
    if found is None:
        return None
    route, parameters = found
    return f"{route.method} {route.path}", dict(parameters)


IMAGES = table(
    "GET /",
    "GET /image/{image_id}",
    "GET /image/get_all_images",
    "PUT /image/update/{image_id}",
    "GET /files/{proxy+}",
    "ANY /any",
    "POST /any",
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", ("GET /", {})),
        ("GET", "/image/7", ("GET /image/{image_id}", {"image_id": "7"})),
        ("GET", "/image/get_all_images", ("GET /image/get_all_images", {})),
        ("GET", "/image/get_all_images/", ("GET /image/get_all_images", {})),
        ("PUT", "/image/update/7", ("PUT /image/update/{image_id}", {"image_id": "7"})),
        ("GET", "/image/update", ("GET /image/{image_id}", {"image_id": "update"})),
        ("GET", "/image/a%2Fb", ("GET /image/{image_id}", {"image_id": "a%2Fb"})),
        ("GET", "/files/a/b/c", ("GET /files/{proxy+}", {"proxy": "a/b/c"})),
        ("POST", "/any", ("POST /any", {})),
        ("DELETE", "/any", ("ANY /any", {})),
        ("POST", "/image/7", None),
        ("GET", "/image", None),
        ("GET", "/image/", None),
        ("GET", "/image//7", None),
        ("GET", "/image/7/more", None),
        ("GET", "//any", None),
        ("GET", "/files", None),
        ("GET", "/ANY", None),
    ],
)
def test_the_most_specific_resource_answers(
    method: str, path: str, expected: tuple[str, dict[str, str]] | None
) -> None:
    assert match(IMAGES, method, path) == expected


def test_a_resource_without_the_method_is_passed_over_for_a_more_general_one() -> None:
    routes = table(
        "GET /image/all",
        "OPTIONS /image/all",
        "DELETE /image/{image_id}",
        "POST /image/{image_id}/tags",
        "ANY /{proxy+}",
        "PUT /image/{rest+}",
    )
    assert match(routes, "GET", "/image/all") == ("GET /image/all", {})
    assert match(routes, "DELETE", "/image/all") == (
        "DELETE /image/{image_id}",
        {"image_id": "all"},
    )
    assert match(routes, "PUT", "/image/all") == ("PUT /image/{rest+}", {"rest": "all"})
    assert match(routes, "POST", "/image/all") == ("ANY /{proxy+}", {"proxy": "image/all"})
    assert match(routes, "GET", "/image/7/tags") == ("ANY /{proxy+}", {"proxy": "image/7/tags"})


def test_a_method_that_no_resource_on_the_way_has_is_not_answered() -> None:
    routes = table("PATCH /users/me", "GET /users/{user_id}")
    assert match(routes, "GET", "/users/me") == ("GET /users/{user_id}", {"user_id": "me"})
    assert match(routes, "POST", "/users/me") is None
