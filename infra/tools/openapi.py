"""Writes functions/docs/openapi.json: one document, merged from the functions' own resolvers.

Run it with `make openapi` after a route changed; a test says when it was forgotten.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.tools import openapi_rules

if TYPE_CHECKING:
    from image_api.web.http import Resolver

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "functions" / "docs" / "openapi.json"

# Loading a handler reads its settings; nothing is connected to.
_PLACEHOLDERS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "RABBITMQ_URL": "amqp://localhost",
    "JWT_SECRET": "only for generating the documentation",
    "IMAGES_BUCKET": "images",
    "RENDERER_FUNCTION": "renderer",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

_DESCRIPTION = """\
Register, sign in, upload, list, change and delete images.

Changes are accepted at once and processed in the background: an image is `processing` until it
is `ready` or `failed`.

Errors are `{{"detail": "...", "code": "..."}}`: words for people, and a code for programs, which
never changes. A broken rule also lists the fields. A field or parameter that is not known is
refused, so that a typing error never changes what is asked for. The codes, by status:

{codes}

HEAD answers wherever GET does. Every answer of a function names its request in `X-Correlation-Id`.
One that the gateway gives by itself, such as `timeout` or `too_many_requests`, has that name in
`x-amzn-RequestId` alone.
"""
_TAGS = {
    "Accounts": "Registering, signing in and out, and what is yours",
    "Images": "Uploading, finding, changing and deleting images",
    "Operations": "This documentation, and whether the parts are up",
}


def merged_document() -> dict[str, Any]:
    os.environ.update(_PLACEHOLDERS)
    sys.path.insert(0, str(ROOT / "layers" / "common"))
    from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
    from aws_lambda_powertools.event_handler.openapi.models import (
        APIKey,
        Contact,
        HTTPBearer,
        License,
        OAuth2,
        OAuthFlowPassword,
        OAuthFlows,
        Server,
        Tag,
    )

    from image_api import __version__
    from image_api.web import http, problems

    merge = OpenAPIMerge(
        title="Image Management API",
        version=__version__,
        description=_DESCRIPTION.format(codes=_codes(problems.EVERY_ANSWER)),
        tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
        # The one that is served names the address at which it was asked for.
        servers=[Server(url="/", description="Where this document is")],
        contact=Contact(name="The maintainers of the Image Management API"),
        license_info=License(name="MIT", identifier="MIT"),
        security_schemes={
            "bearer": HTTPBearer(bearerFormat="JWT"),
            "link": APIKey.model_validate(
                {
                    "in": "query",
                    "name": http.LINK_TOKEN,
                    "description": "What `rendition_url` of an image has in it",
                }
            ),
            "password": OAuth2(
                description="Signs in with name and password (/auth/login takes the OAuth2 form)",
                flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/login")),
            ),
        },
        on_conflict="error",
    )
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        if "http.resolver(" in path.read_text(encoding="utf-8"):
            merge.add_schema(_schema(_resolver_of(path)))
    document: dict[str, Any] = json.loads(merge.get_openapi_json_schema())
    _add_sign_in_form(document)
    return openapi_rules.applied(document)


def _codes(answers: Any) -> str:
    by_status: dict[int, list[str]] = {}
    for answer in sorted(answers):
        by_status.setdefault(answer.status, []).append(f"`{answer.code}`")
    return "\n".join(f"- {status}: {', '.join(codes)}" for status, codes in by_status.items())


def _add_sign_in_form(document: dict[str, Any]) -> None:
    """A route takes one content type in Powertools; http.lambda_handler reads the form as well, and
    passes over what else OAuth2 has in it.
    """
    content = document["paths"]["/auth/login"]["post"]["requestBody"]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = {**document["components"]["schemas"][name], "additionalProperties": True}
    known = {field: rules for field, rules in fields["properties"].items() if field != "cookie"}
    content["application/x-www-form-urlencoded"] = {"schema": {**fields, "properties": known}}


def _resolver_of(path: Path) -> Resolver:
    name = f"functions_{path.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    resolver: Resolver = module.app
    return resolver


def _schema(resolver: Resolver) -> dict[str, Any]:
    """With what the resolver does for all its routes: who may ask, and how it refuses."""
    from image_api.web import problems

    schema: dict[str, Any] = resolver.get_openapi_schema().model_dump(
        by_alias=True, exclude_none=True, mode="json"
    )
    for operations in schema["paths"].values():
        for method, operation in operations.items():
            responses = operation["responses"]
            # Powertools documents its own 422 and 404; ours are in problems.ANSWERS.
            if "HTTPValidationError" in json.dumps(responses.get("422")):
                del responses["422"]
            is_signed_in = resolver.tokens is not None
            ways = ["bearer", "password", *(["link"] if resolver.takes_links else [])]
            operation["security"] = [{way: []} for way in ways] if is_signed_in else []
            if is_signed_in:
                responses["401"].setdefault("headers", {})["WWW-Authenticate"] = {
                    "description": "`Bearer`; API Gateway puts x-amzn-Remapped- before its name",
                    "schema": {"type": "string"},
                }
            statuses = {429, *([] if resolver.serves_pages else [400])}
            # A body that is too large is refused before anybody asks what it is for.
            statuses |= {413} if method != "get" else set()
            for status, response in problems.documented_errors(*statuses).items():
                responses.setdefault(str(status), openapi_rules.with_references(response))
    return schema


def main() -> None:
    TARGET.write_text(json.dumps(merged_document(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
