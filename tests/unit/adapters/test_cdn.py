"""URLs of CloudFront equal botocore's, and verify with the public key that CloudFront is given."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from image_api import settings, wiring
from image_api.aws.cdn import CdnUrlSigner
from image_api.aws.signing import attachment
from image_api.errors import ConfigurationError
from image_api.settings import CdnSettings
from tests.application import forget

# A quarter of an hour begins.
NOW_SECONDS = 1_760_000_400.0
KEY_ID = "K2JCJMDEHXQW5F"
URL = "https://d111111abcdef8.cloudfront.net"
KEYS = ["storage/6f1c0d/original.jpg", "a b+c.png", "ä/日本語/🖼.png", "50%25.png", 'q?x=1&y="2#z']


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> str:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection).decode()


@pytest.fixture
def signer_at(key: rsa.RSAPrivateKey) -> Callable[[float], CdnUrlSigner]:
    settings = CdnSettings(URL, KEY_ID, pem(key))
    return lambda now: CdnUrlSigner(settings, now_seconds=lambda: now)


def as_cloudfront_reads_it(url: str, key: rsa.RSAPrivateKey) -> int:
    """Until when the URL is good; raises InvalidSignature."""
    address, _, signed = url.partition("Expires=")
    query = parse_qs(f"Expires={signed}")
    (expires_at,), (signature,) = query["Expires"], query["Signature"]
    policy = {
        "Statement": [
            {
                "Resource": address.rstrip("?&"),
                "Condition": {"DateLessThan": {"AWS:EpochTime": int(expires_at)}},
            }
        ]
    }
    decoded = base64.b64decode(signature.translate(str.maketrans("-_~", "+=/")))
    text = json.dumps(policy, separators=(",", ":"))
    key.public_key().verify(decoded, text.encode(), padding.PKCS1v15(), hashes.SHA1())
    return int(expires_at)


@pytest.mark.parametrize("object_key", KEYS)
def test_a_url_equals_botocores(
    signer_at: Callable[[float], CdnUrlSigner], key: rsa.RSAPrivateKey, object_key: str
) -> None:
    url = signer_at(NOW_SECONDS).signed(object_key)

    expires_at = as_cloudfront_reads_it(url, key)
    botocores = CloudFrontSigner(
        "K2JCJMDEHXQW5F", lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA1())
    )
    unsigned = url.partition("?Expires=")[0]
    until = datetime.fromtimestamp(expires_at, UTC)
    assert url == botocores.generate_presigned_url(unsigned, date_less_than=until)


def test_a_download_is_signed_with_the_name_under_which_it_is_saved(
    signer_at: Callable[[float], CdnUrlSigner], key: rsa.RSAPrivateKey
) -> None:
    url = signer_at(NOW_SECONDS).signed_download("storage/a/image.png", "Größe & mehr.png")

    as_cloudfront_reads_it(url, key)
    asked = parse_qs(urlsplit(url).query)
    assert asked["response-content-disposition"] == [attachment("Größe & mehr.png")]
    for forged in (url.replace("mehr", "weniger"), url.replace("storage/a", "storage/b")):
        with pytest.raises(InvalidSignature):
            as_cloudfront_reads_it(forged, key)


def test_a_url_stays_the_same_for_a_quarter_of_an_hour_and_is_good_for_three(
    signer_at: Callable[[float], CdnUrlSigner], key: rsa.RSAPrivateKey
) -> None:
    """In all environments: browsers and CloudFront find again what they have."""
    now = [0.0]
    signer = CdnUrlSigner(CdnSettings(URL, KEY_ID, pem(key)), now_seconds=lambda: now[0])
    urls = set()
    for minutes in range(120):
        now[0] = NOW_SECONDS + minutes * 60
        url = signer.signed("storage/a")
        urls.add(url)
        assert 2700 <= as_cloudfront_reads_it(url, key) - now[0] <= 3600
        # Another environment, which takes a while to read its key, in each quarter's first minute
        # and in its last.
        if minutes % 15 in (0, 14):
            assert signer_at(now[0]).signed("storage/a") == url
    assert len(urls) == 8


def test_what_is_remembered_ends_with_its_time(key: rsa.RSAPrivateKey) -> None:
    now = [NOW_SECONDS]
    signer = CdnUrlSigner(CdnSettings(URL, "K2", pem(key)), now_seconds=lambda: now[0])
    first = signer.signed("storage/a")
    now[0] += 3600
    second = signer.signed("storage/a")
    assert as_cloudfront_reads_it(second, key) == as_cloudfront_reads_it(first, key) + 3600


def test_another_key_than_cloudfronts_stops_a_deployment_and_is_not_quoted(
    key: rsa.RSAPrivateKey,
) -> None:
    wrong = {
        "another kind": pem(ec.generate_private_key(ec.SECP256R1())),
        "too short": pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        "with a password": pem(key, b"hunter2"),
        "nonsense": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
    }
    for what, text in wrong.items():
        with pytest.raises(ConfigurationError) as refused:
            CdnUrlSigner(CdnSettings(URL, "K2", text))
        assert "hunter2" not in str(refused.value), what
        assert refused.value.__cause__ is None, what


def test_images_come_from_the_cdn_where_there_is_one(
    key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "IMAGES_BUCKET": "images",
        "AWS_ENDPOINT_URL": "",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "JWT_SECRET": "x" * 32,
        "IMAGES_CDN_URL": URL,
        "IMAGES_CDN_KEY_ID": "K2",
        "IMAGES_CDN_PRIVATE_KEY": pem(key),
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    try:
        assert wiring.url_signer().signed("storage/a").startswith(f"{URL}/storage/a?Expires=")
        assert URL in wiring.storage_origins()
        # Which its owner alone gets, for minutes, comes from the storage as before.
        assert ".s3." in wiring.original_signer().signed_download("storage/a", "a.png")
        monkeypatch.setenv("IMAGES_CDN_PRIVATE_KEY", "")
        forget()
        with pytest.raises(ConfigurationError, match="IMAGES_CDN_PRIVATE_KEY"):
            settings.cdn()
    finally:
        forget()
