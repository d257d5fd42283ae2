"""What lets LocalStack's objects outlive it, against a server that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from infra.localstack.kept_objects import KeptObjects
from tests.integration.real_services import RealServices
from tests.integration.test_storage import ODD_KEYS


@pytest.fixture
def client(services: RealServices) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=services.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=services.access_key_id,
        aws_secret_access_key=services.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture
def bucket(client: Any) -> Iterator[str]:
    name = f"kept-{uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield name
    empty(client, name)


@pytest.fixture
def kept(client: Any, tmp_path: Path) -> KeptObjects:
    return KeptObjects(tmp_path / "kept", client)


def keys(client: Any, bucket: str) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(stored["Key"] for stored in found)


def empty(client: Any, bucket: str) -> None:
    """As a restart of LocalStack leaves it."""
    for key in keys(client, bucket):
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)


def test_an_object_comes_back_with_its_bytes_and_headers(
    client: Any, bucket: str, kept: KeptObjects
) -> None:
    data = b'{"looks": "like a head"}\n\x00\xff'
    for key in ODD_KEYS:
        client.put_object(
            Bucket=bucket,
            Key=key,
            Body=data,
            ContentType="image/png",
            ContentDisposition='inline; filename="a.png"',
            CacheControl="private, max-age=31536000, immutable",
            Metadata={"colour": "blue"},
        )
        kept.keep(bucket, key)
    empty(client, bucket)

    assert kept.restore() == len(ODD_KEYS)

    assert keys(client, bucket) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        found = client.get_object(Bucket=bucket, Key=key)
        assert found["Body"].read() == data
        assert found["ContentType"] == "image/png"
        assert found["ContentDisposition"] == 'inline; filename="a.png"'
        assert found["CacheControl"] == "private, max-age=31536000, immutable"
        assert found["Metadata"] == {"colour": "blue"}


def test_the_last_version_of_an_object_comes_back(
    client: Any, bucket: str, kept: KeptObjects
) -> None:
    for data in (b"first", b"second"):
        client.put_object(Bucket=bucket, Key="a", Body=data)
        kept.keep(bucket, "a")
    empty(client, bucket)
    assert kept.restore() == 1
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"second"


def test_a_deleted_object_stays_away(client: Any, bucket: str, kept: KeptObjects) -> None:
    for key in ("a", "b"):
        client.put_object(Bucket=bucket, Key=key, Body=b"data")
        kept.keep(bucket, key)
    client.delete_object(Bucket=bucket, Key="a")
    kept.keep(bucket, "a")
    empty(client, bucket)
    kept.restore()
    assert keys(client, bucket) == ["b"]


def test_a_deleted_bucket_stays_away(client: Any, bucket: str, kept: KeptObjects) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"data")
    kept.keep(bucket, "a")
    kept.forget(bucket)
    assert kept.restore() == 0


def test_a_write_that_was_cut_off_is_no_object(
    client: Any, bucket: str, kept: KeptObjects, tmp_path: Path
) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"data")
    kept.keep(bucket, "a")
    (path,) = (tmp_path / "kept" / bucket).iterdir()
    path.with_suffix(".draft").write_bytes(b'{"Key": "a"')
    assert kept.restore() == 1
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"data"
    assert list(path.parent.iterdir()) == [path]


def test_the_cors_rules_of_a_bucket_come_back(client: Any, bucket: str, kept: KeptObjects) -> None:
    rules = [{"AllowedMethods": ["POST"], "AllowedOrigins": ["https://example.org"]}]
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    kept.keep_cors(bucket)
    empty(client, bucket)
    kept.restore()
    assert client.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules

    client.delete_bucket_cors(Bucket=bucket)
    kept.keep_cors(bucket)
    empty(client, bucket)
    assert kept.restore() == 0
    client.create_bucket(Bucket=bucket)
    with pytest.raises(client.exceptions.ClientError, match="NoSuchCORSConfiguration"):
        client.get_bucket_cors(Bucket=bucket)
