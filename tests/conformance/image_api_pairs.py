"""What the gateway has to do for the image API itself, as template.yaml has it.

These do not come from AWS's documentation: they are the API's own promises, as far as a gateway
keeps them.
"""

from tests.conformance.exchange import Matches, Request
from tests.conformance.pairs import Pair

_SENTENCE = Matches("[A-Z].{10,}")
_FORM = (("Content-Type", "multipart/form-data; boundary=x"),)
_ORIGIN = ("Origin", "https://gallery.example")

_PROMISES = (
    (
        "an unknown path is 404, in words",
        Request("/no/such/path", headers=(_ORIGIN,)),
        {
            "status": 404,
            "keys": ["code", "detail"],
            "event:detail": "No such path; see /docs",
            "header:Access-Control-Allow-Origin": "*",
            "header:X-Content-Type-Options": "nosniff",
            "header:Cache-Control": "no-store",
        },
    ),
    (
        "a wrong method is 405, with Allow",
        Request("/image/get_all_images", "PATCH"),
        {
            "status": 405,
            "keys": ["code", "detail"],
            "event:detail": _SENTENCE,
            "header:Allow": "GET, HEAD, OPTIONS",
        },
    ),
    (
        "a browser may ask before it sends",
        Request(
            "/image/upload_image",
            "OPTIONS",
            (
                _ORIGIN,
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "authorization,content-type"),
            ),
        ),
        {
            "status": 200,
            "header:Access-Control-Allow-Origin": "*",
            "header:Access-Control-Allow-Methods": "GET,HEAD,POST,PUT,DELETE,OPTIONS",
            "header:Access-Control-Allow-Headers": (
                "Authorization,Content-Type,Idempotency-Key,If-Match,If-None-Match,X-Correlation-Id"
            ),
            "header:Access-Control-Max-Age": "600",
        },
    ),
    (
        "an unknown path is 404 for a signed-in user, too",
        Request("/no/such/path", "POST", (("Authorization", "Bearer none"),), b"{}"),
        {"status": 404, "keys": ["code", "detail"]},
    ),
    (
        "the root is a page",
        Request("/"),
        {"status": 200, "header:Content-Type": "text/html; charset=utf-8"},
    ),
    (
        "a request that Lambda would not take is 413, and says what to do",
        Request("/image/upload_image", "POST", _FORM, b"x" * 9_000_000),
        {
            "status": 413,
            "keys": ["code", "detail"],
            "event:detail": Matches(".*POST /image/direct_upload"),
        },
    ),
    (
        "a request over 10 MB is 413, in the gateway's own words",
        Request("/image/upload_image", "POST", _FORM, b"x" * (10 * 1024 * 1024 + 1)),
        {"status": 413, "body": "HTTP content length exceeded 10485760 bytes."},
    ),
    (
        "an encoded slash is not a slash",
        Request("/image/a%2Fb", headers=(("Authorization", "Bearer none"),)),
        {"status": 401, "keys": ["code", "detail"]},
    ),
)

IMAGE_API_PAIRS = tuple(
    Pair(f"The image API: {says}", request, expected, api="image_api")
    for says, request, expected in _PROMISES
)
