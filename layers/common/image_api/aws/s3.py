"""S3: objects in one private bucket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from image_api.aws.signing import CACHE_CONTROL, content_disposition
from image_api.core.upkeep.janitor import StoredObject
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.settings import StorageSettings

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef
else:
    S3Client = Any

_DELETE_LIMIT = 1000


class S3Storage:
    """Threads may share it."""

    def __init__(self, settings: StorageSettings) -> None:
        self._bucket = settings.bucket
        self._settings = settings
        self._client = _client(settings.region, settings.endpoint_url)

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Raises ServiceUnavailable."""
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                ContentDisposition=content_disposition(key),
                CacheControl=CACHE_CONTROL,
            )
        except (BotoCoreError, ClientError) as error:
            raise ServiceUnavailable("The storage did not take the file; try again") from error

    def get(self, key: str) -> bytes:
        """Raises ObjectMissing or ServiceUnavailable."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise ObjectMissing from error
            raise ServiceUnavailable("The storage did not hand out the file") from error
        except (BotoCoreError, OSError) as error:
            raise ServiceUnavailable("The storage did not hand out the file") from error

    def get_if_present(self, key: str) -> bytes | None:
        """Raises ServiceUnavailable."""
        try:
            return self.get(key)
        except ObjectMissing:
            return None

    def presigned_post(
        self, key: str, max_bytes: int, ttl_seconds: int
    ) -> tuple[str, dict[str, str]]:
        """A form's URL and fields, with which anybody may store one object of that size."""
        form = self._public_client.generate_presigned_post(
            self._bucket,
            key,
            Conditions=[["content-length-range", 1, max_bytes]],
            ExpiresIn=ttl_seconds,
        )
        return form["url"], form["fields"]

    def pages(self, prefix: str, start_after: str) -> Iterator[list[StoredObject]]:
        """Objects in the order of their keys, in pages that are never empty."""
        now = datetime.now(UTC)
        paginator = self._client.get_paginator("list_objects_v2")
        try:
            for page in paginator.paginate(
                Bucket=self._bucket, Prefix=prefix, StartAfter=start_after
            ):
                if found := page.get("Contents"):
                    yield [
                        StoredObject(stored["Key"], (now - stored["LastModified"]).total_seconds())
                        for stored in found
                    ]
        except (BotoCoreError, ClientError) as error:
            raise ServiceUnavailable("The storage did not list its files") from error

    def delete(self, keys: list[str]) -> None:
        """Ignores missing keys; a bucket that keeps versions keeps these for a while. Raises
        ServiceUnavailable.
        """
        self._delete([{"Key": key} for key in keys])

    def delete_all_versions(self, key: str) -> None:
        """For good, whatever the bucket keeps. Raises ServiceUnavailable."""
        versions: list[ObjectIdentifierTypeDef] = []
        paginator = self._client.get_paginator("list_object_versions")
        try:
            for page in paginator.paginate(Bucket=self._bucket, Prefix=key):
                versions += [
                    {"Key": key, "VersionId": found["VersionId"]}
                    for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                    if found["Key"] == key
                ]
        except (BotoCoreError, ClientError) as error:
            raise ServiceUnavailable("The storage did not list its files") from error
        self._delete(versions)

    def _delete(self, objects: list[ObjectIdentifierTypeDef]) -> None:
        for start in range(0, len(objects), _DELETE_LIMIT):
            some = objects[start : start + _DELETE_LIMIT]
            try:
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": some, "Quiet": True}
                )
            except (BotoCoreError, ClientError) as error:
                raise ServiceUnavailable("The storage did not delete the files") from error
            if answer.get("Errors"):
                raise ServiceUnavailable("The storage did not delete every file")

    def ping(self) -> None:
        """Raises ServiceUnavailable when the bucket does not answer."""
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except (BotoCoreError, ClientError) as error:
            raise ServiceUnavailable("The storage did not answer") from error

    @cached_property
    def _public_client(self) -> S3Client:
        """Signs for the address under which clients know the storage."""
        if self._settings.public_url == self._settings.endpoint_url:
            return self._client
        return _client(self._settings.region, self._settings.public_url)


def _client(region: str, endpoint_url: str | None) -> S3Client:
    return boto3.client(
        "s3",
        region_name=region,
        endpoint_url=endpoint_url,
        config=Config(
            signature_version="s3v4",
            connect_timeout=2,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 2},
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
            # The bytes are checked by TLS and by S3 itself where a client does not ask.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
