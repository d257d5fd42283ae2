"""Objects in S3: the same tests against moto, MiniStack and LocalStack."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from xml.etree import ElementTree

import boto3
import localstack_client.session
import pytest
import requests
from moto import mock_aws

from image_api.aws.credentials import AwsCredentials
from image_api.aws.s3 import S3Storage
from image_api.aws.signing import UrlSigner
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.settings import StorageSettings
from tests.integration.real_services import RealServices
from tests.localstack import server as localstack

REGION = "us-east-1"

ODD_KEYS = [
    "storage/a b+c.png",
    "storage/ä/日本語.png",
    "storage/100%25.png",
    "storage/a&b=c?d#e.png",
    "storage/'quoted'.png",
]


@dataclass(frozen=True)
class Store:
    name: str
    storage: S3Storage
    client: Any
    bucket: str
    endpoint_url: str | None
    credentials: AwsCredentials

    def signer(
        self, *, credentials: AwsCredentials | None = None, at: datetime | None = None
    ) -> UrlSigner:
        now = at or datetime.now(UTC)
        return UrlSigner(
            self.bucket,
            REGION,
            self.endpoint_url,
            lambda: credentials or self.credentials,
            now_seconds=now.timestamp,
        )

    def link(self, key: str) -> str:
        return self.signer().signed(key)

    def keys(self) -> set[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {stored["Key"] for stored in found}

    def versions(self, key: str) -> int:
        """How many there are, those that only say that it was deleted too."""
        found = self.client.list_object_versions(Bucket=self.bucket)
        every = (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))
        return sum(version["Key"] == key for version in every)

    def shorten_pages(self, length: int) -> None:
        """What S3 does to a thousand objects happens to a few."""

        def limit(params: dict[str, Any], **_: object) -> None:
            params["MaxKeys"] = length

        self.storage._client.meta.events.register("before-parameter-build.s3.ListObjectsV2", limit)


@pytest.fixture(params=["moto", "MiniStack", "LocalStack"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A new bucket; moto's has the addresses of AWS, the others' those of an emulator."""
    endpoint_url: str | None = None
    if request.param == "MiniStack":
        services: RealServices = request.getfixturevalue("services")
        endpoint_url = services.endpoint_url
        credentials = AwsCredentials(services.access_key_id, services.secret_access_key, None)
    elif request.param == "LocalStack":
        endpoint_url = request.getfixturevalue("localstack_url")
        credentials = AwsCredentials(localstack.ACCESS_KEY_ID, localstack.SECRET_ACCESS_KEY, None)
    else:
        credentials = AwsCredentials("AKIDEXAMPLE", "secret", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key)
    # localstack_client would prefer it to the address it is given.
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint_url is None:
        with mock_aws():
            client = boto3.client("s3", region_name=REGION)
            yield from stores(request.param, client, None, credentials)
    else:
        client = localstack_client.session.Session(
            localstack_host=urlsplit(endpoint_url).netloc,
            region_name=REGION,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
        ).client("s3")
        yield from stores(request.param, client, endpoint_url, credentials)


def stores(
    name: str, client: Any, endpoint_url: str | None, credentials: AwsCredentials
) -> Iterator[Store]:
    bucket = f"test-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    storage = S3Storage(StorageSettings(bucket, REGION, endpoint_url, endpoint_url))
    yield Store(name, storage, client, bucket, endpoint_url, credentials)
    storage._client.close()
    client.close()


@pytest.mark.parametrize("data", [b"x", bytes(range(256)) * 10_000, b"\r\n\x00" * 7])
def test_what_is_put_is_got(store: Store, data: bytes) -> None:
    store.storage.put("storage/a/image.png", data, "image/png")
    assert store.storage.get("storage/a/image.png") == data


def test_what_was_never_put_is_missing(store: Store) -> None:
    with pytest.raises(ObjectMissing):
        store.storage.get("storage/never")
    assert store.storage.get_if_present("storage/never") is None


def test_a_deleted_object_is_missing_and_deleting_it_again_is_fine(store: Store) -> None:
    store.storage.put("storage/a", b"a", "image/png")
    store.storage.put("storage/b", b"b", "image/png")
    store.storage.delete(["storage/a", "storage/never"])
    store.storage.delete(["storage/a"])
    store.storage.delete([])
    assert store.keys() == {"storage/b"}


@pytest.mark.parametrize("keeps_versions", [False, True])
@pytest.mark.parametrize("key", ["storage/a", ODD_KEYS[0], ODD_KEYS[3]])
def test_what_is_deleted_with_all_versions_is_gone_whatever_the_bucket_keeps(
    store: Store, key: str, keeps_versions: bool
) -> None:
    if keeps_versions:
        store.client.put_bucket_versioning(
            Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
    for data in (b"first", b"second"):
        store.storage.put(key, data, "image/png")
    store.storage.put(f"{key}/other", b"x", "image/png")
    store.storage.delete([key])
    assert store.versions(key) == (3 if keeps_versions else 0)

    store.storage.put(key, b"third", "image/png")
    store.storage.delete_all_versions(key)
    store.storage.delete_all_versions(key)

    assert store.versions(key) == 0
    assert store.keys() == {f"{key}/other"}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_itself(store: Store, key: str) -> None:
    store.storage.put(key, key.encode(), "image/png")
    assert store.storage.get(key) == key.encode()
    assert store.keys() == {key}
    answer = requests.get(store.link(key))
    assert answer.content == key.encode()
    store.storage.delete([key])
    assert store.keys() == set()


def test_a_signed_link_opens_as_what_it_is(store: Store) -> None:
    store.storage.put("storage/a/image.webp", b"RIFF", "image/webp")
    answer = requests.get(store.link("storage/a/image.webp"))
    assert answer.status_code == 200
    assert answer.content == b"RIFF"
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Content-Disposition"] == 'inline; filename="image.webp"'
    assert "private" in answer.headers["Cache-Control"]
    assert "immutable" in answer.headers["Cache-Control"]


def test_a_link_signed_with_temporary_credentials_opens(store: Store) -> None:
    store.storage.put("storage/a", b"a", "image/png")
    signer = store.signer(credentials=replace(store.credentials, session_token="a/token+=="))
    answer = requests.get(signer.signed("storage/a"))
    assert (answer.status_code, answer.content) == (200, b"a")


def test_a_signed_link_to_nothing_is_not_found(store: Store) -> None:
    assert requests.get(store.link("storage/never")).status_code == 404


def test_a_form_stores_a_file_where_it_was_offered_to(store: Store) -> None:
    url, fields = store.storage.presigned_post("incoming/1/a", 100, 900)
    answer = requests.post(url, data=fields, files={"file": ("x", b"bytes")})
    assert answer.status_code in (200, 201, 204)
    assert store.storage.get("incoming/1/a") == b"bytes"


def test_the_check_says_whether_the_bucket_answers(store: Store) -> None:
    store.storage.ping()
    store.client.delete_bucket(Bucket=store.bucket)
    with pytest.raises(ServiceUnavailable):
        store.storage.ping()
    for ask in (
        lambda: store.storage.put("a", b"a", "image/png"),
        lambda: store.storage.get("a"),
        lambda: store.storage.delete(["a"]),
        lambda: store.storage.delete_all_versions("a"),
    ):
        with pytest.raises(ServiceUnavailable):
            ask()


def test_a_page_of_keys_is_in_their_order_and_begins_where_it_should(store: Store) -> None:
    began_at = time.monotonic()
    for key in ("storage/b", "storage/a", "storage/c", "other/x"):
        store.storage.put(key, b"x", "image/png")
    found = [stored for page in store.storage.pages("storage/", "storage/a") for stored in page]
    assert [stored.key for stored in found] == ["storage/b", "storage/c"]
    oldest_seconds = time.monotonic() - began_at + 5
    assert all(-5 < stored.age_seconds < oldest_seconds for stored in found)


def test_keys_come_in_the_order_of_their_bytes(store: Store) -> None:
    keys = ["a/1", "a!", "a", "B", "~", "ä", "日本", "a-", "a/10", "🖼"]
    for key in keys:
        store.storage.put(key, b"x", "image/png")
    found = [stored.key for page in store.storage.pages("", "") for stored in page]
    assert found == sorted(keys, key=str.encode)


def test_pages_follow_one_another_to_the_end(store: Store) -> None:
    keys = [f"storage/{number}" for number in range(7)]
    for key in keys:
        store.storage.put(key, b"x", "image/png")
    store.shorten_pages(3)
    pages = [[stored.key for stored in page] for page in store.storage.pages("storage/", keys[1])]
    assert pages == [keys[2:5], keys[5:]]


# What S3 answers to what it does not allow: status and error code.
S3_REFUSALS: dict[str, tuple[int, str]] = {
    "a link without a signature": (403, "AccessDenied"),
    "a link for another object": (403, "SignatureDoesNotMatch"),
    "a link signed with another secret": (403, "SignatureDoesNotMatch"),
    "a link that is too old": (403, "AccessDenied"),
    "a form with too large a file": (400, "EntityTooLarge"),
    "a form with an empty file": (400, "EntityTooSmall"),
    "a form for another key": (403, "AccessDenied"),
    "a form that makes its object public": (403, "AccessDenied"),
    "a form that is too old": (403, "AccessDenied"),
    "a form whose limit was raised": (403, "SignatureDoesNotMatch"),
    "a form without a signature": (403, "AccessDenied"),
}
OBEYED = None
# Where an emulator does otherwise. Each entry is asserted too, so that a version which does better
# is noticed.
DEVIATIONS: dict[str, dict[str, tuple[int, str] | None]] = {
    "moto": {
        **dict.fromkeys(S3_REFUSALS, OBEYED),
        "a link without a signature": (403, ""),
    },
    # With what stands before it.
    "MiniStack": {
        "a form for another key": OBEYED,
        "a form that makes its object public": OBEYED,
        "a form that is too old": OBEYED,
        "a form whose limit was raised": OBEYED,
    },
    "LocalStack": {
        "a link without a signature": OBEYED,
        "a form that makes its object public": OBEYED,
        "a form whose limit was raised": OBEYED,
        "a form without a signature": OBEYED,
    },
}


def expected(store: Store, attempt: str) -> tuple[int, str] | None:
    return DEVIATIONS[store.name].get(attempt, S3_REFUSALS[attempt])


def refusal(answer: requests.Response) -> tuple[int, str]:
    code = ElementTree.fromstring(answer.content).findtext("Code") if answer.content else None
    return answer.status_code, code or ""


@pytest.mark.parametrize("attempt", [name for name in S3_REFUSALS if name.startswith("a link")])
def test_a_link_opens_only_what_was_signed_and_while_it_is_valid(
    store: Store, attempt: str
) -> None:
    store.storage.put("storage/a", b"a", "image/png")
    store.storage.put("storage/b", b"b", "image/png")
    match attempt:
        case "a link without a signature":
            url = store.link("storage/b").partition("?")[0]
        case "a link for another object":
            url = store.link("storage/a").replace("storage/a", "storage/b")
        case "a link signed with another secret":
            other = replace(store.credentials, secret_access_key="another")
            url = store.signer(credentials=other).signed("storage/b")
        case _:
            url = store.signer(at=datetime(2024, 1, 1, tzinfo=UTC)).signed("storage/b")
    answer = requests.get(url)
    if (wanted := expected(store, attempt)) is OBEYED:
        assert (answer.status_code, answer.content) == (200, b"b")
    else:
        assert refusal(answer) == wanted


@pytest.mark.parametrize("attempt", [name for name in S3_REFUSALS if name.startswith("a form")])
def test_a_form_stores_only_what_was_offered(store: Store, attempt: str) -> None:
    data = b"x" * 100
    ttl_seconds = -60 if attempt == "a form that is too old" else 900
    url, fields = store.storage.presigned_post("incoming/1/a", 100, ttl_seconds)
    match attempt:
        case "a form with too large a file":
            data += b"x"
        case "a form with an empty file":
            data = b""
        case "a form for another key":
            fields["key"] = "storage/a"
        case "a form that makes its object public":
            fields["acl"] = "public-read"
        case "a form whose limit was raised":
            data += b"x"
            fields["policy"] = with_limit(fields["policy"], 1000)
        case "a form without a signature":
            fields = {"key": fields["key"]}
    answer = requests.post(url, data=fields, files={"file": ("x", data)})
    if (wanted := expected(store, attempt)) is OBEYED:
        assert answer.status_code in (200, 201, 204)
        assert store.storage.get(fields["key"]) == data
    else:
        assert refusal(answer) == wanted
        assert store.keys() == set()


def with_limit(policy: str, max_bytes: int) -> str:
    decoded = json.loads(base64.b64decode(policy))
    for condition in decoded["conditions"]:
        if isinstance(condition, list) and condition[0] == "content-length-range":
            condition[2] = max_bytes
    return base64.b64encode(json.dumps(decoded).encode()).decode()


def test_a_storage_that_is_away_is_an_outage_that_reveals_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nowhere = "http://127.0.0.1:1"
    storage = S3Storage(StorageSettings("images", "us-east-1", nowhere, nowhere))
    with pytest.raises(ServiceUnavailable) as refused:
        storage.ping()
    assert "127.0.0.1" not in refused.value.detail
    storage._client.close()
