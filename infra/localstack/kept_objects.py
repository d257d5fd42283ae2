"""S3 objects that outlive LocalStack, whose community edition keeps them for one run only.

LocalStack runs the scripts in `start.d` and `ready.d` inside its own process. They add two handlers
to its chain, by the same lists that its extensions use: one writes every changed object, and the
CORS rules of a bucket, to the volume before the request is answered; the other refuses requests
until everything is back.
"""

import hashlib
import json
import os
import shutil
import threading
from functools import cache
from pathlib import Path
from typing import Any

_KEPT_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Metadata",
)
_PUTS = frozenset(("PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"))
_DELETIONS = frozenset(("DeleteObject", "DeleteObjects", "DeleteBucket"))
_CORS_CHANGES = frozenset(("PutBucketCors", "DeleteBucketCors"))
# How our own requests are told from the others.
_MARK = "image-api-kept-objects"


class KeptObjects:
    """One file for each object: a line of JSON, then the bytes. Threads may share it."""

    def __init__(self, folder: Path, client: Any) -> None:
        """`client` is boto3's, for S3."""
        self._folder = folder
        self._client = client
        self._locks = [threading.Lock() for _ in range(64)]

    def keep(self, bucket: str, key: str) -> None:
        """Makes the file agree with the object as it is now, which may be gone."""
        path = self._path(bucket, key)
        # Two changes of one object may end at the same time: whoever is last reads the last one.
        with self._locks[hash((bucket, key)) % len(self._locks)]:
            try:
                found = self._client.get_object(Bucket=bucket, Key=key)
            except self._client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket", "404"):
                    raise
                path.unlink(missing_ok=True)
                return
            head = {name: found[name] for name in _KEPT_HEADERS if found.get(name)}
            _write(path, json.dumps({"Key": key, **head}).encode() + b"\n" + found["Body"].read())

    def keep_cors(self, bucket: str) -> None:
        """The same for the bucket's CORS rules."""
        path = self._cors_path(bucket)
        try:
            rules = self._client.get_bucket_cors(Bucket=bucket)["CORSRules"]
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchCORSConfiguration":
                raise
            path.unlink(missing_ok=True)
            return
        _write(path, json.dumps({"CORSRules": rules}).encode())

    def forget(self, bucket: str) -> None:
        """Drops a whole bucket."""
        shutil.rmtree(self._folder / bucket, ignore_errors=True)
        self._cors_path(bucket).unlink(missing_ok=True)

    def make_bucket(self, bucket: str) -> None:
        """One that is there already stays as it is."""
        self._client.create_bucket(Bucket=bucket)

    def restore(self) -> int:
        """Puts every object back, into buckets that it makes; returns their number."""
        count = 0
        for folder in sorted(self._folder.glob("*/")):
            self.make_bucket(folder.name)
            for path in folder.iterdir():
                if path.suffix == ".draft":
                    path.unlink()
                    continue
                head, _, data = path.read_bytes().partition(b"\n")
                self._client.put_object(Bucket=folder.name, Body=data, **json.loads(head))
                count += 1
        for path in self._folder.glob("*.cors"):
            self.make_bucket(path.stem)
            self._client.put_bucket_cors(
                Bucket=path.stem, CORSConfiguration=json.loads(path.read_bytes())
            )
        return count

    def _cors_path(self, bucket: str) -> Path:
        return self._folder / f"{bucket}.cors"

    def _path(self, bucket: str, key: str) -> Path:
        # A key may be longer than a file's name, and may hold what a file's name must not.
        return self._folder / bucket / hashlib.sha256(key.encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- inside LocalStack --------------------------------------------------------------------------

_is_restored = threading.Event()


@cache
def kept_objects() -> KeptObjects:
    """Those of this LocalStack, whose handlers leave its requests alone."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:4566",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - LocalStack's, the same everywhere
        config=Config(user_agent_extra=_MARK, s3={"addressing_style": "path"}),
    )
    return KeptObjects(Path("/var/lib/localstack/kept-objects"), client)


def install() -> None:
    """Adds the handlers. LocalStack must not serve yet."""
    from localstack.aws import handlers

    handlers.serve_custom_service_request_handlers.append(_refuse_until_restored)
    handlers.run_custom_response_handlers.append(_keep_what_changed)


def restore(bucket: str) -> None:
    """Makes the bucket, puts back what was kept, and lets requests in."""
    kept = kept_objects()
    kept.make_bucket(bucket)
    count = kept.restore()
    _is_restored.set()
    print(f"S3: the bucket {bucket} is ready, {count} objects are back", flush=True)


def _refuse_until_restored(_chain: Any, context: Any, _response: Any) -> None:
    if _is_restored.is_set() or _is_own(context) or context.service.service_name != "s3":
        return
    from localstack.aws.api import CommonServiceException

    raise CommonServiceException("ServiceUnavailable", "S3 is starting; try again", 503)


def _keep_what_changed(_chain: Any, context: Any, response: Any) -> None:
    operation = context.operation.name if context.operation else None
    if (
        operation not in _PUTS | _DELETIONS | _CORS_CHANGES
        or context.service.service_name != "s3"
        or response.status_code >= 400
        or _is_own(context)
    ):
        return
    try:
        _keep(operation, context.service_request, context.request)
    except Exception as error:
        # What is not kept must not be confirmed: whoever asked tries again.
        print(f"S3: {operation} could not be written to the volume: {error!r}", flush=True)
        response.status_code = 500
        response.set_response(b"<Error><Code>InternalError</Code></Error>")


def _keep(operation: str, request: Any, http_request: Any) -> None:
    kept, bucket = kept_objects(), request["Bucket"]
    if operation == "DeleteBucket":
        kept.forget(bucket)
    elif operation in _CORS_CHANGES:
        kept.keep_cors(bucket)
    elif operation == "DeleteObjects":
        for entry in request["Delete"]["Objects"]:
            kept.keep(bucket, entry["Key"])
    elif operation == "PostObject":
        # The API's forms name their key in full.
        kept.keep(bucket, http_request.form["key"])
    else:
        kept.keep(bucket, request["Key"])


def _is_own(context: Any) -> bool:
    return _MARK in context.request.headers.get("User-Agent", "")
