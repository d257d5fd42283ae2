"""What is asked of API Gateway, and what AWS answers: one pair for each thing it does.

Each expectation has its source: a page of AWS's documentation, or a response that somebody
recorded against AWS and published.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.conformance.exchange import ABSENT, Matches, Request
from tests.proxy_events import KEYS

# The templates whose APIs are asked, by the names that pairs know them by.
TEMPLATES = {
    name: Path(__file__).parent / "project" / f"{name}.yaml"
    for name in ("plain", "customised", "authorized", "http", "http_stage")
}

GUIDE = "https://docs.aws.amazon.com/apigateway/latest/developerguide"
_PROXY = f"{GUIDE}/set-up-lambda-proxy-integrations.html"
INPUT = f"{_PROXY}#api-gateway-simple-proxy-for-lambda-input-format"
OUTPUT = f"{_PROXY}#api-gateway-simple-proxy-for-lambda-output-format"
PROXY_RESOURCE = f"{GUIDE}/api-gateway-set-up-simple-proxy.html"
ENCODINGS = f"{GUIDE}/api-gateway-payload-encodings-workflow.html"
RESPONSE_TYPES = f"{GUIDE}/supported-gateway-response-types.html"
RESPONSE_TEMPLATES = f"{GUIDE}/api-gateway-gatewayResponse-definition.html"
CONTEXT = f"{GUIDE}/api-gateway-variables-for-access-logging.html"
NOTES = f"{GUIDE}/api-gateway-known-issues.html"
QUOTAS = f"{GUIDE}/api-gateway-execution-service-limits-table.html"
CORS = f"{GUIDE}/how-to-cors.html"
LAMBDA_QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_RECORDINGS = (
    "https://github.com/localstack/localstack/blob/2da97ffd36c61573cfaf4876bc781a7460c370bf/"
    "tests/aws/services/apigateway"
)
RECORDED_EVENTS = f"{_RECORDINGS}/test_apigateway_lambda.snapshot.json"
RECORDED_ANSWERS = f"{_RECORDINGS}/test_apigateway_lambda.py"
RECORDED_GREEDY_ROUTES = "https://github.com/ministackorg/ministack/pull/1423"
RECORDED_SIGNATURES = "https://github.com/amazon-archives/aws-cognito-angular-quickstart/issues/50"
RECORDED_SIZES = "https://github.com/koki-develop/lgtm-generator/issues/10"
RECORDED_FAILURES = "https://github.com/DataBiosphere/azul/issues/8192"
RECORDED_PARAMETER_ROUTES = "https://github.com/floci-io/floci/pull/3399"

_ERROR_502 = {"status": 502, "json": {"message": "Internal server error"}}
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))
FILE = PNG * (4 * 1024 * 1024 // len(PNG))
_PREFLIGHT = (("Origin", "https://example.org"), ("Access-Control-Request-Method", "POST"))
TOO_LARGE = b"x" * (10 * 1024 * 1024 + 1)
_UUID = Matches("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PNG_BASE64 = base64.b64encode(PNG).decode()
_BASE64_ANSWER = {"statusCode": 200, "body": PNG_BASE64, "isBase64Encoded": True}
_NOT_BASE64_ANSWER = {"statusCode": 200, "body": "%%%", "isBase64Encoded": True}


@dataclass(frozen=True)
class Pair:
    """`says` is what AWS does, in words; `api` is which template's API is asked.

    Without a `source` it is known from use alone: nobody has published it in a form that could be
    pointed at.
    """

    says: str
    request: Request
    expected: Mapping[str, Any]
    source: str = ""
    api: str = "plain"


def _get(path: str, *headers: tuple[str, str], **more: Any) -> Request:
    return Request(path, "GET", headers, **more)


def _post(content_type: str, body: bytes, *headers: tuple[str, str], **more: Any) -> Request:
    return Request("/echo", "POST", (("Content-Type", content_type), *headers), body, **more)


def _answered(answer: Any, *headers: tuple[str, str]) -> Request:
    return Request("/echo", "GET", headers, answer=answer)


_EVENT = (
    Pair(
        "The event has these keys and no other",
        _get("/echo"),
        {"keys": sorted(KEYS["event"])},
        INPUT,
    ),
    Pair(
        "What a request does not have is null",
        _get("/echo"),
        {
            "event:body": None,
            "event:isBase64Encoded": False,
            "event:pathParameters": None,
            "event:queryStringParameters": None,
            "event:multiValueQueryStringParameters": None,
            "event:stageVariables": None,
        },
        INPUT,
    ),
    Pair(
        "The event names the method, and the resource as the template writes it",
        _get("/echo/7"),
        {
            "event:httpMethod": "GET",
            "event:resource": "/echo/{id}",
            "event:pathParameters": {"id": "7"},
        },
        INPUT,
    ),
    Pair(
        "The context has these keys and no other",
        _get("/echo"),
        {"keys:requestContext": sorted(KEYS["requestContext"])},
        RECORDED_EVENTS,
    ),
    Pair(
        "The identity has these keys and no other",
        _get("/echo", ("User-Agent", "conformance/1")),
        {
            "keys:requestContext/identity": sorted(KEYS["identity"]),
            "event:requestContext/identity/userAgent": "conformance/1",
            "event:requestContext/identity/user": None,
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "The context's values are those of the request",
        _get("/echo"),
        {
            "event:requestContext/accountId": Matches(r"\d{12}"),
            "event:requestContext/apiId": Matches("[a-z0-9]{10}"),
            "event:requestContext/httpMethod": "GET",
            "event:requestContext/protocol": "HTTP/1.1",
            "event:requestContext/resourcePath": "/echo",
            "event:requestContext/stage": "v1",
        },
        INPUT,
    ),
    Pair(
        "The context names the API's domain, which starts with the API's id",
        _get("/echo"),
        {
            "event:requestContext/domainName": Matches(
                r"[a-z0-9]{10}\.execute-api\.[a-z0-9-]+\.amazonaws\.com"
            ),
            "event:requestContext/domainPrefix": Matches("[a-z0-9]{10}"),
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "The request's time is in the Common Log Format, in UTC",
        _get("/echo"),
        {
            "event:requestContext/requestTime": Matches(
                r"\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} \+0000"
            )
        },
        CONTEXT,
    ),
    Pair(
        "The request's id is a UUID, its extended id is not",
        _get("/echo"),
        {
            "event:requestContext/requestId": _UUID,
            "event:requestContext/extendedRequestId": Matches("[A-Za-z0-9+/_-]{15,}=*"),
        },
        RECORDED_EVENTS,
    ),
)

_PATHS = (
    Pair(
        "The event's path is without the stage, the context's with it",
        _get("/echo/7"),
        {"event:path": "/echo/7", "event:requestContext/path": "/v1/echo/7"},
        RECORDED_EVENTS,
    ),
    Pair(
        "A slash at the end counts for nothing, and stays in the path",
        _get("/echo/"),
        {
            "event:resource": "/echo",
            "event:path": "/echo/",
            "event:requestContext/path": "/v1/echo/",
        },
    ),
    Pair(
        "A slash at the end is not part of a greedy parameter",
        _get("/files/a/b/"),
        {"event:path": "/files/a/b/", "event:pathParameters": {"proxy": "a/b"}},
        RECORDED_EVENTS,
    ),
    Pair(
        "A greedy parameter keeps two slashes",
        _get("/files/a//b"),
        {"event:path": "/files/a//b", "event:pathParameters": {"proxy": "a//b"}},
        RECORDED_EVENTS,
    ),
    Pair(
        "Two slashes after the stage count as one, and stay in the context's path",
        _get("//echo"),
        {
            "event:resource": "/echo",
            "event:path": "/echo",
            "event:requestContext/path": "/v1//echo",
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "A path parameter is not decoded",
        _get("/echo/a%2Bb%20c"),
        {"event:pathParameters": {"id": "a%2Bb%20c"}, "event:path": "/echo/a%2Bb%20c"},
        RECORDED_EVENTS,
    ),
    Pair(
        "An encoded slash is not a slash",
        _get("/echo/a%2Fb"),
        {"event:resource": "/echo/{id}", "event:pathParameters": {"id": "a%2Fb"}},
    ),
    Pair(
        "A greedy parameter is not decoded",
        _get("/files/user/test%2Balias@example.org/test+alias"),
        {"event:pathParameters": {"proxy": "user/test%2Balias@example.org/test+alias"}},
        RECORDED_EVENTS,
    ),
    Pair(
        "A specific resource comes before a general one",
        _get("/files/list"),
        {"event:resource": "/files/list", "event:pathParameters": None},
        PROXY_RESOURCE,
    ),
    Pair(
        "A resource without the method is passed over for a greedy one",
        Request("/files/list", "POST"),
        {"event:resource": "/files/{proxy+}", "event:pathParameters": {"proxy": "list"}},
        RECORDED_GREEDY_ROUTES,
    ),
    Pair(
        "A resource without the method is passed over for a parameter",
        _get("/users/me"),
        {"event:resource": "/users/{id}", "event:pathParameters": {"id": "me"}},
        RECORDED_PARAMETER_ROUTES,
    ),
    Pair(
        "ANY takes every method",
        Request("/any", "DELETE"),
        {"status": 200, "event:httpMethod": "DELETE", "event:resource": "/any"},
        PROXY_RESOURCE,
    ),
    Pair(
        "ANY takes a method that has no name of its own in a template: PATCH",
        Request("/any", "PATCH"),
        {"status": 200, "event:httpMethod": "PATCH"},
        PROXY_RESOURCE,
    ),
)

_QUERIES = (
    Pair(
        "A parameter's last value wins, all of them are in the list",
        _get("/echo?price=10&category=books&price=20&price=30"),
        {
            "event:queryStringParameters": {"price": "30", "category": "books"},
            "event:multiValueQueryStringParameters": {
                "price": ["10", "20", "30"],
                "category": ["books"],
            },
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "A query is decoded",
        _get("/echo?email=test%2Balias%40example.org&url=https://example.org/"),
        {
            "event:queryStringParameters": {
                "email": "test+alias@example.org",
                "url": "https://example.org/",
            }
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "A plus in a query is a space",
        _get("/echo?plus=test+alias"),
        {"event:queryStringParameters": {"plus": "test alias"}},
        RECORDED_EVENTS,
    ),
    Pair(
        "A query is UTF-8",
        _get("/echo?%C3%A9=%C3%BC"),
        {"event:queryStringParameters": {"é": "ü"}},
        NOTES,
    ),
    Pair(
        "A parameter may be empty",
        _get("/echo?empty=&also"),
        {
            "event:queryStringParameters": {"empty": "", "also": ""},
            "event:multiValueQueryStringParameters": {"empty": [""], "also": [""]},
        },
    ),
    Pair(
        "A question mark alone is not a query",
        _get("/echo?"),
        {"event:queryStringParameters": None, "event:path": "/echo"},
    ),
    Pair(
        "A semicolon splits a query",
        _get("/echo?a=1;b=2"),
        {"event:queryStringParameters": {"a": "1", "b": "2"}},
        NOTES,
    ),
    Pair(
        "Parameters are case-sensitive",
        _get("/echo?name=1&Name=2"),
        {"event:queryStringParameters": {"name": "1", "Name": "2"}},
        NOTES,
    ),
)

_HEADERS = (
    Pair(
        "A header's name keeps its case",
        _get("/echo", ("tEsT-HEADeR", "aValUE")),
        {
            "exact:headers/tEsT-HEADeR": "aValUE",
            "exact:multiValueHeaders/tEsT-HEADeR": ["aValUE"],
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "Authorization and User-Agent arrive in this spelling, whatever they were sent in",
        _get("/echo", ("aUThorization", "Bearer token123"), ("user-Agent", "conformance/1")),
        {
            "exact:headers/Authorization": "Bearer token123",
            "exact:headers/User-Agent": "conformance/1",
            "exact:headers/aUThorization": ABSENT,
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "A header that comes twice: the last value, and the list of both",
        _get("/echo", ("X-Twice", "one"), ("X-Twice", "two")),
        {"event:headers/X-Twice": "two", "event:multiValueHeaders/X-Twice": ["one", "two"]},
    ),
    Pair(
        "Both maps of headers have the same names",
        _get("/echo", ("Cookie", "a=1; b=2")),
        {"event:headers/Cookie": "a=1; b=2", "event:multiValueHeaders/Cookie": ["a=1; b=2"]},
        RECORDED_EVENTS,
    ),
    Pair(
        "Content-Length and Connection are not passed on",
        _post("text/plain", b"text"),
        {
            "event:headers/Content-Length": ABSENT,
            "event:headers/Connection": ABSENT,
            "event:headers/Content-Type": "text/plain",
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "X-Forwarded-For is added to, never believed",
        _get("/echo", ("X-Forwarded-For", "192.0.2.1")),
        {
            "event:headers/X-Forwarded-For": Matches(r"192\.0\.2\.1, [0-9a-f.:]+"),
            "event:multiValueHeaders/X-Forwarded-For": [Matches(r"192\.0\.2\.1, [0-9a-f.:]+")],
        },
    ),
    Pair(
        "X-Forwarded-Port and -Proto say how the client came",
        _get("/echo"),
        {
            "event:headers/X-Forwarded-Port": Matches(r"\d+"),
            "event:headers/X-Forwarded-Proto": Matches("https?"),
        },
        RECORDED_EVENTS,
    ),
    Pair(
        "X-Amzn-Trace-Id is added",
        _get("/echo"),
        {"event:headers/X-Amzn-Trace-Id": Matches("Root=1-[0-9a-f]{8}-[0-9a-f]{24}.*")},
        RECORDED_EVENTS,
    ),
)

_BODIES = (
    Pair(
        "A body is text",
        _post("application/json;charset=utf-8", b'{"message": "h\xc3\xa9llo"}'),
        {"event:body": '{"message": "héllo"}', "event:isBase64Encoded": False},
        RECORDED_EVENTS,
    ),
    Pair(
        "A body of a binary type is base64",
        _post("image/png", PNG),
        {"event:body": PNG_BASE64, "event:isBase64Encoded": True},
        ENCODINGS,
    ),
    Pair(
        "A binary type's parameters do not matter",
        _post("multipart/form-data; boundary=x", b"--x--\xff\r\n"),
        {
            "event:body": base64.b64encode(b"--x--\xff\r\n").decode(),
            "event:isBase64Encoded": True,
        },
        ENCODINGS,
    ),
    Pair(
        "In a body of another type, what is not UTF-8 is replaced",
        _post("text/plain", b"a\xffb"),
        {"event:body": "a\ufffdb", "event:isBase64Encoded": False},
    ),
    Pair(
        "An empty body is null, of a binary type too",
        _post("image/png", b"", ("Content-Length", "0")),
        {"event:body": None, "event:isBase64Encoded": False},
    ),
    Pair(
        "A GET may have a body",
        Request("/echo", "GET", (("Content-Type", "text/plain"),), b"text"),
        {"event:body": "text"},
    ),
    Pair(
        "A file of 4 MB arrives intact",
        _post("image/png", FILE, answer={"$do": "measure"}),
        {
            "status": 200,
            "event:body": {"bytes": len(FILE), "sha256": hashlib.sha256(FILE).hexdigest()},
        },
        ENCODINGS,
    ),
)

_ANSWERS = (
    Pair(
        "An answer needs no field: 200, empty, application/json",
        _answered({}),
        {"status": 200, "body": "", "header:Content-Type": "application/json"},
        RECORDED_ANSWERS,
    ),
    Pair(
        "Without a statusCode it is 200",
        _answered({"headers": {"test-header": "value"}}),
        {"status": 200, "header:test-header": "value", "body": ""},
        RECORDED_ANSWERS,
    ),
    Pair(
        "The statusCode may be text",
        _answered({"statusCode": "201"}),
        {"status": 201},
        RECORDED_ANSWERS,
    ),
    *(
        Pair(f"{what} is a malformed answer", _answered(answer), _ERROR_502, source)
        for what, answer, source in (
            ("A statusCode that is not a number", {"statusCode": "test"}, RECORDED_ANSWERS),
            ("An unknown key", {"statusCode": 200, "wrongValue": "value"}, RECORDED_ANSWERS),
            ("Text", "justAString", RECORDED_ANSWERS),
            ("A list", [{"statusCode": 200}], OUTPUT),
            ("null", None, OUTPUT),
            ("A body that is not text", {"statusCode": 200, "body": {"a": 1}}, OUTPUT),
            (
                "multiValueHeaders with text for a list",
                {"statusCode": 200, "multiValueHeaders": {"test-multi-invalid": "value1"}},
                RECORDED_ANSWERS,
            ),
        )
    ),
    Pair(
        "headers may be null",
        _answered({"statusCode": 200, "headers": None}),
        {"status": 200, "body": ""},
        RECORDED_ANSWERS,
    ),
    Pair(
        "A body that is null is empty",
        _answered({"statusCode": 200, "body": None}),
        {"status": 200, "body": ""},
    ),
    Pair(
        "A header may be true or false",
        _answered({"statusCode": 200, "headers": {"header-bool": True}}),
        {"header:header-bool": "true"},
        RECORDED_ANSWERS,
    ),
    Pair(
        "A header with several values is sent several times",
        _answered({"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}),
        {"header:Set-Cookie": ["a=1", "b=2"]},
        OUTPUT,
    ),
    Pair(
        "headers and multiValueHeaders are merged into one list, these before those",
        _answered(
            {
                "statusCode": 200,
                "headers": {"X-One": "1", "X-Both": "a"},
                "multiValueHeaders": {"X-Two": ["x"], "X-Both": ["b"]},
            }
        ),
        {"header:X-One": "1", "header:X-Two": "x", "header:X-Both": ["b", "a"]},
        RECORDED_ANSWERS,
    ),
    Pair(
        "The same pair in both maps is one header",
        _answered(
            {
                "statusCode": 200,
                "headers": {"X-Both": "a"},
                "multiValueHeaders": {"X-Both": ["a", "b"]},
            }
        ),
        {"header:X-Both": ["a", "b"]},
        OUTPUT,
    ),
    Pair(
        "The Content-Type is the function's, however it is spelt",
        _answered({"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "x"}),
        {"header:Content-Type": "text/plain", "body": "x"},
        PROXY_RESOURCE,
    ),
    Pair(
        "Without a Content-Type it is application/json",
        _answered({"statusCode": 200, "body": "x"}),
        {"header:Content-Type": "application/json", "body": "x"},
        PROXY_RESOURCE,
    ),
    Pair(
        "WWW-Authenticate is renamed",
        _answered({"statusCode": 401, "headers": {"WWW-Authenticate": "Bearer"}}),
        {
            "status": 401,
            "header:WWW-Authenticate": ABSENT,
            "header:x-amzn-Remapped-WWW-Authenticate": "Bearer",
        },
        NOTES,
    ),
    *(
        Pair(
            says,
            _answered(_BASE64_ANSWER, ("Accept", accepted)),
            {"body": PNG.decode("latin-1") if is_decoded else PNG_BASE64},
            ENCODINGS,
        )
        for says, accepted, is_decoded in (
            (
                "A body in base64 is decoded for a client that accepts a binary type",
                "image/png",
                True,
            ),
            (
                "Only the first type that it accepts counts: here the second would do",
                "text/html,image/png",
                False,
            ),
            (
                "Only the first type that it accepts counts: here the first does",
                "image/png,image/*,*/*;q=0.8",
                True,
            ),
            ("A client that accepts anything accepts no binary type", "*/*", False),
        )
    ),
    Pair(
        "A client that says nothing accepts no binary type",
        _answered(_BASE64_ANSWER),
        {"body": PNG_BASE64},
        RECORDED_ANSWERS,
    ),
    Pair(
        "A body that is not flagged is never decoded",
        _answered({"statusCode": 200, "body": PNG_BASE64}, ("Accept", "image/png")),
        {"body": PNG_BASE64},
        OUTPUT,
    ),
    Pair(
        "A body that is flagged as base64 but is not base64 is a configuration error",
        _answered(_NOT_BASE64_ANSWER, ("Accept", "image/png")),
        {"status": 500, "json": {"message": "Internal server error"}},
        RESPONSE_TYPES,
    ),
    Pair(
        "HEAD has the headers and no body",
        Request(
            "/echo",
            "HEAD",
            answer={"statusCode": 200, "headers": {"X-Seen": "yes"}, "body": "not sent"},
        ),
        {"status": 200, "header:X-Seen": "yes", "body": ""},
    ),
    Pair(
        "An answer carries the request's ids",
        _answered({"statusCode": 200}),
        {
            "header:x-amzn-RequestId": _UUID,
            "header:x-amz-apigw-id": Matches("[A-Za-z0-9+/_-]{15,}=*"),
            "header:X-Amzn-Trace-Id": Matches("Root=1-[0-9a-f]{8}-[0-9a-f]{24}.*"),
        },
        RECORDED_ANSWERS,
    ),
)

_FAILURES = (
    Pair(
        "A function's error is a 502, without its words",
        _answered({"$do": "raise", "words": "password is 1234"}),
        _ERROR_502,
        OUTPUT,
    ),
    Pair(
        "A function that exceeds its own time-out is a 502",
        Request("/hasty", answer={"$do": "sleep", "seconds": 10}),
        _ERROR_502,
    ),
    Pair(
        "A function that exceeds the integration's time-out is a 504",
        Request("/slow", answer={"$do": "sleep", "seconds": 2}),
        {"status": 504, "json": {"message": "Endpoint request timed out"}},
        RESPONSE_TYPES,
    ),
    *(
        Pair(
            says,
            request,
            {"status": 403, "json": {"message": "Missing Authentication Token"}},
            source,
        )
        for says, request, source in (
            ("A path is case-sensitive", _get("/Echo"), ""),
            ("An unknown path is a 403", _get("/unknown"), RESPONSE_TYPES),
            (
                "The API's root is an unknown path, unless the template has it",
                _get("/"),
                RESPONSE_TYPES,
            ),
            ("A parent of resources is an unknown path", _get("/users"), RESPONSE_TYPES),
            ("A greedy parameter is never empty", _get("/files"), PROXY_RESOURCE),
            ("A wrong method is an unknown path", Request("/echo/7", "DELETE"), RESPONSE_TYPES),
            (
                "A preflight request to an unknown path is an unknown path",
                Request("/unknown", "OPTIONS", _PREFLIGHT),
                RESPONSE_TYPES,
            ),
        )
    ),
    Pair(
        "A gateway's own answer names its error",
        _get("/unknown"),
        {"header:x-amzn-ErrorType": "MissingAuthenticationTokenException"},
    ),
    Pair(
        "A gateway's own answer carries the request's ids",
        _get("/unknown"),
        {
            "header:x-amzn-RequestId": _UUID,
            "header:x-amz-apigw-id": Matches("[A-Za-z0-9+/_-]{15,}=*"),
            "header:Content-Type": "application/json",
        },
    ),
    Pair(
        "An unknown path takes an Authorization header for a signature",
        _get("/unknown", ("Authorization", "Bearer token123")),
        {
            "status": 403,
            "header:x-amzn-ErrorType": "IncompleteSignatureException",
            "event:message": Matches(
                r".*\(missing equal-sign\) in Authorization header(?!.*token123).*"
            ),
        },
        RECORDED_SIGNATURES,
    ),
    Pair(
        "A body over 10 MB is a 413 in plain text",
        _post("image/png", TOO_LARGE, answer={"statusCode": 200}),
        {
            "status": 413,
            "body": "HTTP content length exceeded 10485760 bytes.",
            "header:Content-Type": "text; charset=utf-8",
            "header:x-amzn-RequestId": ABSENT,
        },
        RECORDED_SIZES,
    ),
    Pair(
        "An event over Lambda's 6 MB is a 413",
        _post("text/plain", b"x" * 7_000_000, answer={"statusCode": 200}),
        {
            "status": 413,
            "json": {"message": "Request Too Long"},
            "header:x-amzn-ErrorType": "BadRequestException",
        },
        RECORDED_SIZES,
    ),
    Pair(
        "An answer over Lambda's 6 MB is a 502",
        _answered({"$do": "fill", "bytes": 7_000_000}),
        _ERROR_502,
        RECORDED_FAILURES,
    ),
    Pair(
        "9,000 bytes of headers are taken",
        _get("/echo", ("Cookie", "x" * 9_000)),
        {"status": 200},
        QUOTAS,
    ),
    Pair(
        "Over 10,240 bytes of headers are a 431",
        _get("/echo", ("Cookie", "x" * 11_000)),
        {"status": 431},
    ),
)

_CORS = (
    Pair(
        "A preflight request is answered by the gateway, with the template's headers",
        Request("/echo", "OPTIONS", _PREFLIGHT),
        {
            "status": 200,
            "header:Access-Control-Allow-Origin": "https://example.org",
            "header:Access-Control-Allow-Methods": "GET,POST,OPTIONS",
            "header:Access-Control-Allow-Headers": "Content-Type",
            "header:Access-Control-Max-Age": "600",
        },
        CORS,
    ),
    Pair(
        "A path with ANY has its preflight answer all the same",
        Request("/any", "OPTIONS", _PREFLIGHT),
        {"status": 200, "header:Access-Control-Allow-Origin": "https://example.org"},
        CORS,
    ),
)

_CUSTOMISED = (
    Pair(
        "A customised gateway response has its status, headers and body",
        _get("/unknown"),
        {
            "status": 404,
            "header:X-Why": "not here",
            "json": {
                "detail": "Missing Authentication Token",
                "kind": "MISSING_AUTHENTICATION_TOKEN",
                "method": "GET",
                "path": "/v1/unknown",
                "stage": "v1",
                "request": _UUID,
            },
        },
        RESPONSE_TEMPLATES,
    ),
    Pair(
        "A gateway response's header may be a context variable",
        _get("/unknown"),
        {"header:X-Request": _UUID},
        RESPONSE_TEMPLATES,
    ),
    Pair(
        "DEFAULT_5XX answers for a function's error, with its own status",
        _answered({"$do": "raise", "words": "no"}),
        {
            "status": 502,
            "header:X-Family": "5XX",
            "json": {"detail": "later", "kind": "INTEGRATION_FAILURE"},
        },
        RECORDED_FAILURES,
    ),
    Pair(
        "A customised time-out has its status and body",
        Request("/slow", answer={"$do": "sleep", "seconds": 2}),
        {"status": 503, "json": {"detail": "too slow"}},
        RESPONSE_TYPES,
    ),
    Pair(
        "REQUEST_TOO_LARGE answers for an event over Lambda's 6 MB",
        _post("text/plain", b"x" * 7_000_000, answer={"statusCode": 200}),
        {"status": 413, "json": {"detail": "too large"}},
        RESPONSE_TYPES,
    ),
    Pair(
        "No gateway response changes what is said of a body over 10 MB",
        _post("image/png", TOO_LARGE, answer={"statusCode": 200}),
        {"status": 413, "body": "HTTP content length exceeded 10485760 bytes."},
        RECORDED_SIZES,
    ),
    Pair(
        "A customised configuration error keeps its own status",
        _answered(_NOT_BASE64_ANSWER, ("Accept", "image/png")),
        {"status": 500, "json": {"detail": "not base64"}},
        RESPONSE_TYPES,
    ),
    Pair(
        "What a function answers is never customised",
        _answered({"statusCode": 500, "body": "its own"}),
        {"status": 500, "body": "its own", "header:X-Family": ABSENT},
        RESPONSE_TEMPLATES,
    ),
    Pair(
        "Without Cors in the template a preflight request is an unknown path",
        Request("/echo", "OPTIONS", _PREFLIGHT),
        {"status": 404, "header:X-Why": "not here"},
        CORS,
    ),
)

PAIRS = (
    *_EVENT,
    *_PATHS,
    *_QUERIES,
    *_HEADERS,
    *_BODIES,
    *_ANSWERS,
    *_FAILURES,
    *_CORS,
    *(replace(pair, api="customised") for pair in _CUSTOMISED),
)
