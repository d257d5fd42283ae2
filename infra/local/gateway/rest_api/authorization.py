"""A REST API's authorizers: what they are asked, and what a refusal is."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from infra.local.gateway.authorizers import (
    AuthorizerFailed,
    AuthorizerMalformed,
    Authorizers,
    Denied,
    Unauthorized,
    Verdict,
    in_context,
)
from infra.local.gateway.request import Request
from infra.local.gateway.rest_api import gateway_responses as failures
from infra.local.gateway.rest_api.gateway_responses import Failure
from infra.local.template.model import LambdaAuthorizer


async def refusal(
    request: Request, authorizer: LambdaAuthorizer, authorizers: Authorizers
) -> tuple[Failure, str] | None:
    """None for a request that may go on, which then has what the authorizer says of it; else the
    failure, and in words what is wrong with the authorizer, or nothing."""
    try:
        verdict = await authorizers.ask(
            authorizer, request, partial(_value, request), partial(_event, request, authorizer)
        )
        request.authorizer = _seen_by_the_function(verdict)
    except Unauthorized:
        return failures.UNAUTHORIZED, ""
    except Denied as denied:
        chosen = failures.ACCESS_DENIED
        return failures.ACCESS_DENIED_EXPLICITLY if denied.is_explicit else chosen, ""
    except AuthorizerFailed as error:
        return failures.AUTHORIZER_FAILED, str(error)
    except AuthorizerMalformed as error:
        return failures.AUTHORIZER_MALFORMED, str(error)
    return None


def _value(request: Request, place: str, name: str) -> str | None:
    match place:
        case "header":
            lower = name.lower()
            return next(
                (sent[-1] for key, sent in request.headers.items() if key.lower() == lower), None
            )
        case "querystring":
            return request.query.get(name, [""])[-1]
        case "stageVariables":
            return (request.deployment.stage_variables or {}).get(name)
    return in_context(request.context(), name)


def _event(
    request: Request, authorizer: LambdaAuthorizer, identity: tuple[str, ...], arn: str
) -> Mapping[str, Any]:
    if authorizer.kind == "TOKEN":
        return {"type": "TOKEN", "methodArn": arn, "authorizationToken": identity[0]}
    event = request.event()
    del event["body"], event["isBase64Encoded"]
    # Here what there is none of is empty, and not null.
    for key in (
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
        "stageVariables",
    ):
        event[key] = event[key] or {}
    return {"type": "REQUEST", "methodArn": arn, **event}


def _seen_by_the_function(verdict: Verdict) -> Mapping[str, Any]:
    """Its context as text, whatever it was. Raises AuthorizerMalformed."""
    seen: dict[str, Any] = {}
    for name, value in verdict.context.items():
        if isinstance(value, dict | list):
            raise AuthorizerMalformed(f"context: {name} is an object or a list")
        if value is not None:
            seen[name] = value if isinstance(value, str) else json.dumps(value)
    if verdict.principal_id is not None:
        seen["principalId"] = verdict.principal_id
    return {**seen, "integrationLatency": verdict.latency_ms}
