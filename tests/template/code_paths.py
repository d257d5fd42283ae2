"""What a function's code can come to: the variables it reads, the secrets, the calls to AWS.

Found by reading the code, not by running it: rapid type analysis, over app.py and whatever of our
own packages it reaches. A method is reached when its name is used and its class is instantiated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.loaders import Loader

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "image_api": ROOT / "layers" / "common" / "image_api",
    "image_migrations": ROOT / "infra" / "migrations" / "image_migrations",
}
APP = "app"
AWS_SERVICES = ("s3", "secretsmanager")
# Our own code that signs a call, which somebody else makes with the function's rights.
SIGNERS = {"image_api.aws.signing.UrlSigner": "s3:GetObject"}
# A method of these names may be a builtin's: then the receiver's annotation has to name our class.
BUILTIN_METHODS = frozenset(name for kind in (dict, list, set, str, bytes) for name in dir(kind))

Function = ast.FunctionDef | ast.AsyncFunctionDef


class CannotTell(Exception):
    """The code reads a variable, or calls AWS, in a way that this analysis does not follow."""


@dataclass
class Found:
    """`calls` are written as service:Operation, and so are those that it signs for others;
    `secrets` are the variables that name a secret's ARN.
    """

    variables: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    signed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Definition:
    """A function, class or method; `owner` is the class of a method."""

    module: str
    name: str
    node: Function | ast.ClassDef
    owner: str | None = None


Target = Definition | str


def of_function(app: Path) -> Found:
    """What app.py of a function can come to, from its loading to its answers."""
    return _Analysis({APP: app, **_package_modules()}).run()


def of_source(source: str) -> Found:
    """The same of the text of a module, which may import our packages."""
    analysis = _Analysis(_package_modules())
    analysis.add_module(APP, source)
    return analysis.run()


@cache
def _package_modules() -> Mapping[str, Path]:
    modules = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


@cache
def _operations() -> Mapping[str, str]:
    """From the name of a client's method to service:Operation."""
    return {
        xform_name(operation): f"{service}:{operation}"
        for service in AWS_SERVICES
        for operation in Loader().load_service_model(service, "service-2")["operations"]
    }


class _Module:
    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.tree = ast.parse(source)
        self.definitions: dict[str, Definition] = {
            node.name: Definition(name, node.name, node)
            for node in self.tree.body
            if isinstance(node, Function | ast.ClassDef)
        }
        self.uses_boto3 = any(
            isinstance(node, ast.Import) and any(alias.name == "boto3" for alias in node.names)
            for node in ast.walk(self.tree)
        )


@cache
def _parsed(name: str, path: Path) -> _Module:
    return _Module(name, path.read_text(encoding="utf-8"))


class _Analysis:
    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._modules: dict[str, _Module] = {}
        for name, path in paths.items():
            self._modules[name] = _parsed(name, path)
        self._found = Found()
        self._seen: set[tuple[str, str | None, str]] = set()
        self._classes: dict[str, Definition] = {}
        self._used_methods: set[str] = set()
        self._typed_methods: set[tuple[str, str]] = set()
        self._waiting: list[Definition] = []
        self._imports_of: dict[ast.AST, dict[str, str]] = {}
        self._naming: dict[tuple[ast.AST, str], bool] = {}
        self._authenticated = False

    def add_module(self, name: str, source: str) -> None:
        self._modules[name] = _Module(name, source)

    def run(self) -> Found:
        app = self._modules[APP]
        # Powertools calls what its decorators are put on, Lambda calls the handler.
        self._authenticated = any(
            isinstance(node, ast.keyword)
            and node.arg == "authenticated"
            and isinstance(node.value, ast.Constant)
            and node.value.value is True
            for node in ast.walk(app.tree)
        )
        self._load(APP)
        for definition in app.definitions.values():
            self._reach(definition)
        while self._waiting:
            self._visit(self._waiting.pop())
            for owner in list(self._classes.values()):
                self._reach_used_methods(owner)
        return self._found

    # --- what is reached ----------------------------------------------------------------------

    def _load(self, name: str) -> None:
        """A module is imported: what stands at its top level runs, and its packages' before."""
        parent = name.rpartition(".")[0]
        if parent in self._modules:
            self._load(parent)
        if name not in self._modules or (name, None, "") in self._seen:
            return
        self._seen.add((name, None, ""))
        module = self._modules[name]
        imports = self._imports(module, module.tree)
        for node in self._top_level(module.tree.body):
            self._look_at(node, module, None, imports)

    def _reach(self, definition: Definition) -> None:
        key = (definition.module, definition.owner, definition.name)
        if key in self._seen:
            return
        self._seen.add(key)
        self._load(definition.module)
        if isinstance(definition.node, ast.ClassDef):
            name = f"{definition.module}.{definition.name}"
            self._classes[name] = definition
            if name in SIGNERS:
                self._found.signed.add(SIGNERS[name])
            self._reach_bases(definition)
        self._waiting.append(definition)

    def _reach_bases(self, definition: Definition) -> None:
        module = self._modules[definition.module]
        assert isinstance(definition.node, ast.ClassDef)
        for base in definition.node.bases:
            target = self._resolve(base, module, self._imports(module, module.tree))
            if isinstance(target, Definition):
                self._reach(target)

    def _reach_used_methods(self, owner: Definition) -> None:
        assert isinstance(owner.node, ast.ClassDef)
        for node in owner.node.body:
            if isinstance(node, Function) and (
                node.name.startswith("__")
                or node.name in self._used_methods
                or (node.name in BUILTIN_METHODS and self._called_by_type(owner, node.name))
            ):
                self._reach(Definition(owner.module, node.name, node, owner.name))

    def _called_by_type(self, owner: Definition, method: str) -> bool:
        """Whether it is called on a receiver annotated as this class, or as a protocol it fits."""
        assert isinstance(owner.node, ast.ClassDef)
        own_methods = {node.name for node in owner.node.body if isinstance(node, Function)}
        for wanted, name in self._typed_methods:
            if name != method:
                continue
            if wanted == f"{owner.module}.{owner.name}":
                return True
            module, _, class_name = wanted.rpartition(".")
            protocol = self._modules[module].definitions[class_name].node
            assert isinstance(protocol, ast.ClassDef)
            if {node.name for node in protocol.body if isinstance(node, Function)} <= own_methods:
                return True
        return False

    def _visit(self, definition: Definition) -> None:
        if isinstance(definition.node, ast.ClassDef):
            return
        module = self._modules[definition.module]
        imports = {
            **self._imports(module, module.tree),
            **self._imports(module, definition.node),
        }
        for name in self._loaded_within(definition.node):
            self._load(name)
        for statement in definition.node.body:
            for node in self._within(statement):
                self._look_at(node, module, definition, imports)

    # --- what is read -------------------------------------------------------------------------

    def _look_at(
        self,
        node: ast.AST,
        module: _Module,
        definition: Definition | None,
        imports: Mapping[str, str],
    ) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom) and definition is None:
            for name in self._loaded_within(node):
                self._load(name)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            target = self._resolve(node, module, imports)
            if isinstance(target, Definition):
                self._reach(target)
            elif isinstance(node, ast.Attribute) and target is None:
                self._use_method(node, module, definition, imports)
        if isinstance(node, ast.Call):
            self._call(node, module, definition, imports)
        if isinstance(node, ast.Subscript) and _is_environ(node.value):
            self._read(node.slice, definition)

    def _use_method(
        self,
        node: ast.Attribute,
        module: _Module,
        definition: Definition | None,
        imports: Mapping[str, str],
    ) -> None:
        if node.attr not in BUILTIN_METHODS:
            self._used_methods.add(node.attr)
        elif (wanted := self._type_of(node.value, module, definition, imports)) is not None:
            self._typed_methods.add((wanted, node.attr))

    def _type_of(
        self,
        receiver: ast.expr,
        module: _Module,
        definition: Definition | None,
        imports: Mapping[str, str],
    ) -> str | None:
        """Our class that the receiver is annotated as: a parameter, self, or a parameter kept."""
        if definition is None or not isinstance(definition.node, Function):
            return None
        match receiver:
            case ast.Name(id="self") if definition.owner is not None:
                return f"{definition.module}.{definition.owner}"
            case ast.Name(id=name):
                parameters = definition.node.args
            case ast.Attribute(value=ast.Name(id="self"), attr=attribute) if definition.owner:
                owner = module.definitions[definition.owner].node
                assert isinstance(owner, ast.ClassDef)
                kept = _kept_parameter(owner, attribute)
                if kept is None:
                    return None
                parameters, name = kept
            case _:
                return None
        for parameter in (*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs):
            if parameter.arg == name and parameter.annotation is not None:
                target = self._resolve(
                    parameter.annotation, module, {**imports, **_imported(module.tree)}
                )
                if isinstance(target, Definition):
                    return f"{target.module}.{target.name}"
        return None

    def _call(
        self,
        call: ast.Call,
        module: _Module,
        definition: Definition | None,
        imports: Mapping[str, str],
    ) -> None:
        target = self._resolve(call.func, module, imports)
        if isinstance(target, Definition) and isinstance(target.node, Function):
            for position, parameter in enumerate(target.node.args.args):
                if self._names_a_variable(target, parameter.arg) and len(call.args) > position:
                    self._read(call.args[position], definition)
                    argument = call.args[position]
                    if isinstance(argument, ast.Constant) and self._names_a_secret(target):
                        self._found.secrets.add(str(argument.value))
        if not isinstance(call.func, ast.Attribute):
            return
        method = call.func.attr
        if _is_environ(call.func.value) or _is_getenv(call.func):
            self._read(call.args[0], definition)
        elif module.uses_boto3:
            if method in ("get_paginator", "generate_presigned_url"):
                if not isinstance(call.args[0], ast.Constant):
                    raise CannotTell(f"{module.name}: {ast.unparse(call)}")
                operation = _operations()[str(call.args[0].value)]
                (self._found.calls if method == "get_paginator" else self._found.signed).add(
                    operation
                )
            elif method == "generate_presigned_post":
                self._found.signed.add("s3:PutObject")
            elif method in ("get_waiter", "upload_fileobj", "download_fileobj", "resource"):
                raise CannotTell(f"{module.name}: {ast.unparse(call)}")
            elif method in _operations():
                self._found.calls.add(_operations()[method])

    def _read(self, name: ast.expr, definition: Definition | None) -> None:
        if isinstance(name, ast.Constant):
            self._found.variables.add(str(name.value))
        elif not (
            isinstance(name, ast.Name)
            and definition is not None
            and isinstance(definition.node, Function)
            and name.id in {parameter.arg for parameter in definition.node.args.args}
        ):
            raise CannotTell(f"os.environ[{ast.unparse(name)}]")

    def _names_a_variable(self, definition: Definition, parameter: str) -> bool:
        """Whether the parameter ends up as the name of a variable that is read."""
        key = (definition.node, parameter)
        if key not in self._naming:
            # Until it is known: a function that calls itself adds nothing.
            self._naming[key] = False
            self._naming[key] = self._is_a_variables_name(definition, parameter)
        return self._naming[key]

    def _is_a_variables_name(self, definition: Definition, parameter: str) -> bool:
        module = self._modules[definition.module]
        imports = self._imports(module, module.tree)
        for node in ast.walk(definition.node):
            if not isinstance(node, ast.Call):
                continue
            given = [
                position
                for position, argument in enumerate(node.args)
                if isinstance(argument, ast.Name) and argument.id == parameter
            ]
            if not given:
                continue
            if isinstance(node.func, ast.Attribute) and (
                _is_environ(node.func.value) or _is_getenv(node.func)
            ):
                return True
            target = self._resolve(node.func, module, imports)
            if isinstance(target, Definition) and isinstance(target.node, Function):
                names = [argument.arg for argument in target.node.args.args]
                if any(self._names_a_variable(target, names[position]) for position in given):
                    return True
        return False

    def _names_a_secret(self, definition: Definition) -> bool:
        return any(
            isinstance(node, ast.Attribute) and node.attr == "get_secret_value"
            for node in ast.walk(definition.node)
        )

    # --- names --------------------------------------------------------------------------------

    def _imports(self, module: _Module, tree: ast.AST) -> dict[str, str]:
        """From a name to what it was imported as, of the imports that are carried out there."""
        if tree not in self._imports_of:
            self._imports_of[tree] = self._imports_carried_out(module, tree)
        return self._imports_of[tree]

    def _imports_carried_out(self, module: _Module, tree: ast.AST) -> dict[str, str]:
        nodes = (
            self._top_level(module.tree.body)
            if tree is module.tree
            else (node for child in ast.iter_child_nodes(tree) for node in self._within(child))
        )
        return {name: full for node in nodes for name, full in _imported_by(node)}

    def _loaded_within(self, tree: ast.AST) -> list[str]:
        found = []
        for node in self._within(tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        return [name for name in found if name in self._modules]

    def _resolve(
        self, node: ast.expr, module: _Module, imports: Mapping[str, str]
    ) -> Definition | str | None:
        """A definition of ours, the full name of anything else imported, or None."""
        if isinstance(node, ast.Name):
            if node.id in imports:
                return self._named(imports[node.id])
            return module.definitions.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value, module, imports)
            if isinstance(owner, str):
                return self._named(f"{owner}.{node.attr}")
        return None

    def _named(self, full_name: str) -> Definition | str:
        module, _, name = full_name.rpartition(".")
        if full_name not in self._modules and module in self._modules:
            found = self._modules[module].definitions.get(name)
            if found is not None:
                return found
            # Handed on by a package: from image_api.imaging import identify
            inside = _imported(self._modules[module].tree).get(name)
            if inside is not None and inside != full_name:
                return self._named(inside)
        return full_name

    def _top_level(self, statements: list[ast.stmt]) -> Iterator[ast.AST]:
        """What runs when a module is imported: not the bodies of its functions."""
        for statement in statements:
            if isinstance(statement, Function):
                for expression in (*statement.decorator_list, *_defaults(statement)):
                    yield from self._within(expression)
            elif isinstance(statement, ast.ClassDef):
                for expression in (*statement.decorator_list, *statement.bases):
                    yield from self._within(expression)
                yield from self._top_level(statement.body)
            else:
                yield from self._within(statement)

    def _within(self, node: ast.AST) -> Iterator[ast.AST]:
        """The node and what is below it, without annotations and branches never taken."""
        yield node
        children: list[ast.AST]
        match node:
            case ast.If(test=test) if self._never(test):
                children = list(node.orelse)
            case ast.AnnAssign():
                children = [node.target, *([node.value] if node.value else [])]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                children = [*node.decorator_list, *_defaults(node), *node.body]
            case ast.Lambda():
                children = [node.body]
            case _:
                children = list(ast.iter_child_nodes(node))
        for child in children:
            yield from self._within(child)

    def _never(self, test: ast.expr) -> bool:
        match test:
            case ast.Name(id="TYPE_CHECKING"):
                return True
            case ast.Attribute(attr="authenticated"):
                return not self._authenticated
        return False


def _imported_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield name, alias.name if alias.asname else name
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _imported(tree: ast.AST) -> dict[str, str]:
    """Every import, those for the type checker too."""
    return {name: full for node in ast.walk(tree) for name, full in _imported_by(node)}


def _defaults(node: Function) -> list[ast.expr]:
    return [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]


def _kept_parameter(owner: ast.ClassDef, attribute: str) -> tuple[ast.arguments, str] | None:
    """The parameter of __init__ that becomes self.<attribute>."""
    for method in owner.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for node in ast.walk(method):
                match node:
                    case ast.Assign(
                        targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)],
                        value=ast.Name(id=parameter),
                    ) if name == attribute:
                        return method.args, parameter
    return None


def _is_environ(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ"):
            return True
    return False


def _is_getenv(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="getenv"):
            return True
    return False
