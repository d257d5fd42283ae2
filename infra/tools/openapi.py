"""Writes functions/docs/openapi.json: one document, merged from the functions' own resolvers.

Run it with `make openapi` after a route changed; a test says when it was forgotten.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "functions" / "docs" / "openapi.json"

# Loading a handler reads its settings; nothing is connected to.
_PLACEHOLDERS = {
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "RABBITMQ_URL": "amqp://localhost",
    "JWT_SECRET": "only for generating the documentation",
    "IMAGES_BUCKET": "images",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

_DESCRIPTION = """\
Register, sign in, upload, list, change and delete images.

Changes are accepted at once and processed in the background: an image is `processing` until it
is `ready` or `failed`. Errors are `{"detail": "...", "code": "..."}`: words for
people, and a code for programs, which never changes. A broken rule also lists the fields.
"""


def merged_document() -> dict[str, Any]:
    os.environ.update(_PLACEHOLDERS)
    sys.path.insert(0, str(ROOT / "layers" / "common"))
    from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
    from aws_lambda_powertools.event_handler.openapi.models import (
        HTTPBearer,
        OAuth2,
        OAuthFlowPassword,
        OAuthFlows,
    )

    from image_api import __version__

    merge = OpenAPIMerge(
        title="Image Management API",
        version=__version__,
        description=_DESCRIPTION,
        tags=["Accounts", "Images", "Operations"],
        security_schemes={
            "bearer": HTTPBearer(bearerFormat="JWT"),
            "password": OAuth2(
                description="Signs in with name and password (/auth/login takes the OAuth2 form)",
                flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/login")),
            ),
        },
        on_conflict="error",
    )
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        if "http.resolver(" in path.read_text(encoding="utf-8"):
            merge.add_schema(_schema(path))
    document: dict[str, Any] = json.loads(merge.get_openapi_json_schema())
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(unused, None)
    # A route takes one content type in Powertools; http.lambda_handler reads the form as well.
    content = document["paths"]["/auth/login"]["post"]["requestBody"]["content"]
    # Of it, what else OAuth2 has in it is passed over.
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = {**schemas[name], "additionalProperties": True}
    content["application/x-www-form-urlencoded"] = {"schema": fields}
    _describe_forms(document)
    return document


def _describe_forms(document: dict[str, Any]) -> None:
    """Powertools makes a model of a form's fields, which says less than web.validation asks for."""
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
            if form is None:
                continue
            schema = schemas.pop(form["schema"]["$ref"].rpartition("/")[2])
            name = f"{operation['operationId'][0].upper()}{operation['operationId'][1:]}Form"
            form["schema"]["$ref"] = f"#/components/schemas/{name}"
            schemas[name] = {**schema, "title": name, "additionalProperties": False}
            for field in schema["properties"].values():
                # It is there or not: it cannot be null, as its Python type has it.
                if "anyOf" in field:
                    (choice,) = [one for one in field.pop("anyOf") if one != {"type": "null"}]
                    field.update(choice)


def _schema(path: Path) -> dict[str, Any]:
    name = f"functions_{path.parent.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    schema: dict[str, Any] = module.app.get_openapi_schema().model_dump(
        by_alias=True, exclude_none=True, mode="json"
    )
    for operations in schema["paths"].values():
        for operation in operations.values():
            # Powertools documents its own 422 and 404; ours are in problems.ANSWERS.
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if module.app.tokens is not None:
                operation["security"] = [{"bearer": []}, {"password": []}]
    return schema


def main() -> None:
    TARGET.write_text(json.dumps(merged_document(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
