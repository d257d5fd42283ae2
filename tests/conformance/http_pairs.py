"""What is asked of API Gateway's HTTP APIs, and what AWS answers."""

import base64
import hashlib
from dataclasses import replace
from typing import Any

from tests.conformance.exchange import ABSENT, Matches, Request
from tests.conformance.pairs import CONTEXT, FILE, GUIDE, PNG, TOO_LARGE, Pair

_LAMBDA = f"{GUIDE}/http-api-develop-integrations-lambda.html"
_ROUTES = f"{GUIDE}/http-api-develop-routes.html"
_CORS_PAGE = f"{GUIDE}/http-api-cors.html"
_AUTHORIZERS = f"{GUIDE}/http-api-lambda-authorizer.html"
_QUOTAS = f"{GUIDE}/http-api-quotas.html"
_RECORDED_EVENT = (
    "https://github.com/awsdocs/aws-lambda-developer-guide/blob/main/"
    "sample-apps/nodejs-apig/event-v2.json"
)
_RECORDED = (
    "https://github.com/aws/aws-lambda-dotnet/tree/33db274f0fb16ee9ae50897481e87b110ecf1114/"
    "Tools/LambdaTestTool-v2/tests/Amazon.Lambda.TestTool.IntegrationTests/Snapshots"
)
_RECORDED_INFERENCE = (
    "https://github.com/aws/aws-lambda-dotnet/blob/2fdb7687a01acff3afd970dd16e201abd4a8d3ad/"
    "Tools/LambdaTestTool-v2/tests/Amazon.Lambda.TestTool.IntegrationTests/"
    "InvokeResponseExtensionsIntegrationTests.cs"
)
_RECORDED_PATHS = "https://github.com/middleapi/standard-server/pull/93"
_RECORDED_SLASHES = "https://github.com/storacha/w3infra/pull/166"

_ID = Matches("[A-Za-z0-9_-]{15}=")
_ERROR_500 = {
    "status": 500,
    "body": '{"message":"Internal Server Error"}',
    "header:Content-Type": "application/json",
}
_OF_EXAMPLE = ("Origin", "https://example.org")
_OF_ANOTHER = ("Origin", "https://example.com")
_ASKS_FOR_POST = ("Access-Control-Request-Method", "POST")


def _get(path: str, *headers: tuple[str, str], **more: Any) -> Request:
    return Request(path, "GET", headers, **more)


def _post(content_type: str, body: bytes, *headers: tuple[str, str]) -> Request:
    return Request("/echo", "POST", (("Content-Type", content_type), *headers), body)


def _answered(answer: Any, *headers: tuple[str, str]) -> Request:
    return Request("/echo", "GET", headers, answer=answer)


_EVENT = (
    Pair(
        "HTTP: the event has these keys; what a request does not have is not there",
        _get("/echo"),
        {
            "keys": [
                "headers",
                "isBase64Encoded",
                "rawPath",
                "rawQueryString",
                "requestContext",
                "routeKey",
                "version",
            ],
            "event:version": "2.0",
            "event:rawQueryString": "",
            "event:isBase64Encoded": False,
        },
        _RECORDED_EVENT,
    ),
    Pair(
        "HTTP: what a request has is there",
        Request("/echo?a=1", "POST", (("Cookie", "a=1"), ("Content-Type", "text/plain")), b"x"),
        {
            "keys": [
                "body",
                "cookies",
                "headers",
                "isBase64Encoded",
                "queryStringParameters",
                "rawPath",
                "rawQueryString",
                "requestContext",
                "routeKey",
                "version",
            ]
        },
        _LAMBDA,
    ),
    Pair(
        "HTTP: the context's keys, and their values are those of the request",
        _get("/echo", ("User-Agent", "conformance/1")),
        {
            "keys:requestContext": [
                "accountId",
                "apiId",
                "domainName",
                "domainPrefix",
                "http",
                "requestId",
                "routeKey",
                "stage",
                "time",
                "timeEpoch",
            ],
            "keys:requestContext/http": ["method", "path", "protocol", "sourceIp", "userAgent"],
            "event:requestContext/http/method": "GET",
            "event:requestContext/http/path": "/echo",
            "event:requestContext/http/protocol": "HTTP/1.1",
            "event:requestContext/http/userAgent": "conformance/1",
            "event:requestContext/requestId": _ID,
            "event:requestContext/routeKey": "GET /echo",
            "event:requestContext/stage": "$default",
        },
        _RECORDED_EVENT,
    ),
    Pair(
        "HTTP: the context's time is in the Common Log Format, in UTC",
        _get("/echo"),
        {
            "event:requestContext/time": Matches(
                r"\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} \+0000"
            )
        },
        CONTEXT,
    ),
    Pair(
        "HTTP: names of headers are in lower case, and a length of nothing is there",
        _get("/echo", ("X-SeeN", "YES")),
        {
            "exact:headers/x-seen": "YES",
            "exact:headers/content-length": "0",
            "exact:headers/x-forwarded-proto": Matches("https?"),
            "exact:headers/x-amzn-trace-id": Matches("Root=1-[0-9a-f]{8}-[0-9a-f]{24}.*"),
        },
        _RECORDED_EVENT,
    ),
    Pair(
        "HTTP: a header that comes twice is one, joined by a comma",
        _get("/echo", ("X-Twice", "one"), ("x-twice", "two")),
        {"exact:headers/x-twice": "one,two", "event:multiValueHeaders": ABSENT},
        _LAMBDA,
    ),
    Pair(
        "HTTP: cookies are apart from the headers",
        _get("/echo", ("Cookie", "a=1; b=2")),
        {"event:cookies": ["a=1", "b=2"], "event:headers/cookie": ABSENT},
        _RECORDED_EVENT,
    ),
    Pair(
        "HTTP: the raw query is as it was sent, its parameters are decoded and joined by commas",
        _get("/echo?q=Hello%20World&tag=C%23%20Programming&tag=.NET%20Core"),
        {
            "event:rawQueryString": "q=Hello%20World&tag=C%23%20Programming&tag=.NET%20Core",
            "event:queryStringParameters": {
                "q": "Hello World",
                "tag": "C# Programming,.NET Core",
            },
        },
        _RECORDED,
    ),
    Pair(
        "HTTP: the raw path and its parameters are decoded",
        _get("/echo/Summer%20Sale%202023"),
        {
            "event:rawPath": "/echo/Summer Sale 2023",
            "event:requestContext/http/path": "/echo/Summer Sale 2023",
            "event:pathParameters": {"id": "Summer Sale 2023"},
            "event:routeKey": "GET /echo/{id}",
        },
        _RECORDED,
    ),
    Pair(
        "HTTP: an encoded question mark ends the raw path",
        _get("/echo/me%3Fadmin=true"),
        {"event:rawPath": "/echo/me"},
        _RECORDED_PATHS,
    ),
    *(
        Pair(
            f"HTTP: a body of {content_type} is {'base64' if is_binary else 'text'}",
            _post(content_type, b"a=1"),
            {
                "event:body": base64.b64encode(b"a=1").decode() if is_binary else "a=1",
                "event:isBase64Encoded": is_binary,
            },
            source,
        )
        for content_type, is_binary, source in (
            ("text/plain", False, _LAMBDA),
            ("application/json; charset=utf-8", False, _LAMBDA),
            ("application/problem+json", False, ""),
            ("application/octet-stream", True, _RECORDED),
            ("application/x-www-form-urlencoded", True, ""),
            ("multipart/form-data; boundary=x", True, ""),
        )
    ),
    Pair(
        "HTTP: a body in a content coding is base64",
        _post("text/plain", PNG, ("Content-Encoding", "br")),
        {"event:body": base64.b64encode(PNG).decode(), "event:isBase64Encoded": True},
    ),
    Pair(
        "HTTP: a file of 4 MB arrives intact",
        Request("/echo", "POST", (("Content-Type", "image/png"),), FILE, answer={"$do": "measure"}),
        {
            "status": 200,
            "event:body": {"bytes": len(FILE), "sha256": hashlib.sha256(FILE).hexdigest()},
        },
        _RECORDED,
    ),
)

_OLDER = (
    Pair(
        "HTTP, format 1.0: the event has these keys and no other",
        Request("/older/7", "POST"),
        {
            "keys": [
                "body",
                "headers",
                "httpMethod",
                "isBase64Encoded",
                "multiValueHeaders",
                "multiValueQueryStringParameters",
                "path",
                "pathParameters",
                "queryStringParameters",
                "requestContext",
                "resource",
                "stageVariables",
                "version",
            ],
            "event:version": "1.0",
            "event:resource": "/older/{id}",
            "event:path": "/older/7",
            "event:pathParameters": {"id": "7"},
            "event:queryStringParameters": None,
            "event:stageVariables": None,
            "event:body": None,
            "event:isBase64Encoded": False,
        },
        _RECORDED,
    ),
    Pair(
        "HTTP, format 1.0: the context names the route where a REST API names a resource",
        Request("/older/7", "POST"),
        {
            "event:requestContext/resourceId": "POST /older/{id}",
            "event:requestContext/resourcePath": "/older/{id}",
            "event:requestContext/path": "/older/7",
            "event:requestContext/requestId": _ID,
            "event:requestContext/extendedRequestId": _ID,
            "event:requestContext/stage": "$default",
        },
        _RECORDED,
    ),
    Pair(
        "HTTP, format 1.0: these headers are spelt so, others as the client does",
        Request("/older/7", "POST", (("content-type", "text/plain"), ("x-Seen", "yes")), b"text"),
        {
            "exact:headers/Content-Length": "4",
            "exact:headers/Content-Type": "text/plain",
            "exact:multiValueHeaders/x-Seen": ["yes"],
        },
        _RECORDED,
    ),
    Pair(
        "HTTP, format 1.0: values of one name are in a list",
        Request("/older/7?a=1&a=2", "POST"),
        {
            "event:queryStringParameters": {"a": "2"},
            "event:multiValueQueryStringParameters": {"a": ["1", "2"]},
        },
        _LAMBDA,
    ),
    Pair(
        "HTTP, format 1.0: an answer's headers of both maps are sent",
        Request(
            "/older/7",
            "POST",
            answer={
                "statusCode": 201,
                "headers": {"X-One": "1"},
                "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
                "body": "made",
            },
        ),
        {
            "status": 201,
            "body": "made",
            "header:X-One": "1",
            "header:Set-Cookie": ["a=1", "b=2"],
            "header:Content-Type": "text/plain; charset=utf-8",
        },
        _RECORDED,
    ),
    Pair(
        "HTTP, format 1.0: nothing is inferred from an answer without a statusCode",
        Request("/older/7", "POST", answer="Not a valid proxy response object"),
        _ERROR_500,
        _RECORDED_INFERENCE,
    ),
)

_ROUTING = (
    *(
        Pair(f"HTTP: {says}", request, {"event:routeKey": route}, _ROUTES)
        for says, request, route in (
            (
                "a full match comes before a greedy path variable",
                _get("/files/list"),
                "GET /files/list",
            ),
            (
                "a greedy path variable comes before the default route",
                _get("/files/a/b"),
                "GET /files/{proxy+}",
            ),
            (
                "a method comes before ANY",
                Request("/files/a", "POST"),
                "ANY /files/{proxy+}",
            ),
            (
                "a route that lacks the method is passed over",
                Request("/files/list", "POST"),
                "ANY /files/{proxy+}",
            ),
            ("the default route takes the rest", _get("/unknown/path"), "$default"),
            ("the default route takes the root", _get("/"), "$default"),
            ("the default route takes every method", Request("/echo", "PUT"), "$default"),
        )
    ),
    Pair(
        "HTTP: a greedy path variable has the rest of the path",
        _get("/files/a/b%20c"),
        {"event:pathParameters": {"proxy": "a/b c"}},
        _ROUTES,
    ),
    Pair(
        "HTTP: with a slash at the end a path is another one",
        _get("/echo/"),
        {"event:routeKey": "$default", "event:rawPath": "/echo/"},
        _RECORDED_SLASHES,
    ),
)

_ANSWERS = (
    *(
        Pair(
            f"HTTP: {says} is the body of an answer, as JSON",
            _answered(answer),
            {"status": 200, "body": body, "header:Content-Type": "application/json"},
            _RECORDED_INFERENCE,
        )
        for says, answer, body in (
            ("an object without a statusCode", {"name": "Ada"}, '{"name": "Ada"}'),
            ("a list", [1, 2], "[1, 2]"),
            ("text", 'Special "quoted" text', 'Special "quoted" text'),
            ("empty text", "", ""),
            ("a number", 42, "42"),
            ("a Boolean", True, "true"),
        )
    ),
    Pair(
        "HTTP: an answer with a statusCode has its status, headers and body",
        _answered({"statusCode": 201, "headers": {"x-Made": "yes"}, "body": "made"}),
        {"status": 201, "header:X-Made": "yes", "body": "made"},
        _LAMBDA,
    ),
    Pair(
        "HTTP: without a Content-Type an answer with a statusCode is plain text",
        _answered({"statusCode": 200, "body": "x"}),
        {"header:Content-Type": "text/plain; charset=utf-8", "body": "x"},
        _RECORDED,
    ),
    Pair(
        "HTTP: each cookie of an answer is a header",
        _answered({"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"]}),
        {"header:Set-Cookie": ["a=1; Path=/", "b=2"]},
        _LAMBDA,
    ),
    Pair(
        "HTTP: a body in base64 is decoded, whatever the client accepts",
        _answered(
            {"statusCode": 200, "body": base64.b64encode(PNG).decode(), "isBase64Encoded": True},
            ("Accept", "text/html"),
        ),
        {"body": PNG.decode("latin-1")},
        _RECORDED,
    ),
    Pair(
        "HTTP: a body that is flagged as base64 but is not is a 500",
        _answered({"statusCode": 200, "body": "%%%", "isBase64Encoded": True}),
        _ERROR_500,
    ),
    Pair(
        "HTTP: a statusCode with a fraction is a 500",
        _answered({"statusCode": 200.5, "body": "Hello"}),
        _ERROR_500,
        _RECORDED_INFERENCE,
    ),
    Pair(
        "HTTP: an answer carries the request's id",
        _answered({"statusCode": 200}),
        {"header:Apigw-Requestid": _ID, "header:x-amzn-RequestId": ABSENT},
        _RECORDED,
    ),
    Pair(
        "HTTP: HEAD has the headers and no body",
        Request("/echo", "HEAD", answer={"statusCode": 200, "headers": {"X-Seen": "yes"}}),
        {"status": 200, "header:X-Seen": "yes", "body": ""},
    ),
)

_FAILURES = (
    Pair(
        "HTTP: a function's error is a 500, without its words",
        _answered({"$do": "raise", "words": "password is 1234"}),
        _ERROR_500,
        _LAMBDA,
    ),
    Pair(
        "HTTP: a function that exceeds the integration's time-out is a 503",
        _get("/slow", answer={"$do": "sleep", "seconds": 2}),
        {"status": 503, "json": {"message": "Service Unavailable"}},
    ),
    Pair(
        "HTTP: a body over 10 MB is a 413",
        _post("image/png", TOO_LARGE),
        {"status": 413, "json": {"message": "Request Entity Too Large"}},
        _QUOTAS,
    ),
    Pair(
        "HTTP: an event over Lambda's 6 MB is a 413",
        _post("text/plain", b"x" * 7_000_000),
        {"status": 413, "json": {"message": "Request Entity Too Large"}},
    ),
    Pair(
        "HTTP: an answer over Lambda's 6 MB is a 500",
        _answered({"$do": "fill", "bytes": 7_000_000}),
        _ERROR_500,
    ),
    Pair(
        "HTTP: over 10,240 bytes of headers are a 431",
        _get("/echo", ("X-Long", "x" * 11_000)),
        {"status": 431},
        _QUOTAS,
    ),
)

_CORS = (
    Pair(
        "HTTP: a preflight request is answered by the gateway itself",
        Request("/echo", "OPTIONS", (_OF_EXAMPLE, _ASKS_FOR_POST)),
        {
            "status": 204,
            "body": "",
            "header:Access-Control-Allow-Origin": "https://example.org",
            "header:Access-Control-Allow-Methods": "GET,POST",
            "header:Access-Control-Allow-Headers": "content-type",
            "header:Access-Control-Allow-Credentials": "true",
            "header:Access-Control-Max-Age": "600",
        },
        _CORS_PAGE,
    ),
    Pair(
        "HTTP: of an origin that is not allowed a preflight request says nothing",
        Request("/echo", "OPTIONS", (_OF_ANOTHER, _ASKS_FOR_POST)),
        {"status": 204, "header:Access-Control-Allow-Origin": ABSENT},
        _CORS_PAGE,
    ),
    Pair(
        "HTTP: CORS headers are the API's, and a function's own are dropped",
        _answered(
            {
                "statusCode": 200,
                "headers": {"Access-Control-Allow-Origin": "*", "Access-Control-Max-Age": "1"},
            },
            _OF_EXAMPLE,
        ),
        {
            "header:Access-Control-Allow-Origin": "https://example.org",
            "header:Access-Control-Expose-Headers": "x-seen",
            "header:Access-Control-Max-Age": ABSENT,
        },
        _CORS_PAGE,
    ),
    Pair(
        "HTTP: without an origin nothing is said of CORS",
        _answered({"statusCode": 200}),
        {"header:Access-Control-Allow-Origin": ABSENT},
        _CORS_PAGE,
    ),
    Pair(
        "HTTP: OPTIONS that is no preflight request goes to its route",
        Request("/echo", "OPTIONS"),
        {"status": 200, "event:routeKey": "$default"},
        _CORS_PAGE,
    ),
)


def _authorized(path: str, token: str | None, *, who: str = "ada") -> Request:
    given = () if token is None else (("Authorization", token),)
    return _get(f"{path}?who={who}" if who else path, *given)


_ARN = r"arn:aws:execute-api:[a-z0-9-]+:\d{12}:[a-z0-9]{10}/\$default/GET"
_AUTHORIZED = (
    Pair(
        "HTTP: a Lambda authorizer of format 2.0 is asked so",
        _authorized("/simple", "allow"),
        {
            "asked": [
                "headers",
                "identitySource",
                "queryStringParameters",
                "rawPath",
                "rawQueryString",
                "requestContext",
                "routeArn",
                "routeKey",
                "type",
                "version",
            ],
            "asked:version": "2.0",
            "asked:type": "REQUEST",
            "asked:routeArn": Matches(f"{_ARN}/simple"),
            "asked:identitySource": ["allow"],
            "asked:routeKey": "GET /simple",
            "asked:requestContext/authorizer": ABSENT,
        },
        _AUTHORIZERS,
    ),
    Pair(
        "HTTP: a Lambda authorizer of format 1.0 is asked so",
        _authorized("/by-policy", "allow"),
        {
            "asked:version": "1.0",
            "asked:type": "REQUEST",
            "asked:methodArn": Matches(f"{_ARN}/by-policy"),
            "asked:identitySource": "allow,ada",
            "asked:authorizationToken": "allow,ada",
            "asked:resource": "/by-policy",
            "asked:pathParameters": {},
            "asked:queryStringParameters": {"who": "ada"},
        },
        _AUTHORIZERS,
    ),
    Pair(
        "HTTP: the function sees the authorizer's context, its values as they are",
        _authorized("/simple", "allow"),
        {
            "status": 200,
            "event:requestContext/authorizer/lambda/number": 1,
            "event:requestContext/authorizer/lambda/flag": True,
        },
        _AUTHORIZERS,
    ),
    Pair(
        "HTTP: a function of format 1.0 sees the context among what other authorizers say",
        _authorized("/older-by-policy", "allow"),
        {
            "status": 200,
            "event:requestContext/authorizer/number": 1,
            "event:requestContext/authorizer/claims": None,
            "event:requestContext/authorizer/scopes": None,
        },
    ),
    *(
        Pair(f"HTTP: {says}", request, {"status": status, "json": {"message": words}}, source)
        for says, request, status, words, source in (
            (
                "without an identity source a request is unauthorized",
                _authorized("/simple", None),
                401,
                "Unauthorized",
                _AUTHORIZERS,
            ),
            (
                "without one of several identity sources a request is unauthorized",
                _authorized("/by-policy", "allow", who=""),
                401,
                "Unauthorized",
                _AUTHORIZERS,
            ),
            (
                "an authorizer's own Unauthorized is a 401",
                _authorized("/simple", "unauthorized"),
                401,
                "Unauthorized",
                "",
            ),
            (
                "isAuthorized false is a 403",
                _authorized("/simple", "deny"),
                403,
                "Forbidden",
                _AUTHORIZERS,
            ),
            (
                "a policy that denies is a 403",
                _authorized("/by-policy", "deny"),
                403,
                "Forbidden",
                _AUTHORIZERS,
            ),
            (
                "a policy that speaks of other resources is a 403",
                _authorized("/by-policy", "elsewhere"),
                403,
                "Forbidden",
                _AUTHORIZERS,
            ),
            (
                "an authorizer's error is a 500",
                _authorized("/simple", "fail"),
                500,
                "Internal Server Error",
                _AUTHORIZERS,
            ),
            (
                "an answer without a policy is a 500",
                _authorized("/by-policy", "nonsense"),
                500,
                "Internal Server Error",
                _AUTHORIZERS,
            ),
        )
    ),
)

_STAGE = (
    Pair(
        "HTTP: the paths in an event are with a stage that has a name",
        _get("/echo"),
        {
            "event:rawPath": "/v1/echo",
            "event:requestContext/http/path": "/v1/echo",
            "event:routeKey": "GET /echo",
            "event:requestContext/stage": "v1",
        },
        _RECORDED_EVENT,
    ),
    Pair(
        "HTTP, format 1.0: both paths are with the stage",
        _get("/older"),
        {
            "event:path": "/v1/older",
            "event:requestContext/path": "/v1/older",
            "event:resource": "/older",
        },
    ),
    Pair(
        "HTTP: stage variables are in the event",
        _get("/echo"),
        {"event:stageVariables": {"colour": "green"}},
        _LAMBDA,
    ),
    *(
        Pair(
            f"HTTP: {says} is a 404",
            request,
            {
                "status": 404,
                "body": '{"message":"Not Found"}',
                "header:Content-Type": "application/json",
                "header:Apigw-Requestid": _ID,
            },
            _ROUTES,
        )
        for says, request in (
            ("an unknown path", _get("/unknown")),
            ("a wrong method", Request("/older", "PUT")),
            ("the root, which a greedy path variable does not take,", Request("/", "POST")),
            (
                "a preflight request without CORS",
                Request("/echo", "OPTIONS", (_OF_EXAMPLE, _ASKS_FOR_POST)),
            ),
        )
    ),
    Pair(
        "HTTP: without CORS a function's own headers are sent",
        _answered({"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}),
        {"header:Access-Control-Allow-Origin": "*"},
        _CORS_PAGE,
    ),
)

HTTP_PAIRS = (
    *(
        replace(pair, api="http")
        for pair in (
            *_EVENT,
            *_OLDER,
            *_ROUTING,
            *_ANSWERS,
            *_FAILURES,
            *_CORS,
            *_AUTHORIZED,
        )
    ),
    *(replace(pair, api="http_stage") for pair in _STAGE),
)
