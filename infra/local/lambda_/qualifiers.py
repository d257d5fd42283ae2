"""The function, and the version of it, that an invocation asks for."""

import re
from dataclasses import dataclass

from infra.local.template.model import ACCOUNT_ID, Function, Template, function_arn

_ARN = re.compile(
    r"(?:(?:arn:aws[\w-]*:lambda:(?P<region>[^:]*):)?(?P<account>\d{12}):)?"
    r"(?:function:)?(?P<name>[^:]+)(?::(?P<qualifier>[^:]+))?"
)
_NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
    r"(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER_PATTERN = r"(|[a-zA-Z0-9$_-]+)"
_MAX_QUALIFIER = 128


class Refused(Exception):
    """Lambda's answer to a name that it cannot follow."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


@dataclass(frozen=True)
class Qualified:
    """`qualifier` as it was asked for; `version` what it stands for."""

    function: Function
    qualifier: str | None
    version: str


def find(template: Template, reference: str, qualifier: str | None) -> Qualified:
    """By name, ARN, or what a function is called here. Raises Refused."""
    found = _ARN.fullmatch(reference)
    if found is None:
        raise _invalid_name(reference)
    _check_qualifier(qualifier)
    named = found["qualifier"]
    if named and not re.fullmatch(r"\$LATEST|[a-zA-Z0-9-_]+", named):
        raise _invalid_name(reference)
    if named and qualifier and named != qualifier:
        raise Refused(
            400,
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    if found["region"] is not None and found["region"] != template.region:
        raise _not_found(
            f"Functions from '{found['region']}' are not reachable in this region "
            f"('{template.region}')"
        )
    if found["account"] is not None and found["account"] != ACCOUNT_ID:
        raise Refused(
            403,
            "AccessDeniedException",
            f"This function belongs to the account {found['account']}, and here is {ACCOUNT_ID}",
        )
    wanted = named or qualifier or None
    arn = function_arn(template.region, found["name"])
    try:
        function = template.function(found["name"])
    except KeyError as error:
        # AWS says the first half; which functions there are helps whoever mistyped one.
        raise _not_found(f"Function not found: {arn}. {error.args[0]}") from error
    if wanted in (None, "$LATEST"):
        return Qualified(function, wanted, "$LATEST")
    if wanted not in function.versions:
        raise _not_found(f"Function not found: {arn}:{wanted}")
    return Qualified(function, wanted, function.versions[wanted])


def _check_qualifier(qualifier: str | None) -> None:
    if qualifier is None:
        return
    if len(qualifier) > _MAX_QUALIFIER:
        raise _invalid(
            qualifier, "qualifier", f"have length less than or equal to {_MAX_QUALIFIER}"
        )
    if not re.fullmatch(_QUALIFIER_PATTERN, qualifier):
        raise _invalid(
            qualifier, "qualifier", f"satisfy regular expression pattern: {_QUALIFIER_PATTERN}"
        )


def _invalid_name(reference: str) -> Refused:
    rule = f"satisfy regular expression pattern: {_NAME_PATTERN}"
    return _invalid(reference, "functionName", rule)


def _invalid(value: str, name: str, rule: str) -> Refused:
    return Refused(
        400,
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        f"Member must {rule}",
    )


def _not_found(message: str) -> Refused:
    return Refused(404, "ResourceNotFoundException", message)
