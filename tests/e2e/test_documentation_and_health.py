"""GET /docs, /openapi.json and /health."""

from __future__ import annotations

import yaml

from tests.application import ROOT
from tests.e2e.api_client import ApiClient

ROUTES = {
    ("post", "/auth/register"),
    ("post", "/auth/login"),
    ("post", "/image/upload_image"),
    ("get", "/image/get_all_images"),
    ("get", "/image/{image_id}"),
    ("put", "/image/update/{image_id}"),
    ("delete", "/image/delete/{image_id}"),
    ("get", "/docs"),
    ("get", "/openapi.json"),
    ("get", "/health"),
}
# What the gateway sends to a function because nothing is there.
EVERYTHING_ELSE = {"/", "/{proxy+}"}


def test_the_documentation_is_a_page_that_needs_nothing_from_elsewhere(
    visitor: ApiClient,
) -> None:
    answer = visitor.get("/docs", headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "SwaggerUIBundle" in answer.text
    assert '<script src="http' not in answer.text
    assert "/image/upload_image" in answer.text


def test_the_openapi_document_lists_every_route(visitor: ApiClient) -> None:
    document = visitor.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    documented = {
        (method, path) for path, operations in document["paths"].items() for method in operations
    }
    assert documented >= ROUTES
    assert {path for _, path in documented} == _paths_of_the_template() - EVERYTHING_ELSE


def test_the_openapi_document_says_where_the_api_is(visitor: ApiClient) -> None:
    assert visitor.get("/openapi.json").json()["servers"] == [{"url": visitor.api_url}]


def test_every_documented_error_has_a_schema(visitor: ApiClient) -> None:
    document = visitor.get("/openapi.json").json()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                assert response["content"], f"{method} {path} {status}"
            if path.startswith("/image"):
                assert "401" in operation["responses"], f"{method} {path}"
                assert operation["security"], f"{method} {path}"


def test_everything_is_up(visitor: ApiClient) -> None:
    answer = visitor.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": "up", "broker": "up", "storage": "up"}


class _TemplateLoader(yaml.SafeLoader):
    """Reads past CloudFormation's own tags."""


_TemplateLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def _paths_of_the_template() -> set[str]:
    template = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), _TemplateLoader)
    return {
        event["Properties"]["Path"]
        for resource in template["Resources"].values()
        for event in (resource["Properties"].get("Events") or {}).values()
        if event["Type"] == "Api"
    }
