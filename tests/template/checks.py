"""What must be true of the templates. Each check returns what is wrong, in words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.template.document import Deployment, Function, as_list, nodes

# API Gateway waits no longer for a function.
GATEWAY_TIMEOUT_SECONDS = 29


def app_of(function: Function) -> Path:
    module = str(function.properties["Handler"]).rpartition(".")[0]
    return function.code_folder / f"{module}.py"


def handlers(deployment: Deployment) -> Iterator[str]:
    for function in deployment.functions:
        app, name = app_of(function), str(function.properties["Handler"]).rpartition(".")[2]
        if not app.is_file():
            folder = function.properties["CodeUri"]
            yield f"{function.logical_id}: there is no {app.name} in {folder}"
            continue
        defined = {
            name
            for node in ast.parse(app.read_text(encoding="utf-8")).body
            for name in _defined_by(node)
        }
        if name not in defined:
            yield f"{function.logical_id}: {app.name} has no {name}"


def _defined_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def layers(deployment: Deployment, layer_of: Mapping[str, str]) -> Iterator[str]:
    """`layer_of`: the layer that brings each of our packages."""
    for function in deployment.functions:
        imported = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(app_of(function).read_text(encoding="utf-8")))
            for name in _imported_by(node)
        }
        wanted = {layer_of[package] for package in imported & layer_of.keys()}
        # Our packages import third-party code, whatever the function itself does.
        if wanted:
            wanted.add("DependenciesLayer")
        attached = set(as_list(function.properties.get("Layers")))
        for layer in sorted(wanted - attached):
            yield f"{function.logical_id}: its code needs {layer}"
        for layer in sorted(attached - wanted - {"DependenciesLayer"}):
            yield f"{function.logical_id}: its code does not need {layer}"


def _imported_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module


# Where a request goes that no path of the document takes.
EVERYTHING_ELSE = {"/{proxy+}"}


def routes(deployment: Deployment, openapi: Mapping[str, Any]) -> Iterator[str]:
    """The gateway and the OpenAPI document know the same paths, and each goes with every method to
    the function that has it, which answers 405 to the others; all other paths go to one function.
    """
    served: dict[tuple[str, str], Function] = {}
    for function in deployment.functions:
        for route in sorted(function.routes):
            if route in served:
                owner = served[route].logical_id
                yield f"{' '.join(route)}: both {owner} and {function.logical_id}"
            served[route] = function
    for method, path in sorted(served):
        if method != "ANY":
            yield f"{method} {path}: other methods do not reach the function"
    owners = {path: function for (_, path), function in served.items()}
    for path in sorted(EVERYTHING_ELSE - owners.keys()):
        yield f"{path}: nothing answers 404"
    for path in sorted(owners.keys() - openapi["paths"].keys() - EVERYTHING_ELSE):
        yield f"{path}: not in the OpenAPI document"
    for path, operations in sorted(openapi["paths"].items()):
        if path not in owners:
            yield f"{path}: no function has this route"
            continue
        declared = _methods_declared_in(app_of(owners[path]), path)
        if declared != set(operations):
            yield f"{path}: {owners[path].logical_id} takes {sorted(declared)}"


def _methods_declared_in(app: Path, path: str) -> set[str]:
    """By the decorators of a handler's module: @app.get("/image/<image_id>")."""
    return {
        decorator.func.attr
        for node in ast.walk(ast.parse(app.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.args
        and isinstance(decorator.args[0], ast.Constant)
        and re.sub(r"<(\w+)>", r"{\1}", str(decorator.args[0].value)) == path
    }


def limits(deployment: Deployment) -> Iterator[str]:
    for function in deployment.functions:
        timeout = int(function.properties["Timeout"])
        memory = int(function.properties["MemorySize"])
        if function.routes and timeout >= GATEWAY_TIMEOUT_SECONDS:
            yield f"{function.logical_id}: {timeout} s, and the gateway waits less"
        if not 1 <= timeout <= 900:
            yield f"{function.logical_id}: Lambda knows no time-out of {timeout} s"
        if not 128 <= memory <= 10_240:
            yield f"{function.logical_id}: Lambda knows no memory of {memory} MB"
        for schedule in function.events("Schedule"):
            period = _seconds_of(schedule["Schedule"])
            if period is not None and timeout > period:
                yield f"{function.logical_id}: runs for {timeout} s, every {period} s"


def _seconds_of(expression: str) -> int | None:
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    unit = {"minute": 60, "hour": 3600, "day": 86_400}
    return int(match[1]) * unit[match[2]] if match else None


_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|PRIVATE|CREDENTIAL|API_?KEY", re.I)
# A name that says where a secret is, how long one lives, or how one is made, is none.
_NO_SECRET_NAME = re.compile(r"_?(Arn|Minutes|Days|Type|Template)$", re.I)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@$]+@")
_KEYS = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}"
)


def secrets_in_text(text: str) -> Iterator[str]:
    """What is a secret by its form, whatever it is called."""
    for number, line in enumerate(text.splitlines(), 1):
        if _URL_WITH_PASSWORD.search(line):
            yield f"line {number}: a URL with a password"
        if _KEYS.search(line):
            yield f"line {number}: a key or a token"


def secrets_in_template(document: Mapping[str, Any]) -> Iterator[str]:
    """Secrets reach functions by name alone; what a parameter brings in shows to nobody."""
    for name, parameter in document.get("Parameters", {}).items():
        if _SECRET_NAME.search(name) and not _NO_SECRET_NAME.search(name):
            if str(parameter.get("NoEcho", "")).lower() != "true":
                yield f"Parameters.{name}: a secret, and everybody sees it"
            if parameter.get("Default"):
                yield f"Parameters.{name}: a secret in plain text"
    for path, value in nodes(document):
        where = ".".join(path)
        in_environment = "Environment" in path and "Variables" in path
        if isinstance(value, str) and "{{resolve:" in value and in_environment:
            yield f"{where}: Lambda's console would show it"
        if path and path[-1] == "SecretStringTemplate":
            for name in re.findall(r'"(\w+)" *:', str(value)):
                if _SECRET_NAME.search(name):
                    yield f"{where}: {name} in plain text"
        if (
            isinstance(value, str)
            and value.strip()
            and path
            and _SECRET_NAME.search(path[-1])
            and not _NO_SECRET_NAME.search(path[-1])
            and not value.startswith("{{resolve:secretsmanager:")
            and _is_a_value(path)
        ):
            yield f"{where}: a secret in plain text"


def _is_a_value(path: tuple[str, ...]) -> bool:
    """Of a resource's properties or a variable; not the name of something in an intrinsic."""
    return path[0] in ("Resources", "Globals") and "Ref" not in path and "Fn::GetAtt" not in path
