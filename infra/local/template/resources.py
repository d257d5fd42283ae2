"""The resources of a translated template, and what references to them mean on this machine."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.local.template.intrinsics import NO_VALUE, Resolver, Unresolved
from infra.local.template.model import ACCOUNT_ID, STACK_NAME, MissingFolder, TemplateError
from infra.local.template.translation import Translation, local_path

logger = logging.getLogger(__name__)


class Resources:
    """Those whose condition holds. Raises TemplateError."""

    def __init__(self, translation: Translation, region: str) -> None:
        document = translation.document
        self._translation = translation
        self._region = region
        self._attributes: dict[tuple[str, str], Any] = {}
        self._resolver = Resolver(document, self._attributes)
        self._define_parameters(document.get("Parameters") or {})
        self._resources = {
            logical_id: resource
            for logical_id, resource in document["Resources"].items()
            if "Condition" not in resource or self.holds(logical_id, resource["Condition"])
        }
        for logical_id, resource in self._resources.items():
            self._define_resource(logical_id, resource)

    def __iter__(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Logical id, type and properties, unresolved."""
        for logical_id, resource in self._resources.items():
            yield logical_id, resource["Type"], resource.get("Properties") or {}

    def of_type(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and properties, unresolved."""
        for logical_id, kind, properties in self:
            if kind == resource_type:
                yield logical_id, properties

    def required(self, where: str, properties: Mapping[str, Any], name: str) -> Any:
        """The resolved property; `where` is what an error names, such as the logical id."""
        value = self.optional(where, properties, name, NO_VALUE)
        if value is NO_VALUE:
            raise self.error(f"{where} has no {name}")
        return value

    def optional(self, where: str, properties: Mapping[str, Any], name: str, default: Any) -> Any:
        """The same, or the default where the template does not say."""
        try:
            value = self._resolver.resolve(properties.get(name, NO_VALUE))
        except Unresolved as error:
            raise self.error(f"{where}, {name}: {error}") from error
        return default if value is NO_VALUE else value

    def number(self, where: str, properties: Mapping[str, Any], name: str, default: float) -> float:
        """The same, of a number."""
        value = self.optional(where, properties, name, default)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise self.error(f"{where}: {name} is {value!r}, not a number") from error

    def known(self, where: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The values resolved, without those that refer to something on AWS alone."""
        for name, value in values.items():
            try:
                resolved = self._resolver.resolve(value)
            except Unresolved as error:
                logger.debug("%s: %s is left out: %s", where, name, error)
            else:
                if resolved is not NO_VALUE:
                    yield name, resolved

    def holds(self, where: str, condition: str) -> bool:
        """Whether the template's condition of this name holds."""
        try:
            return self._resolver.condition(condition)
        except Unresolved as error:
            raise self.error(f"condition of {where}: {error}") from error

    @property
    def region(self) -> str:
        """Where this machine is."""
        return self._region

    def attribute(self, logical_id: str, name: str) -> Any:
        """What `Fn::GetAtt` gives, or `Ref`."""
        return self._attributes[logical_id, name]

    def arn(self, service: str, resource: str) -> str:
        """One of this machine's account and region."""
        return f"arn:aws:{service}:{self._region}:{ACCOUNT_ID}:{resource}"

    def function_id(self, arn: str) -> str:
        """The logical id of the function that an ARN names, or the name where there is none."""
        name = arn.split(":function:", 1)[-1].split(":")[0]
        for logical_id, _ in self.of_type("AWS::Lambda::Function"):
            if name in (logical_id, self._attributes[logical_id, "Ref"]):
                return logical_id
        return name

    def names_function(self, properties: Mapping[str, Any], function_id: str) -> bool:
        """Whether the FunctionName of a version, an alias or a configuration is this function."""
        target = properties.get("FunctionName")
        if isinstance(target, dict):
            named = target.get("Ref") or (target.get("Fn::GetAtt") or [None])[0]
            return bool(named == function_id)
        return target in (function_id, self._attributes.get((function_id, "Ref")))

    def code_folder(self, where: str, code: Mapping[str, Any]) -> Path:
        """The folder on this machine that a function's or layer's code is in."""
        path = local_path(self._translation, code) if isinstance(code, dict) else None
        if path is None:
            raise self.error(f"the code of {where} is not a folder on this machine")
        if not path.is_dir():
            raise MissingFolder(f"{self._translation.path.name}: {where}: ", path)
        return path

    def error(self, text: str) -> TemplateError:
        return TemplateError(f"{self._translation.path.name}: {text}")

    def _define_parameters(self, parameters: Mapping[str, Any]) -> None:
        for name, parameter in parameters.items():
            value = self._translation.overrides.get(name, parameter.get("Default"))
            kind = str(parameter.get("Type", "String"))
            if value is None or kind.startswith("AWS::SSM"):
                continue
            if kind.startswith("List<") or kind == "CommaDelimitedList":
                value = [item.strip() for item in str(value).split(",")]
            self._attributes[name, "Ref"] = value
        for name, value in {
            "AccountId": ACCOUNT_ID,
            "NotificationARNs": [],
            "Partition": "aws",
            "Region": self._region,
            "StackId": self.arn("cloudformation", f"stack/{STACK_NAME}/local"),
            "StackName": STACK_NAME,
            "URLSuffix": "amazonaws.com",
        }.items():
            self._attributes[f"AWS::{name}", "Ref"] = value

    def _define_resource(self, logical_id: str, resource: Mapping[str, Any]) -> None:
        ref, arn = self._names(logical_id, resource["Type"], resource.get("Properties") or {})
        if ref:
            self._attributes[logical_id, "Ref"] = ref
        if arn:
            self._attributes[logical_id, "Arn"] = arn

    def _names(self, logical_id: str, kind: str, properties: Mapping[str, Any]) -> tuple[str, str]:
        """What `Ref` and `Arn` of the resource are; empty where this machine has none."""

        def named(property_name: str, default: str) -> str:
            return str(self.optional(logical_id, properties, property_name, default))

        match kind:
            case "AWS::Lambda::Function":
                name = named("FunctionName", logical_id)
                return name, self.arn("lambda", f"function:{name}")
            case "AWS::Lambda::LayerVersion":
                return logical_id, ""
            case "AWS::Lambda::Alias" | "AWS::Lambda::Version":
                target = properties["FunctionName"]
                function_id = target.get("Ref") or target["Fn::GetAtt"][0]
                qualifier = named("Name", "1")
                return self.arn("lambda", f"function:{function_id}:{qualifier}"), ""
            case "AWS::S3::Bucket":
                name = self._translation.overrides.get(logical_id) or named(
                    "BucketName", f"{STACK_NAME}-{logical_id.lower()}"
                )
                return name, f"arn:aws:s3:::{name}"
            case "AWS::ApiGateway::RestApi" | "AWS::ApiGatewayV2::Api":
                return logical_id.lower(), ""
            case "AWS::ApiGateway::Stage":
                return named("StageName", "Prod"), ""
            case "AWS::ApiGatewayV2::Stage":
                return named("StageName", "$default"), ""
            case "AWS::Events::Rule":
                name = named("Name", logical_id)
                return name, self.arn("events", f"rule/{name}")
            case "AWS::Scheduler::Schedule":
                name = named("Name", logical_id)
                return name, self.arn("scheduler", f"schedule/default/{name}")
        return "", ""
