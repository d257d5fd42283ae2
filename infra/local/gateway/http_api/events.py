"""What functions behind an HTTP API are invoked with, in both formats of the payload."""

from collections.abc import Mapping
from typing import Any

from infra.local.gateway.event import json_with_body, last_values, request_time
from infra.local.gateway.http_api.request import HttpRequest
from infra.local.template.model import LambdaAuthorizer


def integration_event(request: HttpRequest, body: bytes, payload_format: str) -> list[bytes]:
    """As JSON, in pieces."""
    event = _event_1_0(request) if payload_format == "1.0" else _event_2_0(request)
    if body or payload_format == "1.0":
        event["body"] = None
    event["isBase64Encoded"] = False
    return json_with_body(event, body, is_binary=request.is_binary())


def authorizer_event(
    request: HttpRequest, authorizer: LambdaAuthorizer, identity: tuple[str, ...], arn: str
) -> Mapping[str, Any]:
    """What a Lambda authorizer is asked."""
    if authorizer.payload_format == "2.0":
        event = _event_2_0(request)
        return {
            "version": event.pop("version"),
            "type": "REQUEST",
            "routeArn": arn,
            "identitySource": list(identity),
            **event,
        }
    event = _event_1_0(request)
    source = ",".join(identity)
    for key in ("queryStringParameters", "pathParameters", "stageVariables"):
        event[key] = event[key] or {}
    return {
        "version": event.pop("version"),
        "type": "REQUEST",
        "methodArn": arn,
        "identitySource": source,
        "authorizationToken": source,
        **event,
    }


def _event_2_0(request: HttpRequest) -> dict[str, Any]:
    """What the request does not have is not there."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, values in request.headers.items():
        lower = name.lower()
        if lower == "cookie":
            cookies += [cookie.strip() for value in values for cookie in value.split(";")]
        else:
            joined = ",".join(values)
            headers[lower] = f"{headers[lower]},{joined}" if lower in headers else joined
    event = {
        "version": "2.0",
        "routeKey": request.route_key,
        "rawPath": request.whole_path,
        "rawQueryString": request.raw_query,
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": {name: ",".join(values) for name, values in request.query.items()},
        "requestContext": context_of(request),
        "pathParameters": request.path_parameters,
        "stageVariables": request.deployment.stage_variables,
    }
    for key in ("cookies", "queryStringParameters", "pathParameters", "stageVariables"):
        if not event[key]:
            del event[key]
    return event


def context_of(request: HttpRequest) -> dict[str, Any]:
    """The newer payload's `requestContext`."""
    return {
        **_shared_context(request),
        "http": {
            "method": request.method,
            "path": request.whole_path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": request.user_agent,
        },
        "requestId": request.request_id,
        "routeKey": request.route_key,
        "stage": request.deployment.stage,
        "time": request_time(int(request.epoch_seconds)),
        "timeEpoch": int(request.epoch_seconds * 1000),
    }


def _event_1_0(request: HttpRequest) -> dict[str, Any]:
    """What the request does not have is None."""
    return {
        "version": "1.0",
        "resource": request.route_path,
        "path": request.whole_path,
        "httpMethod": request.method,
        "headers": last_values(request.headers),
        "multiValueHeaders": request.headers,
        "queryStringParameters": last_values(request.query),
        "multiValueQueryStringParameters": request.query or None,
        "requestContext": _context_1_0(request),
        "pathParameters": request.path_parameters or None,
        "stageVariables": request.deployment.stage_variables,
    }


def _context_1_0(request: HttpRequest) -> dict[str, Any]:
    return {
        **_shared_context(request),
        "extendedRequestId": request.request_id,
        "httpMethod": request.method,
        "identity": {
            "accessKey": None,
            "accountId": None,
            "caller": None,
            "cognitoAmr": None,
            "cognitoAuthenticationProvider": None,
            "cognitoAuthenticationType": None,
            "cognitoIdentityId": None,
            "cognitoIdentityPoolId": None,
            "principalOrgId": None,
            "sourceIp": request.source_ip,
            "user": None,
            "userAgent": request.user_agent,
            "userArn": None,
        },
        "path": request.whole_path,
        "protocol": "HTTP/1.1",
        "requestId": request.request_id,
        "requestTime": request_time(int(request.epoch_seconds)),
        "requestTimeEpoch": int(request.epoch_seconds * 1000),
        "resourceId": request.route_key,
        "resourcePath": request.route_path,
        "stage": request.deployment.stage,
    }


def _shared_context(request: HttpRequest) -> dict[str, Any]:
    context: dict[str, Any] = {
        "accountId": request.deployment.account_id,
        "apiId": request.deployment.api_id,
    }
    if request.authorizer is not None:
        context["authorizer"] = request.authorizer
    context["domainName"] = request.domain_name
    context["domainPrefix"] = request.domain_name.split(".")[0]
    return context
