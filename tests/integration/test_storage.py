"""Objects in S3, against a server that runs and against moto, with the same tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
import requests
from moto import mock_aws

from image_api.errors import ServiceUnavailable
from image_api.settings import StorageSettings
from image_api.signing import AwsCredentials, UrlSigner
from image_api.storage import ObjectMissing, S3Storage
from tests.integration.real_services import RealServices

ODD_KEYS = [
    "storage/a b+c.png",
    "storage/ä/日本語.png",
    "storage/100%25.png",
    "storage/a&b=c?d#e.png",
    "storage/'quoted'.png",
]


@dataclass(frozen=True)
class Store:
    storage: S3Storage
    signer: UrlSigner
    client: Any
    bucket: str

    def keys(self) -> set[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {stored["Key"] for stored in found}


@pytest.fixture(params=["a server", "moto"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "moto":
        credentials = AwsCredentials("AKIDEXAMPLE", "secret", None)
        endpoint_url = None
    else:
        services: RealServices = request.getfixturevalue("services")
        credentials = AwsCredentials(services.access_key_id, services.secret_access_key, None)
        endpoint_url = services.endpoint_url
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key)
    if endpoint_url is None:
        with mock_aws():
            yield from stores(credentials, None)
    else:
        yield from stores(credentials, endpoint_url)


def stores(credentials: AwsCredentials, endpoint_url: str | None) -> Iterator[Store]:
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint_url)
    bucket = f"test-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    storage = S3Storage(StorageSettings(bucket, "us-east-1", endpoint_url, endpoint_url))
    signer = UrlSigner(bucket, "us-east-1", endpoint_url, credentials)
    yield Store(storage, signer, client, bucket)
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


def test_a_folder_is_deleted_and_its_neighbours_are_not(store: Store) -> None:
    for key in ("storage/1/a", "storage/1/2/b", "storage/10/c", "storage/1"):
        store.storage.put(key, b"x", "image/png")
    store.storage.delete_folder("storage/1/")
    store.storage.delete_folder("storage/nothing/")
    assert store.keys() == {"storage/10/c", "storage/1"}


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_is_itself(store: Store, key: str) -> None:
    store.storage.put(key, key.encode(), "image/png")
    assert store.storage.get(key) == key.encode()
    assert store.keys() == {key}
    answer = requests.get(store.signer.signed(key), timeout=10)
    assert answer.content == key.encode()
    store.storage.delete([key])
    assert store.keys() == set()


def test_a_signed_link_opens_as_what_it_is(store: Store) -> None:
    store.storage.put("storage/a/image.webp", b"RIFF", "image/webp")
    answer = requests.get(store.signer.signed("storage/a/image.webp"), timeout=10)
    assert answer.status_code == 200
    assert answer.content == b"RIFF"
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Content-Disposition"] == 'inline; filename="image.webp"'
    assert "private" in answer.headers["Cache-Control"]
    assert "immutable" in answer.headers["Cache-Control"]


def test_a_signed_link_to_nothing_is_not_found(store: Store) -> None:
    assert requests.get(store.signer.signed("storage/never"), timeout=10).status_code == 404


def test_a_form_stores_a_file_where_it_was_offered_to(store: Store) -> None:
    url, fields = store.storage.presigned_post("incoming/1/a", 100, 900)
    answer = requests.post(url, data=fields, files={"file": ("x", b"bytes")}, timeout=10)
    assert answer.status_code in (200, 201, 204)
    assert store.storage.get("incoming/1/a") == b"bytes"


def test_the_check_says_whether_the_bucket_answers(store: Store) -> None:
    store.storage.check()
    store.client.delete_bucket(Bucket=store.bucket)
    with pytest.raises(ServiceUnavailable):
        store.storage.check()
    for ask in (
        lambda: store.storage.put("a", b"a", "image/png"),
        lambda: store.storage.get("a"),
        lambda: store.storage.delete(["a"]),
        lambda: store.storage.delete_folder("a/"),
    ):
        with pytest.raises(ServiceUnavailable):
            ask()


def test_a_page_of_keys_is_in_their_order_and_begins_where_it_should(store: Store) -> None:
    for key in ("storage/b", "storage/a", "storage/c", "other/x"):
        store.storage.put(key, b"x", "image/png")
    found = [stored for page in store.storage.pages("storage/", "storage/a") for stored in page]
    assert [stored.key for stored in found] == ["storage/b", "storage/c"]
    assert all(-5 < stored.age_seconds < 60 for stored in found)


def test_a_server_refuses_a_link_that_was_changed_or_is_too_old(
    services: RealServices, storage: S3Storage, bucket: str
) -> None:
    storage.put("storage/a", b"a", "image/png")
    storage.put("storage/b", b"b", "image/png")
    credentials = AwsCredentials(services.access_key_id, services.secret_access_key, None)
    signer = UrlSigner(bucket, "us-east-1", services.endpoint_url, credentials)
    url = signer.signed("storage/a")
    assert requests.get(url, timeout=10).status_code == 200
    assert requests.get(url.replace("storage/a", "storage/b"), timeout=10).status_code == 403
    old = UrlSigner(
        bucket, "us-east-1", services.endpoint_url, credentials, now_seconds=lambda: 1_700_000_000.0
    )
    assert requests.get(old.signed("storage/a"), timeout=10).status_code == 403


def test_a_server_refuses_a_file_larger_than_was_offered(
    services: RealServices, storage: S3Storage
) -> None:
    url, fields = storage.presigned_post("incoming/1/a", 100, 900)
    answer = requests.post(url, data=fields, files={"file": ("x", b"x" * 101)}, timeout=10)
    assert answer.status_code == 400
    assert storage.get_if_present("incoming/1/a") is None


def test_a_storage_that_is_away_is_an_outage_that_reveals_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nowhere = "http://127.0.0.1:1"
    storage = S3Storage(StorageSettings("images", "us-east-1", nowhere, nowhere))
    with pytest.raises(ServiceUnavailable) as refused:
        storage.check()
    assert "127.0.0.1" not in refused.value.detail
    storage._client.close()
