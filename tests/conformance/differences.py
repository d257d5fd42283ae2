"""Where a gateway is known not to do what AWS does, and what it does instead.

A test asks for exactly this, so that it is noticed when it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.exchange import ABSENT, NOT_JSON, Matches
from tests.conformance.pairs import PNG_BASE64
from tests.proxy_events import KEYS


@dataclass(frozen=True)
class Difference:
    """`says` is what the gateway does, in words; `observed` are the values that are not AWS's."""

    says: str
    observed: Mapping[str, Any]


LOCAL_GATEWAY = {
    "The context names the API's domain, which starts with the API's id": Difference(
        "The name by which it was asked",
        {
            "event:requestContext/domainName": "localhost",
            "event:requestContext/domainPrefix": "localhost",
        },
    ),
}

_NOT_IMPORTED = "Not deployed: "

MINISTACK = {
    "The event has these keys and no other": Difference(
        "Has `version` as well",
        {"keys": sorted([*KEYS["event"], "version"])},
    ),
    "The context has these keys and no other": Difference(
        "Lacks `deploymentId`, `domainName` and `domainPrefix`",
        {
            "keys:requestContext": sorted(
                set(KEYS["requestContext"]) - {"deploymentId", "domainName", "domainPrefix"}
            )
        },
    ),
    "The identity has these keys and no other": Difference(
        "Has `sourceIp` and `userAgent` alone",
        {
            "keys:requestContext/identity": ["sourceIp", "userAgent"],
            "event:requestContext/identity/user": ABSENT,
        },
    ),
    "The context's values are those of the request": Difference(
        "The API's id has 8 characters", {"event:requestContext/apiId": Matches("[0-9a-f]{8}")}
    ),
    "The context names the API's domain, which starts with the API's id": Difference(
        "Names none",
        {
            "event:requestContext/domainName": ABSENT,
            "event:requestContext/domainPrefix": ABSENT,
        },
    ),
    "A greedy parameter keeps two slashes": Difference(
        "Makes one of them", {"event:pathParameters": {"proxy": "a/b"}}
    ),
    "Two slashes after the stage count as one, and stay in the context's path": Difference(
        "They stay in the event's path too", {"event:path": "//echo"}
    ),
    "A path parameter is not decoded": Difference(
        "Decodes it, and the path",
        {"event:pathParameters": {"id": "a+b c"}, "event:path": "/echo/a+b c"},
    ),
    "An encoded slash is not a slash": Difference(
        "It is one: an unknown path",
        {"event:resource": ABSENT, "event:pathParameters": ABSENT},
    ),
    "A greedy parameter is not decoded": Difference(
        "Decodes it",
        {"event:pathParameters": {"proxy": "user/test+alias@example.org/test+alias"}},
    ),
    "A resource without the method is passed over for a parameter": Difference(
        "An unknown path", {"event:resource": ABSENT, "event:pathParameters": ABSENT}
    ),
    "A parameter's last value wins, all of them are in the list": Difference(
        "The first value wins",
        {"event:queryStringParameters": {"price": "10", "category": "books"}},
    ),
    "A semicolon splits a query": Difference(
        "It is part of the value", {"event:queryStringParameters": {"a": "1;b=2"}}
    ),
    "A header's name keeps its case": Difference(
        "All names are in lower case",
        {
            "exact:headers/tEsT-HEADeR": ABSENT,
            "exact:multiValueHeaders/tEsT-HEADeR": ABSENT,
        },
    ),
    "Authorization and User-Agent arrive in this spelling, whatever they were sent in": Difference(
        "All names are in lower case",
        {"exact:headers/Authorization": ABSENT, "exact:headers/User-Agent": ABSENT},
    ),
    "A header that comes twice: the last value, and the list of both": Difference(
        "One value, joined by a comma",
        {
            "event:headers/X-Twice": "one, two",
            "event:multiValueHeaders/X-Twice": ["one, two"],
        },
    ),
    "Content-Length and Connection are not passed on": Difference(
        "Both are", {"event:headers/Content-Length": "4", "event:headers/Connection": "close"}
    ),
    "X-Forwarded-For is added to, never believed": Difference(
        "The client's own is passed on, and is the source address",
        {
            "event:headers/X-Forwarded-For": "192.0.2.1",
            "event:multiValueHeaders/X-Forwarded-For": ["192.0.2.1"],
        },
    ),
    "X-Forwarded-Port and -Proto say how the client came": Difference(
        "Are not added",
        {"event:headers/X-Forwarded-Port": ABSENT, "event:headers/X-Forwarded-Proto": ABSENT},
    ),
    "X-Amzn-Trace-Id is added": Difference(
        "Is not added", {"event:headers/X-Amzn-Trace-Id": ABSENT}
    ),
    "An answer needs no field: 200, empty, application/json": Difference(
        "Without a statusCode the answer itself is the body", {"body": "{}"}
    ),
    "Without a statusCode it is 200": Difference(
        "Without a statusCode the answer itself is the body",
        {"header:test-header": ABSENT, "body": '{"headers": {"test-header": "value"}}'},
    ),
    "A statusCode that is not a number is a malformed answer": Difference(
        "500 without a body", {"status": 500, "json": NOT_JSON}
    ),
    "An unknown key is a malformed answer": Difference(
        "Takes no notice of it", {"status": 200, "json": NOT_JSON}
    ),
    "Text is a malformed answer": Difference("It is the body", {"status": 200, "json": NOT_JSON}),
    "A list is a malformed answer": Difference(
        "It is the body", {"status": 200, "json": [{"statusCode": 200}]}
    ),
    "null is a malformed answer": Difference(
        "200 without a body", {"status": 200, "json": NOT_JSON}
    ),
    "A body that is not text is a malformed answer": Difference(
        "Sends it as JSON", {"status": 200, "json": {"a": 1}}
    ),
    "multiValueHeaders with text for a list is a malformed answer": Difference(
        "Sends a header for each letter", {"status": 200, "json": NOT_JSON}
    ),
    "A body that is null is empty": Difference("500", {"status": 500}),
    "A header may be true or false": Difference("`True`", {"header:header-bool": "True"}),
    "headers and multiValueHeaders are merged into one list": Difference(
        "The second map replaces the first's value", {"header:X-Both": "b"}
    ),
    "WWW-Authenticate is renamed": Difference(
        "Sends it as it is",
        {
            "header:WWW-Authenticate": "Bearer",
            "header:x-amzn-Remapped-WWW-Authenticate": ABSENT,
        },
    ),
    "Only the first type that it accepts counts: here the first does": Difference(
        "With several types none counts: stays base64", {"body": PNG_BASE64}
    ),
    "A body that is flagged as base64 but is not base64 is a configuration error": Difference(
        "200, what could be decoded", {"status": 200, "json": NOT_JSON}
    ),
    "An answer carries the request's ids": Difference(
        "x-amzn-RequestId alone",
        {"header:x-amz-apigw-id": ABSENT, "header:X-Amzn-Trace-Id": ABSENT},
    ),
    "A function's error is a 502, without its words": Difference(
        "502 with its words",
        {
            "json": {
                "message": '{"errorMessage": "password is 1234", '
                '"errorType": "Runtime.HandlerError"}'
            }
        },
    ),
    "A function that exceeds its own time-out is a 502": Difference(
        "502 with Lambda's words",
        {
            "json": {
                "message": '{"errorMessage": "Task timed out after 1.00 seconds", '
                '"errorType": "Runtime.ExitError"}'
            }
        },
    ),
    "A function that exceeds the integration's time-out is a 504": Difference(
        f"{_NOT_IMPORTED}waits for the function", {"status": 200, "json": "late"}
    ),
    "A gateway's own answer names its error": Difference(
        "Names none", {"header:x-amzn-ErrorType": ABSENT}
    ),
    "An unknown path takes an Authorization header for a signature": Difference(
        "An unknown path as any other",
        {
            "header:x-amzn-ErrorType": ABSENT,
            "event:message": "Missing Authentication Token",
        },
    ),
    "A gateway's own answer carries the request's ids": Difference(
        "x-amzn-RequestId alone", {"header:x-amz-apigw-id": ABSENT}
    ),
    "A body over 10 MB is a 413 in plain text": Difference(
        "Takes it",
        {
            "status": 200,
            "body": "",
            "header:Content-Type": "application/json",
            "header:x-amzn-RequestId": Matches("[0-9a-f-]{36}"),
        },
    ),
    "An event over Lambda's 6 MB is a 413": Difference(
        "Takes it", {"status": 200, "json": NOT_JSON, "header:x-amzn-ErrorType": ABSENT}
    ),
    "An answer over Lambda's 6 MB is a 502": Difference(
        "Sends it", {"status": 200, "json": NOT_JSON}
    ),
    "Over 10,240 bytes of headers are a 431": Difference("Takes them", {"status": 200}),
    "A customised gateway response has its status, headers and body": Difference(
        f"{_NOT_IMPORTED}403, as it comes",
        {
            "status": 403,
            "header:X-Why": ABSENT,
            "json": {"message": "Missing Authentication Token"},
        },
    ),
    "A gateway response's header may be a context variable": Difference(
        f"{_NOT_IMPORTED}no such header", {"header:X-Request": ABSENT}
    ),
    "DEFAULT_5XX answers for a function's error, with its own status": Difference(
        f"{_NOT_IMPORTED}502 with the function's words",
        {
            "header:X-Family": ABSENT,
            "json": {"message": '{"errorMessage": "no", "errorType": "Runtime.HandlerError"}'},
        },
    ),
    "A customised time-out has its status and body": Difference(
        f"{_NOT_IMPORTED}waits for the function", {"status": 200, "json": "late"}
    ),
    "REQUEST_TOO_LARGE answers for an event over Lambda's 6 MB": Difference(
        "Takes it", {"status": 200, "json": NOT_JSON}
    ),
    "No gateway response changes what is said of a body over 10 MB": Difference(
        "Takes it", {"status": 200, "body": ""}
    ),
    "A customised configuration error keeps its own status": Difference(
        "200, what could be decoded", {"status": 200, "json": NOT_JSON}
    ),
    "Without Cors in the template a preflight request is an unknown path": Difference(
        f"{_NOT_IMPORTED}403, as it comes", {"status": 403, "header:X-Why": ABSENT}
    ),
}

_SIGN_IN = "Sign in first: send the header Authorization: Bearer <token>"
IMAGE_API_IN_MINISTACK = {
    "The image API: a request that Lambda would not take is 413, and says what to do": Difference(
        "Takes it: here the function asks who it is",
        {"status": 401, "event:detail": _SIGN_IN},
    ),
    "The image API: a request over 10 MB is 413, in the gateway's own words": Difference(
        "Takes it: here the function asks who it is",
        {"status": 401, "body": f'{{"detail": "{_SIGN_IN}"}}'},
    ),
    "The image API: an encoded slash is not a slash": Difference(
        "It is one: an unknown path", {"status": 404}
    ),
}
