"""An HTTP API's authorizers: what they are asked, and what a refusal is."""

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
    try:
        verdict = await authorizers.ask(
            authorizer,
            request,
            partial(_value, request),
            partial(authorizer_event, request, authorizer),
        )
    except Unauthorized:
        return 401, ""
    except Denied:
        return 403, ""
    except (AuthorizerFailed, AuthorizerMalformed) as error:
        return 500, str(error)
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
