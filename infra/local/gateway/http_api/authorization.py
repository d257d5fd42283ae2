"""An HTTP API's authorizers: what they are asked, and what a refusal is."""

from collections.abc import Mapping
from typing import Any

from infra.local.gateway.authorizers import (
    AuthorizerFailed,
    AuthorizerMalformed,
    Authorizers,
    Denied,
    Unauthorized,
    Verdict,
    identity_of,
    in_context,
    method_arn,
)
from infra.local.gateway.http_api.events import authorizer_event, context_of
from infra.local.gateway.http_api.request import HttpRequest
from infra.local.template.model import FunctionIntegration, LambdaAuthorizer


async def refusal(
    request: HttpRequest,
    authorizer: LambdaAuthorizer,
    integration: FunctionIntegration,
    authorizers: Authorizers,
) -> tuple[int, str] | None:
    """None for a request that may go on, which then has what the authorizer says of it; else the
    status, and in words what is wrong with the authorizer, or nothing."""
    deployment = request.deployment
    arn = method_arn(authorizer, deployment.api_id, deployment.stage, request.method, request.path)
    try:
        identity = identity_of(authorizer, lambda place, name: _value(request, place, name))
        verdict = await authorizers.ask(
            authorizer,
            identity,
            lambda: authorizer_event(request, authorizer, identity, arn),
            arn,
            request.trace_id,
        )
    except Unauthorized:
        return 401, ""
    except Denied:
        return 403, ""
    except AuthorizerFailed as error:
        return 500, str(error)
    except AuthorizerMalformed as error:
        return 500, f"its answer is malformed: {error}"
    request.authorizer = _seen_by_the_function(verdict, integration.payload_format)
    return None


def _value(request: HttpRequest, place: str, name: str) -> str | None:
    match place:
        case "header":
            return request.header(name.lower())
        case "querystring":
            return ",".join(request.query.get(name, ()))
        case "stageVariables":
            return (request.deployment.stage_variables or {}).get(name)
    return in_context(context_of(request), name)


def _seen_by_the_function(verdict: Verdict, payload_format: str) -> Mapping[str, Any]:
    if payload_format == "2.0":
        return {"lambda": verdict.context}
    principal = {} if verdict.principal_id is None else {"principalId": verdict.principal_id}
    return {"claims": None, "scopes": None, **verdict.context, **principal}
