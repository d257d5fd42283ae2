"""The policy documents that authorizers answer with, as far as API Gateway evaluates them here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

_ACTION = "execute-api:invoke"
_UNKNOWN = ("Condition", "NotAction", "NotResource")

Decision = Literal["allow", "deny", "no match"]


class MalformedPolicy(Exception):
    """Not a policy document, or one with a part that is not evaluated here; the text says which."""


@dataclass(frozen=True)
class Policy:
    """The patterns of the resources that may be invoked, and of those that may not."""

    allowed: tuple[str, ...]
    denied: tuple[str, ...]

    def decision(self, arn: str) -> Decision:
        """A denial counts more than anything that allows."""
        if any(_matches(pattern, arn) for pattern in self.denied):
            return "deny"
        if any(_matches(pattern, arn) for pattern in self.allowed):
            return "allow"
        return "no match"


def read_policy(document: Any) -> Policy:
    """Raises MalformedPolicy."""
    if not isinstance(document, dict):
        raise MalformedPolicy("policyDocument is not an object")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list):
        raise MalformedPolicy("policyDocument has no Statement")
    patterns: dict[str, list[str]] = {"Allow": [], "Deny": []}
    for statement in statements:
        effect, resources = _read_statement(statement)
        patterns[effect] += resources
    return Policy(tuple(patterns["Allow"]), tuple(patterns["Deny"]))


def _read_statement(statement: Any) -> tuple[str, list[str]]:
    if not isinstance(statement, dict):
        raise MalformedPolicy("a Statement is not an object")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicy(f"Effect is {effect!r}, not Allow or Deny")
    if unknown := next((key for key in _UNKNOWN if key in statement), None):
        raise MalformedPolicy(f"the local cloud does not evaluate {unknown}")
    actions = list(_texts(statement, "Action"))
    resources = list(_texts(statement, "Resource"))
    is_meant = any(_matches(action.lower(), _ACTION) for action in actions)
    return effect, resources if is_meant else []


def _texts(statement: Mapping[str, Any], key: str) -> Iterator[str]:
    value = statement.get(key)
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str):
            raise MalformedPolicy(f"{key} is not text")
        yield text


def _matches(pattern: str, text: str) -> bool:
    """`*` stands for any characters, slashes too, and `?` for one."""
    first, *others = _between_stars(pattern)
    if not others:
        return first.form.fullmatch(text) is not None
    found = first.form.match(text)
    # Each at the first place where it fits, so that nothing is ever tried twice.
    for part in others[:-1]:
        found = found and part.form.search(text, found.end())
    if found is None:
        return False
    start = len(text) - others[-1].length
    return start >= found.end() and others[-1].form.fullmatch(text, start) is not None


@dataclass(frozen=True)
class _Part:
    form: re.Pattern[str]
    length: int


@lru_cache(1024)
def _between_stars(pattern: str) -> tuple[_Part, ...]:
    return tuple(
        _Part(re.compile(re.escape(part).replace(r"\?", "."), re.DOTALL), len(part))
        for part in re.split(r"\*+", pattern)
    )
