"""CloudFormation's intrinsic functions, resolved with what exists on this machine.

SAM CLI has a resolver too, but it evaluates both branches of an `Fn::If` and answers a reference to
a resource it does not know with that resource's own name. Here a reference to something that does
not exist locally raises `Unresolved`, so that the caller can leave the value out.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")


class Unresolved(Exception):
    """A value refers to something that has no counterpart on this machine."""


class _NoValue:
    """`AWS::NoValue`: the property or list item it stands for is left out."""


NO_VALUE = _NoValue()


class Resolver:
    """Resolves values of one template.

    `attributes` maps (logical id, attribute) to a value; `Ref` is an attribute like any other.
    Parameters and pseudo parameters are entries with the attribute `Ref`.
    """

    def __init__(
        self, document: Mapping[str, Any], attributes: Mapping[tuple[str, str], Any]
    ) -> None:
        self._conditions: Mapping[str, Any] = document.get("Conditions") or {}
        self._mappings: Mapping[str, Any] = document.get("Mappings") or {}
        self._parameters: Mapping[str, Any] = document.get("Parameters") or {}
        self._attributes = attributes
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::Not": lambda value: not self._truth(value[0]),
            "Fn::And": lambda value: all(self._truth(item) for item in value),
            "Fn::Or": lambda value: any(self._truth(item) for item in value),
            "Fn::Base64": self._base64,
            "Fn::GetAZs": self._availability_zones,
        }

    def resolve(self, value: Any) -> Any:
        """The value with every intrinsic function replaced; `NO_VALUE` entries left out."""
        if isinstance(value, dict):
            if len(value) == 1:
                name, argument = next(iter(value.items()))
                if name in self._functions:
                    return self._functions[name](argument)
                if name.startswith("Fn::"):
                    raise Unresolved(f"{name} has no local counterpart")
            resolved = {key: self.resolve(item) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NO_VALUE]
        if isinstance(value, str) and "{{resolve:" in value:
            raise Unresolved("a dynamic reference has no local counterpart")
        return value

    def condition(self, name: str) -> bool:
        """Whether the template's condition of this name holds."""
        if name not in self._conditions:
            raise Unresolved(f"there is no condition {name}")
        return self._truth(self._conditions[name])

    def _truth(self, value: Any) -> bool:
        if isinstance(value, dict) and set(value) == {"Condition"}:
            return self.condition(value["Condition"])
        resolved = self.resolve(value)
        return resolved if isinstance(resolved, bool) else str(resolved).lower() == "true"

    def _attribute(self, logical_id: str, attribute: str) -> Any:
        if (logical_id, attribute) == ("AWS::NoValue", "Ref"):
            return NO_VALUE
        try:
            return self._attributes[logical_id, attribute]
        except KeyError:
            if attribute == "Ref" and logical_id in self._parameters:
                raise Unresolved(
                    f"the parameter {logical_id} has no value: --parameter-overrides "
                    f"{logical_id}=..., or samconfig.toml"
                ) from None
            wanted = logical_id if attribute == "Ref" else f"{logical_id}.{attribute}"
            raise Unresolved(f"{wanted} does not exist on this machine") from None

    def _ref(self, value: Any) -> Any:
        return self._attribute(str(value), "Ref")

    def _get_att(self, value: Any) -> Any:
        logical_id, attribute = value.split(".", 1) if isinstance(value, str) else value
        return self._attribute(logical_id, str(self.resolve(attribute)))

    def _sub(self, value: Any) -> str:
        text, variables = (value, {}) if isinstance(value, str) else value

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            name = name.strip()
            if name in variables:
                return str(self.resolve(variables[name]))
            logical_id, _, attribute = name.partition(".")
            return str(self._attribute(logical_id, attribute or "Ref"))

        if "{{resolve:" in text:
            raise Unresolved("a dynamic reference has no local counterpart")
        return _SUBSTITUTION.sub(replace, text)

    def _join(self, value: Any) -> str:
        separator, items = value
        return str(separator).join(str(item) for item in self.resolve(items))

    def _select(self, value: Any) -> Any:
        index, items = value
        resolved = self.resolve(items)
        position = int(self.resolve(index))
        if not 0 <= position < len(resolved):
            raise Unresolved(f"Fn::Select asks for item {position} of {len(resolved)}")
        return resolved[position]

    def _split(self, value: Any) -> list[str]:
        separator, text = value
        return str(self.resolve(text)).split(separator)

    def _find_in_map(self, value: Any) -> Any:
        name, first, second = (self.resolve(item) for item in value[:3])
        try:
            return self.resolve(self._mappings[name][first][second])
        except KeyError:
            if len(value) == 4 and "DefaultValue" in value[3]:
                return self.resolve(value[3]["DefaultValue"])
            raise Unresolved(f"Fn::FindInMap: no {name}.{first}.{second}") from None

    def _if(self, value: Any) -> Any:
        name, if_true, if_false = value
        return self.resolve(if_true if self.condition(name) else if_false)

    def _equals(self, value: Any) -> bool:
        first, second = (self.resolve(item) for item in value)
        return str(first) == str(second)

    def _base64(self, value: Any) -> str:
        return base64.b64encode(str(self.resolve(value)).encode()).decode()

    def _availability_zones(self, value: Any) -> list[str]:
        region = self.resolve(value) or self._attribute("AWS::Region", "Ref")
        return [f"{region}{zone}" for zone in "abc"]
