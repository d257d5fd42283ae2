"""What is asked of a REST API whose routes have Lambda authorizers, and what AWS answers."""

from dataclasses import replace
from typing import Any

from tests.conformance.exchange import ABSENT, Matches, Request
from tests.conformance.pairs import GUIDE, RESPONSE_TYPES, Pair

_INPUT = f"{GUIDE}/api-gateway-lambda-authorizer-input.html"
_OUTPUT = f"{GUIDE}/api-gateway-lambda-authorizer-output.html"
_CONFIGURE = f"{GUIDE}/configure-api-gateway-lambda-authorization.html"
_USE = f"{GUIDE}/apigateway-use-lambda-authorizer.html"
_OBSERVED = (
    "https://dev.to/marcogrcr/"
    "api-gateway-lambda-authorizer-lambda-proxy-integration-failure-modes-52bc"
)
_OBSERVED_NULL = "https://loige.co/debugging-custom-apigateway-authorizers/"
_ARN = r"arn:aws:execute-api:[a-z0-9-]+:\d{12}:[a-z0-9]{10}/v1/GET"
_REFUSED = "User is not authorized to access this resource"


def _get(path: str, token: str | None = None, *headers: tuple[str, str]) -> Request:
    given = () if token is None else (("X-Token", token),)
    return Request(path, "GET", (*given, *headers))


def _failed(says: str, token: str, error_type: str, source: str) -> Pair:
    expected: dict[str, Any] = {
        "status": 500,
        "body": '{"message":null}',
        "header:x-amzn-ErrorType": error_type,
    }
    return Pair(says, _get("/request/7?who=ada", token), expected, source)


_TOKEN = (
    Pair(
        "A token authorizer is asked with these keys and no other",
        _get("/token/7", "allow"),
        {
            "asked": ["authorizationToken", "methodArn", "type"],
            "asked:type": "TOKEN",
            "asked:authorizationToken": "allow",
            "asked:methodArn": Matches(f"{_ARN}/token/7"),
        },
        _INPUT,
    ),
    Pair(
        "The function sees the authorizer's context as text, and the principal",
        _get("/token/7", "allow"),
        {
            "status": 200,
            "event:requestContext/authorizer/principalId": "ada",
            "event:requestContext/authorizer/number": "1",
            "event:requestContext/authorizer/flag": "true",
        },
        _OUTPUT,
    ),
    Pair(
        "Without its token a request is unauthorized, and nobody is asked",
        _get("/token/7"),
        {
            "status": 401,
            "body": '{"message":"Unauthorized"}',
            "header:x-amzn-ErrorType": "UnauthorizedException",
        },
        _OBSERVED,
    ),
    Pair(
        "A token that the validation expression does not match is unauthorized",
        _get("/token/7", "ALLOW"),
        {"status": 401, "json": {"message": "Unauthorized"}},
        _CONFIGURE,
    ),
    Pair(
        "A gateway response of UNAUTHORIZED has the headers that the template gives it",
        _get("/token/7"),
        {"status": 401, "header:Access-Control-Allow-Origin": "https://example.org"},
        RESPONSE_TYPES,
    ),
    Pair(
        "The authorizer's own Unauthorized is a 401",
        _get("/token/7", "unauthorized"),
        {"status": 401, "json": {"message": "Unauthorized"}},
        _USE,
    ),
    Pair(
        "A preflight request needs no token",
        Request(
            "/token/7",
            "OPTIONS",
            (("Origin", "https://example.org"), ("Access-Control-Request-Method", "GET")),
        ),
        {"status": 200, "header:Access-Control-Allow-Origin": "https://example.org"},
        _USE,
    ),
    Pair(
        "A route without an authorizer asks nobody",
        _get("/open"),
        {"status": 200, "event:requestContext/authorizer": ABSENT},
        _USE,
    ),
    Pair(
        "Where there is no route, no authorizer is asked",
        _get("/unknown", "allow"),
        {"status": 403, "json": {"message": "Missing Authentication Token"}},
        RESPONSE_TYPES,
    ),
)

_REQUEST = (
    Pair(
        "A request authorizer is asked with the request, without its body",
        _get("/request/7?who=ada&who=bob", "allow"),
        {
            "asked": [
                "headers",
                "httpMethod",
                "methodArn",
                "multiValueHeaders",
                "multiValueQueryStringParameters",
                "path",
                "pathParameters",
                "queryStringParameters",
                "requestContext",
                "resource",
                "stageVariables",
                "type",
            ],
            "asked:type": "REQUEST",
            "asked:methodArn": Matches(f"{_ARN}/request/7"),
            "asked:resource": "/request/{id}",
            "asked:path": "/request/7",
            "asked:httpMethod": "GET",
            "asked:headers/X-Token": "allow",
            "asked:multiValueQueryStringParameters": {"who": ["ada", "bob"]},
            "asked:pathParameters": {"id": "7"},
            "asked:stageVariables": {},
            "asked:requestContext/resourcePath": "/request/{id}",
            "asked:requestContext/authorizer": ABSENT,
        },
        _INPUT,
    ),
    Pair(
        "Where one of several identity sources is missing, a request is unauthorized",
        _get("/request/7", "allow"),
        {"status": 401, "json": {"message": "Unauthorized"}},
        _OBSERVED,
    ),
    Pair(
        "An identity source that is empty is missing",
        _get("/request/7?who=", "allow"),
        {"status": 401, "json": {"message": "Unauthorized"}},
        _OBSERVED,
    ),
)

_DECISIONS = (
    Pair(
        "A policy that denies is a 403 that says so",
        _get("/token/7", "deny"),
        {
            "status": 403,
            "body": f'{{"Message":"{_REFUSED} with an explicit deny"}}',
            "header:x-amzn-ErrorType": "AccessDeniedException",
        },
        _OBSERVED,
    ),
    Pair(
        "A policy that speaks of other resources is a 403",
        _get("/token/7", "elsewhere"),
        {"status": 403, "body": f'{{"Message":"{_REFUSED}"}}'},
        _OBSERVED,
    ),
    Pair(
        "In a policy a star stands for any characters",
        _get("/token/1", "all but two"),
        {"status": 200},
        _OUTPUT,
    ),
    Pair(
        "A denial counts more than what allows, and a question mark stands for one character",
        _get("/token/two", "all but two"),
        {"status": 403, "json": {"Message": f"{_REFUSED} with an explicit deny"}},
        _OUTPUT,
    ),
    _failed(
        "An authorizer's error is a 500 without a message",
        "fail",
        "AuthorizerFailureException",
        _OBSERVED,
    ),
    _failed(
        "An answer without a policy is a configuration error",
        "nonsense",
        "AuthorizerConfigurationException",
        _OBSERVED_NULL,
    ),
    _failed(
        "An object in the context is a configuration error",
        "nested",
        "AuthorizerConfigurationException",
        _OUTPUT,
    ),
)

AUTHORIZER_PAIRS = tuple(
    replace(pair, api="authorized") for pair in (*_TOKEN, *_REQUEST, *_DECISIONS)
)
