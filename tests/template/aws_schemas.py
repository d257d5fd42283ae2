"""What AWS publishes of each kind of resource, as cfn-lint hands it on."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tests.template.document import ROOT

_SCHEMAS = "lib/python3*/site-packages/cfnlint/data/schemas"


@cache
def schema(kind: str) -> dict[str, Any]:
    (folder,) = (ROOT / ".venvs" / "local").glob(_SCHEMAS)
    names = json.loads((folder / "providers" / "us-east-1.json").read_bytes())
    found: dict[str, Any] = json.loads((folder / "resources" / f"{names[kind]}.json").read_bytes())
    assert found["typeName"] == kind
    return found


def replaced_by(kind: str) -> set[str]:
    """The properties that nobody can change: another value is another resource."""
    paths = schema(kind).get("createOnlyProperties", [])
    return {path.removeprefix("/properties/").partition("/")[0] for path in paths}


def actions(kind: str) -> set[str]:
    """Whatever AWS's own handler does to make, read, change and delete one, in the name of whoever
    deploys it.
    """
    handlers = schema(kind).get("handlers", {})
    return {
        action
        for name in ("create", "read", "update", "delete")
        for action in handlers.get(name, {}).get("permissions", [])
    }
