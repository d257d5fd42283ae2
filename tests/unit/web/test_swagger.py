"""The OpenAPI document is current and complete, and Swagger UI shows it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import jsonschema_rs
import pytest
import yaml

from image_api.web import http, swagger
from tests.application import FUNCTIONS, ROOT, LambdaContext, load_function
from tests.commands import output_of
from tests.proxy_events import body_of, header_of, proxy_event

CONTEXT = LambdaContext()


class TemplateLoader(yaml.SafeLoader):
    """Reads a template without evaluating CloudFormation's functions."""


def _intrinsic(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


TemplateLoader.add_multi_constructor("!", _intrinsic)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FUNCTIONS / "docs" / "openapi.json").read_bytes())
    return loaded


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(
        (ROOT / "template.yaml").read_text(encoding="utf-8"), TemplateLoader
    )
    return loaded


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# What the gateway sends to a function because nothing is there.
EVERYTHING_ELSE = {"/{proxy+}"}


def routes_of(template: dict[str, Any]) -> dict[tuple[str, str], str]:
    """By method and path, the folder of the function that answers."""
    return {
        (event["Properties"]["Method"].lower(), event["Properties"]["Path"]): resource[
            "Properties"
        ]["CodeUri"].removeprefix("functions/")
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    }


def operations_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_what_the_functions_say() -> None:
    # In a process of its own: loading every function sets settings for the whole process.
    program = (
        "import json, sys; from infra.tools.openapi import merged_document; "
        "json.dump(merged_document(), sys.stdout)"
    )
    generated = output_of(sys.executable, "-c", program)
    current = json.loads((FUNCTIONS / "docs" / "openapi.json").read_bytes())
    assert json.loads(generated) == current, "run `make openapi`"


def test_every_path_of_the_document_goes_to_a_function_whatever_the_method(
    document: dict[str, Any], template: dict[str, Any]
) -> None:
    known = {("any", path) for path in {*document["paths"], *EVERYTHING_ELSE}}
    assert set(routes_of(template)) == known


@pytest.mark.parametrize("path", ["/images", "/image/1/2"])
def test_every_other_path_is_not_found_whatever_the_method(
    template: dict[str, Any], path: str
) -> None:
    routes = routes_of(template)
    functions = {routes["any", path] for path in EVERYTHING_ELSE}
    for handler in (load_function(function).lambda_handler for function in functions):
        for method in METHODS:
            response = handler(proxy_event(method, path), CONTEXT)
            assert response["statusCode"] == 404, method
            assert body_of(response).keys() == {"detail", "code"}


def test_a_method_that_a_path_does_not_have_is_told_the_right_one(
    document: dict[str, Any], template: dict[str, Any]
) -> None:
    for (_, path), function in routes_of(template).items():
        if path in EVERYTHING_ELSE:
            continue
        handler = load_function(function).lambda_handler
        taken = {method.upper() for method in document["paths"][path]}
        if "GET" in taken:
            taken.add("HEAD")
        for method in set(METHODS) - taken:
            # Nobody is signed in: whoever asks learns it.
            response = handler(proxy_event(method, path), CONTEXT)
            assert response["statusCode"] == 405, (method, path)
            allowed = (header_of(response, "Allow") or "").split(", ")
            assert set(allowed) == {*taken, "OPTIONS"}
            assert method in body_of(response)["detail"]


def test_the_contracts_routes_are_there(document: dict[str, Any]) -> None:
    assert set(operations_of(document)) >= {
        ("post", "/auth/register"),
        ("post", "/auth/login"),
        ("post", "/auth/refresh"),
        ("post", "/auth/logout"),
        ("get", "/auth/me"),
        ("put", "/auth/password"),
        ("post", "/auth/delete_account"),
        ("post", "/image/upload_image"),
        ("get", "/image/get_all_images"),
        ("get", "/image/{image_id}"),
        ("put", "/image/update/{image_id}"),
        ("delete", "/image/delete/{image_id}"),
        ("get", "/docs"),
        ("get", "/openapi.json"),
        ("get", "/health"),
    }


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/auth/register", {"200", "400", "503"}),
        ("post", "/auth/login", {"200", "400", "401", "429", "503"}),
        ("post", "/auth/refresh", {"200", "400", "401", "503"}),
        ("post", "/auth/logout", {"200", "400", "503"}),
        ("get", "/auth/me", {"200", "401", "503"}),
        ("put", "/auth/password", {"200", "400", "401", "429", "503"}),
        ("post", "/auth/delete_account", {"200", "400", "401", "429", "503"}),
        ("post", "/image/upload_image", {"200", "400", "401", "413", "415", "503"}),
        ("get", "/image/get_all_images", {"200", "400", "401", "503"}),
        ("get", "/image/{image_id}", {"200", "401", "404", "503"}),
        ("put", "/image/update/{image_id}", {"200", "400", "401", "404", "503"}),
        ("delete", "/image/delete/{image_id}", {"200", "401", "404", "503"}),
        ("get", "/health", {"200", "503"}),
    ],
)
def test_an_operation_documents_its_errors(
    document: dict[str, Any], method: str, path: str, statuses: set[str]
) -> None:
    assert statuses <= set(operations_of(document)[method, path]["responses"])


def test_every_error_has_a_body_with_a_detail(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for operation in operations_of(document).values():
        for status, response in operation["responses"].items():
            if status in ("302", "304"):
                continue
            if "$ref" in response:
                response = document["components"]["responses"][status]
            assert response["content"]
            if status == "200" or "/health" in str(operation.get("operationId")):
                continue
            schema = response["content"]["application/json"]["schema"]
            for choice in schema.get("anyOf", [schema]):
                name = choice["$ref"].rpartition("/")[2]
                assert "detail" in schemas[name]["properties"]


OWN_ACCOUNT = {"/auth/me", "/auth/password", "/auth/delete_account"}


def test_what_needs_a_token_says_so(document: dict[str, Any]) -> None:
    for (_, path), operation in operations_of(document).items():
        needs_one = path.startswith("/image/") or path in OWN_ACCOUNT
        # An empty list says that nobody need sign in; without one, nothing is said.
        assert bool(operation["security"]) == needs_one
        assert ("401" in operation["responses"]) == (
            needs_one or path in ("/auth/login", "/auth/refresh")
        )


def test_every_operation_and_every_parameter_is_described(document: dict[str, Any]) -> None:
    for operation in operations_of(document).values():
        described = [operation, *operation.get("parameters", [])]
        assert all(part.get("description") for part in described), operation["operationId"]


def test_every_operation_has_a_summary_and_an_id_that_a_person_chose(
    document: dict[str, Any],
) -> None:
    """What generators call their functions; Powertools would make one of name, path and method."""
    operations = operations_of(document).values()
    ids = [operation["operationId"] for operation in operations]
    assert all(operation["summary"] for operation in operations)
    assert [each for each in ids if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", each)] == []
    assert len(set(ids)) == len(ids)


def test_the_fields_that_a_request_may_have_are_all_that_are_documented(
    document: dict[str, Any],
) -> None:
    for operation in operations_of(document).values():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = resolved(content["schema"], document)
            is_open = media_type == "application/x-www-form-urlencoded"
            assert schema["additionalProperties"] is is_open, operation["operationId"]


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    named: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return named


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    """So that what a page or a mock shows can be sent as it stands."""
    seen = 0
    for schema in schemas_in(document):
        for example in schema.get("examples", []):
            seen += 1
            whole = {**schema, "components": document["components"]}
            jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)
    assert seen > 8


def test_what_names_say_of_their_values_is_said_as_a_format(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["ImageView"]["properties"]
    assert fields["created_at"]["format"] == "date-time"
    assert {choice.get("format") for choice in fields["url"]["anyOf"]} == {"uri", None}
    assert fields["id"] == {"type": "integer", "format": "int64"}


def test_no_number_is_larger_than_javascript_can_hold(document: dict[str, Any]) -> None:
    numbers = re.findall(r'"m(?:ax|in)imum": (\S+?)[,}]', json.dumps(document))
    assert numbers
    assert all(number.isdecimal() and int(number) < 2**53 for number in numbers)


def test_what_every_answer_has_is_required_in_its_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Profile"]["required"] == list(schemas["Profile"]["properties"])
    assert set(schemas["Tokens"]["properties"]) - set(schemas["Tokens"]["required"]) == {
        "refresh_token"
    }
    # An answer of health names what is down only where something is.
    assert "reasons" not in schemas["Report"]["required"]
    assert "title" not in schemas["Changes"].get("required", [])


def test_what_may_be_known_already_may_be_answered_without_a_body(
    document: dict[str, Any],
) -> None:
    for operation in operations_of(document).values():
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("If-None-Match" in names) == ("304" in operation["responses"])
        assert ("If-Match" in names) == ("412" in operation["responses"])
        if "304" in operation["responses"]:
            # Whoever knows the page goes on from it all the same.
            headers = [operation["responses"][status]["headers"] for status in ("200", "304")]
            assert headers[0] == headers[1]


def test_every_operation_may_find_no_place_and_every_body_may_be_too_large(
    document: dict[str, Any],
) -> None:
    for (method, path), operation in operations_of(document).items():
        assert operation["responses"].keys() >= {"429", "500", "502", "503", "504"}, path
        assert ("413" in operation["responses"]) == (method != "get"), path


def test_a_rendition_is_for_whoever_is_signed_in_or_has_its_link(document: dict[str, Any]) -> None:
    operations = operations_of(document)
    by_link = {path for (_, path), each in operations.items() if {"link": []} in each["security"]}
    assert by_link == {"/image/{image_id}/rendition"}
    assert document["components"]["securitySchemes"]["link"]["name"] == http.LINK_TOKEN
    answers = operations["get", "/image/{image_id}/rendition"]["responses"]
    for status in ("200", "302"):
        assert answers[status]["headers"].keys() >= {"Cache-Control", "Vary"}


def test_a_body_is_required_where_one_of_its_fields_is(document: dict[str, Any]) -> None:
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for operation in operations_of(document).values()
        if "requestBody" in operation
    }
    assert required["completeDirectUpload"] is False
    assert required["updateImage"] is required["uploadImage"] is required["login"] is True


def test_swaggers_upload_form_is_prefilled_with_nothing(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["UploadImageForm"]["properties"]
    first = {name: field["examples"][0] for name, field in fields.items() if name != "image"}
    assert first
    assert set(map(json.dumps, first.values())) <= {'""', "[]"}


def test_no_field_of_a_request_has_to_be_sent_because_it_has_a_default(
    document: dict[str, Any],
) -> None:
    for operation in operations_of(document).values():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            fields = resolved(content["schema"], document)["properties"].values()
            assert not [field for field in fields if "default" in field], operation["operationId"]


def schemas_in(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "examples" in part and "in" not in part:
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from schemas_in(each)


def test_what_a_page_may_send_is_what_the_functions_say(template: dict[str, Any]) -> None:
    cors = template["Resources"]["Api"]["Properties"]["Cors"]
    assert cors["AllowHeaders"] == f"'{','.join(http.ALLOWED_HEADERS)}'"
    methods = set(cors["AllowMethods"].strip("'").split(","))
    assert methods == {*METHODS, "OPTIONS"} - {"PATCH"}


def test_sign_in_takes_json_and_the_oauth_form(document: dict[str, Any]) -> None:
    content = document["paths"]["/auth/login"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-www-form-urlencoded"}
    flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
    assert flow["tokenUrl"] == "auth/login"


def test_no_reference_leads_nowhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)


def test_the_document_names_the_server_it_was_asked_at() -> None:
    handler = load_function("docs").lambda_handler
    response = handler(proxy_event("GET", "/openapi.json"), CONTEXT)
    assert response["statusCode"] == 200
    assert body_of(response)["servers"] == [{"url": "https://api.example.com"}]
    assert body_of(response)["openapi"].startswith("3.1")


def test_the_page_holds_document_and_swagger_ui_and_loads_nothing_from_elsewhere() -> None:
    handler = load_function("docs").lambda_handler
    response = handler(proxy_event("GET", "/docs"), CONTEXT)
    assert response["statusCode"] == 200
    assert (header_of(response, "Content-Type") or "").startswith("text/html")
    page = response["body"]
    assert "/image/get_all_images" in page
    assert "SwaggerUIBundle" in page
    for loaded in ('src="http', "src='http", 'href="http', "href='http", "@import"):
        assert loaded not in page


def test_the_page_may_run_its_own_scripts_and_no_others() -> None:
    handler = load_function("docs").lambda_handler
    response = handler(proxy_event("GET", "/docs"), CONTEXT)
    policy = header_of(response, "Content-Security-Policy") or ""
    scripts = re.findall(r"<script>(.*?)</script>", response["body"], re.DOTALL)
    assert scripts
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert policy.count("'sha256-") == len(scripts)


def test_the_page_has_an_icon_so_that_no_browser_asks_for_one() -> None:
    page = load_function("docs").lambda_handler(proxy_event("GET", "/docs"), CONTEXT)["body"]
    icon = re.search(r'<link rel="icon" href="data:image/svg\+xml,([^"]+)">', page)
    assert icon is not None
    ElementTree.fromstring(unquote(icon[1]))


@pytest.mark.parametrize("text", ["</script><script>alert(1)", "<!--<script>", "\u2028"])
def test_no_text_of_the_document_reaches_a_script(text: str) -> None:
    plain = {"openapi": "3.1.0", "info": {"title": "plain"}, "paths": {}}
    hostile = {**plain, "info": {"title": text}}
    before, page = (swagger.swagger_page(each, "https://x") for each in (plain, hostile))
    assert page.headers == before.headers
    assert text not in str(page.body)
    (block,) = re.findall(
        r'<script type="application/json" id="openapi">(.*?)</script>', str(page.body)
    )
    assert json.loads(block)["info"]["title"] == text
