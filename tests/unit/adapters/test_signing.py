"""Presigned URLs equal botocore's, which S3 is known to take."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from image_api.aws.credentials import AwsCredentials
from image_api.aws.signing import UrlSigner, attachment
from image_api.core.renditions.render_requests import Upload

NOW_SECONDS = 1_760_000_400.0
PERMANENT = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
TEMPORARY = AwsCredentials("ASIAEXAMPLE", "another/secret+key", "FwoGZXIvYXdzE//+==:token/&? ä")
KEYS = [
    "storage/6f1c0d/original.jpg",
    "a",
    "a b+c.png",
    "ä/日本語/🖼.png",
    "a//b",
    "a/./b/../c",
    "/leading",
    "trailing/",
    "100%/50%25.png",
    "~user/-_.txt",
    "q?x=1&y=2#z",
    "!*'();:@&=+$,[]\"<>\\^`{|}",
    "tab\tand\nnewline",
    "k" * 900,
]


class BotocoreSigner:
    """botocore's own presigning of GetObject at a given time."""

    def __init__(self, region: str, endpoint_url: str | None, credentials: AwsCredentials) -> None:
        self._client = boto3.client(
            "s3",
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=Config(
                signature_version="s3v4",
                s3={
                    "addressing_style": "path" if endpoint_url else "virtual",
                    "us_east_1_regional_endpoint": "regional",
                },
            ),
        )

    def url(
        self, bucket: str, key: str, now_seconds: float, patch: pytest.MonkeyPatch, **more: str
    ) -> str:
        now = datetime.fromtimestamp(now_seconds, UTC)
        for name in ("botocore.auth.get_current_datetime", "botocore.compat.get_current_datetime"):
            patch.setattr(name, lambda **_: now.replace(tzinfo=None))
        return str(
            self._client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key, **more}, ExpiresIn=3600
            )
        )


@pytest.fixture(params=["eu-west-1", "us-east-1"])
def region(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def signer_at(
    now_seconds: float,
    credentials: AwsCredentials = PERMANENT,
    *,
    bucket: str = "images",
    region: str = "eu-west-1",
    public_url: str | None = None,
) -> UrlSigner:
    return UrlSigner(
        bucket, region, public_url, lambda: credentials, now_seconds=lambda: now_seconds
    )


def parts(url: str) -> tuple[str, str, str, dict[str, str]]:
    """Everything of a URL; the order of the parameters does not matter to S3."""
    address = urlsplit(url)
    return address.scheme, address.netloc, address.path, dict(parse_qsl(address.query))


@pytest.mark.parametrize("credentials", [PERMANENT, TEMPORARY], ids=["permanent", "temporary"])
@pytest.mark.parametrize(
    "endpoint_url",
    [None, "http://localhost:4566", "https://s3.example.com", "http://127.0.0.1:9000"],
)
def test_a_url_equals_botocores(
    endpoint_url: str | None,
    credentials: AwsCredentials,
    region: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    botocore_signer = BotocoreSigner(region, endpoint_url, credentials)
    signer = signer_at(
        NOW_SECONDS, credentials, bucket="images-bucket", region=region, public_url=endpoint_url
    )
    for key in KEYS:
        expected = botocore_signer.url("images-bucket", key, NOW_SECONDS, monkeypatch)
        actual = signer.signed(key)
        assert parts(actual) == parts(expected), key


def test_without_a_session_token_a_url_equals_botocores_bit_for_bit(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    botocore_signer = BotocoreSigner(region, None, PERMANENT)
    signer = signer_at(NOW_SECONDS, region=region)
    for key in KEYS:
        expected = botocore_signer.url("images", key, NOW_SECONDS, monkeypatch)
        assert signer.signed(key) == expected


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_key_is_signed_as_botocore_signs_it(key: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        expected = _botocore_eu.url("images", key, NOW_SECONDS, patch)
    assert _signer_eu.signed(key) == expected


_botocore_eu = BotocoreSigner("eu-west-1", None, PERMANENT)
_signer_eu = signer_at(NOW_SECONDS)


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_download_is_signed_as_botocore_signs_it(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        expected = _botocore_eu.url(
            "images", "a.png", NOW_SECONDS, patch, ResponseContentDisposition=attachment(name)
        )
    assert parts(_signer_eu.signed_download("a.png", name)) == parts(expected)
    assert _signer_eu.signed_download("a.png", name) != _signer_eu.signed("a.png")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("rocket.jpg", "attachment; filename=\"rocket.jpg\"; filename*=UTF-8''rocket.jpg"),
        (
            'a "b" \\ 100%.png',
            'attachment; filename="a _b_ _ 100_.png"; '
            "filename*=UTF-8''a%20%22b%22%20%5C%20100%25.png",
        ),
        ("ä.png", "attachment; filename=\"_.png\"; filename*=UTF-8''%C3%A4.png"),
        ("a\r\nb.png", "attachment; filename=\"a__b.png\"; filename*=UTF-8''a%0D%0Ab.png"),
    ],
)
def test_a_name_is_sent_in_both_forms(name: str, header: str) -> None:
    assert attachment(name) == header


def test_an_image_keeps_its_url_for_a_quarter_of_its_life() -> None:
    start = NOW_SECONDS // 900 * 900
    clock = iter([start, start + 450, start + 899.9, start + 900])
    signer = UrlSigner(
        "images", "eu-west-1", None, lambda: PERMANENT, now_seconds=lambda: next(clock)
    )
    urls = [signer.signed("a.png") for _ in range(4)]
    assert urls[0] == urls[1] == urls[2]
    assert urls[3] != urls[0]


@given(st.floats(1_700_000_000, 1_900_000_000))
def test_a_url_is_always_valid_for_at_least_three_quarters_of_its_life(now_seconds: float) -> None:
    query = parse_qs(urlsplit(signer_at(now_seconds).signed("a.png")).query)
    signed_at = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%S%z").timestamp()
    left_seconds = signed_at + int(query["X-Amz-Expires"][0]) - now_seconds
    assert 2699 <= left_seconds <= 3600


def test_remembering_urls_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_api.core.caching._MOST", 3)
    signer, other = signer_at(NOW_SECONDS), signer_at(NOW_SECONDS)
    for number in range(10):
        assert signer.signed(f"{number}.png") == other.signed(f"{number}.png")
    assert len(signer._urls) <= 3


def test_a_url_holds_no_secret_key() -> None:
    assert PERMANENT.secret_access_key not in signer_at(NOW_SECONDS).signed("a.png")


@pytest.mark.parametrize("credentials", [PERMANENT, TEMPORARY], ids=["permanent", "temporary"])
def test_the_signature_of_a_form_is_the_one_that_botocore_makes(
    credentials: AwsCredentials,
) -> None:
    signer = UrlSigner(
        "images", "eu-central-1", None, lambda: credentials, now_seconds=lambda: NOW_SECONDS
    )
    uploads = [Upload("storage/a b/ä.webp", "image/webp", 100), Upload("b", "image/png", 7)]
    url, shared, forms = signer.forms(uploads)
    assert url == "https://images.s3.eu-central-1.amazonaws.com/"
    theirs = SigV4Auth(
        Credentials(
            credentials.access_key_id, credentials.secret_access_key, credentials.session_token
        ),
        "s3",
        "eu-central-1",
    )
    request = AWSRequest("POST", url)
    request.context["timestamp"] = shared["x-amz-date"]
    for upload, form in zip(uploads, forms, strict=True):
        assert form["x-amz-signature"] == theirs.signature(form["policy"], request)
        policy = json.loads(base64.b64decode(form["policy"]))
        # Every field of the form is in it, and the storage takes no other.
        fields = {**shared, **form, "bucket": "images"}
        named = {
            name: value
            for each in policy["conditions"]
            if isinstance(each, dict)
            for name, value in each.items()
        }
        assert named == {
            name: value
            for name, value in fields.items()
            if name not in ("policy", "x-amz-signature")
        }
        assert ["content-length-range", 1, upload.max_bytes] in policy["conditions"]
        assert (form["key"], form["Content-Type"]) == (upload.key, upload.content_type)
        assert ("x-amz-security-token" in fields) == (credentials is TEMPORARY)
        assert policy["expiration"] == "2025-10-09T10:00:00Z"
