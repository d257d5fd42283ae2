"""An authorizer that does what its token says, and tells the function what it was asked."""

import json
from typing import Any


def lambda_handler(event: dict[str, Any], _context: object) -> Any:
    sources = event.get("identitySource", event.get("authorizationToken"))
    token = _first(sources) or _header(event, "x-token")
    arn = event.get("routeArn") or event["methodArn"]
    context = {"asked": json.dumps(event), "number": 1, "flag": True}
    match token:
        case "unauthorized":
            raise PermissionError("Unauthorized")
        case "fail":
            raise ValueError("password is 1234")
        case "nonsense":
            return {"principalId": "ada", "policyDocument": "all"}
        case "nested":
            return {**_policy("Allow", arn), "isAuthorized": True, "context": {"a": {"b": 1}}}
        case "deny":
            return {**_policy("Deny", arn), "isAuthorized": False}
        case "elsewhere":
            return {**_policy("Allow", f"{arn.rpartition('/')[0]}/another"), "isAuthorized": False}
        case "all but two":
            all_of_them = f"{arn.rpartition('/')[0]}/*"
            policy = _policy("Allow", all_of_them)
            denied = _policy("Deny", all_of_them.replace("*", "t?o"))
            policy["policyDocument"]["Statement"] += denied["policyDocument"]["Statement"]
            return policy
    return {**_policy("Allow", arn), "isAuthorized": True, "context": context}


def _policy(effect: str, resource: str) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": "ada", "policyDocument": document}


def _first(sources: Any) -> str:
    first = sources[0] if isinstance(sources, list) else (sources or "").partition(",")[0]
    return str(first)


def _header(event: dict[str, Any], wanted: str) -> str | None:
    headers = event.get("headers") or {}
    return next((value for name, value in headers.items() if name.lower() == wanted), None)
