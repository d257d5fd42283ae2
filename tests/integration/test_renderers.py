"""What lies between consumer and renderer: Lambda's answers, and forms that let no more through."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import localstack_client.session
import pytest

from image_api.aws.credentials import AwsCredentials
from image_api.aws.lambda_functions import LambdaRenderer
from image_api.aws.objects import StoredObjects
from image_api.aws.requests import SignedRequests
from image_api.aws.signing import UrlSigner
from image_api.aws.transfers import SignedTransfers, TransferRefused
from image_api.core.renditions.render_requests import (
    RendererBusy,
    RendererFailed,
    RendererLost,
    StillRendering,
    Upload,
)
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.settings import StorageSettings
from tests.integration.real_services import RealServices
from tests.localstack import server as localstack
from tests.waiting import PATIENCE_SECONDS

REGION = "us-east-1"
KEY = "storage/0f/1-aa/thumbnail.webp"


@pytest.fixture
def credentials(services: RealServices) -> AwsCredentials:
    return AwsCredentials(services.access_key_id, services.secret_access_key, None)


@pytest.fixture
def signer(services: RealServices, bucket: str, credentials: AwsCredentials) -> UrlSigner:
    return UrlSigner(bucket, REGION, services.endpoint_url, lambda: credentials)


@pytest.fixture
def transfers() -> Iterator[SignedTransfers]:
    made = SignedTransfers()
    yield made
    made._pool.clear()


@pytest.fixture
def objects(
    services: RealServices, bucket: str, credentials: AwsCredentials
) -> Iterator[StoredObjects]:
    requests = SignedRequests("s3", REGION, lambda: credentials, connections=2)
    url = services.endpoint_url
    yield StoredObjects(requests, StorageSettings(bucket, REGION, url, url))
    requests.close()


def form_of(signer: UrlSigner, **changes: Any) -> tuple[str, dict[str, str]]:
    url, shared, (own,) = signer.forms([Upload(KEY, "image/webp", 100)])
    return url, {**shared, **own, **changes}


def test_a_form_stores_one_object_as_it_says(
    signer: UrlSigner, transfers: SignedTransfers, s3_client: Any, bucket: str
) -> None:
    transfers.post(*form_of(signer), b"x" * 100)
    stored = s3_client.get_object(Bucket=bucket, Key=KEY)
    assert stored["Body"].read() == b"x" * 100
    assert stored["ContentType"] == "image/webp"
    assert stored["ContentDisposition"] == 'inline; filename="thumbnail.webp"'
    assert stored["CacheControl"] == "private, max-age=31536000, immutable"
    assert transfers.get(signer.signed(KEY)) == b"x" * 100


@dataclass(frozen=True)
class Strict:
    """LocalStack's S3, which obeys what a form says; whose signatures test_signing.py compares."""

    bucket: str
    client: Any

    def signer(self, **options: Any) -> UrlSigner:
        credentials = AwsCredentials(localstack.ACCESS_KEY_ID, localstack.SECRET_ACCESS_KEY, None)
        url = self.client.meta.endpoint_url
        return UrlSigner(self.bucket, REGION, url, lambda: credentials, **options)

    @property
    def is_empty(self) -> bool:
        return "Contents" not in self.client.list_objects_v2(Bucket=self.bucket)


@pytest.fixture
def strict(localstack_url: str) -> Iterator[Strict]:
    client = localstack_client.session.Session(
        localstack_host=urlsplit(localstack_url).netloc,
        region_name=REGION,
        aws_access_key_id=localstack.ACCESS_KEY_ID,
        aws_secret_access_key=localstack.SECRET_ACCESS_KEY,
    ).client("s3")
    bucket = f"test-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    yield Strict(bucket, client)
    client.close()


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({}, b"x" * 101),
        ({}, b""),
        ({"key": "storage/0f/original.png"}, b"x"),
        ({"Content-Type": "text/html"}, b"x"),
        ({"Cache-Control": "no-store"}, b"x"),
    ],
    ids=["too large", "empty", "another key", "another type", "another field"],
)
def test_a_form_stores_nothing_else(
    strict: Strict, transfers: SignedTransfers, changes: dict[str, str], data: bytes
) -> None:
    with pytest.raises(TransferRefused):
        transfers.post(*form_of(strict.signer(), **changes), data)
    assert strict.is_empty
    transfers.post(*form_of(strict.signer()), b"x" * 100)
    assert not strict.is_empty


def test_a_form_ends(strict: Strict, transfers: SignedTransfers) -> None:
    an_hour_ago = strict.signer(ttl_seconds=180, now_seconds=lambda: time.time() - 3600)
    with pytest.raises(TransferRefused):
        transfers.post(*form_of(an_hour_ago), b"x")
    assert strict.is_empty


def test_a_url_of_nothing_and_an_answer_of_nobody_are_told_apart(
    signer: UrlSigner, transfers: SignedTransfers, credentials: AwsCredentials
) -> None:
    with pytest.raises(ObjectMissing):
        transfers.get(signer.signed("storage/missing.png"))
    nowhere = UrlSigner("images", REGION, "http://127.0.0.1:1", lambda: credentials)
    for call in (
        lambda: transfers.get(nowhere.signed("a")),
        lambda: transfers.post(*form_of(nowhere), b"x"),
    ):
        with pytest.raises(ServiceUnavailable) as caught:
            call()
        # Whoever reads the log could read the file.
        assert "X-Amz" not in repr(caught.value.__cause__)
        assert caught.value.__suppress_context__


def keep_versions(s3_client: Any, bucket: str) -> None:
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def versions(s3_client: Any, bucket: str) -> list[tuple[str, str]]:
    found = s3_client.list_object_versions(Bucket=bucket)
    every = (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))
    return sorted((version["Key"], version["VersionId"]) for version in every)


def test_a_folder_goes_with_all_that_a_bucket_keeps_of_it(
    objects: StoredObjects, s3_client: Any, bucket: str
) -> None:
    """What a user deletes is gone at once, although the bucket keeps what others delete."""
    s3_client.put_object(Bucket=bucket, Key="storage/a/old", Body=b"without a version")
    keep_versions(s3_client, bucket)
    for key in ("storage/a/1", "storage/a/1", "storage/a/kept", "storage/a/made/2", "storage/ab/3"):
        s3_client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    objects.delete(["storage/a/1", "storage/a/old"])
    assert len(versions(s3_client, bucket)) == 8

    some = objects.versions("storage/a/1")
    objects.delete_versions([*some, ("storage/a/1", "null"), ("storage/a/missing", some[0][1])])
    left = [key for key, _ in versions(s3_client, bucket)]
    assert left == [*["storage/a/kept", "storage/a/made/2"], *["storage/a/old"] * 2, "storage/ab/3"]

    objects.delete_folder("storage/a/")
    assert [key for key, _ in versions(s3_client, bucket)] == ["storage/ab/3"]
    objects.delete_folder("storage/ab/")


def test_a_folder_of_any_size_goes(objects: StoredObjects, s3_client: Any, bucket: str) -> None:
    """S3 lists a thousand versions at a time."""
    keep_versions(s3_client, bucket)
    for number in range(1001):
        s3_client.put_object(Bucket=bucket, Key=f"storage/a/{number % 7}", Body=b"x")
    s3_client.put_object(Bucket=bucket, Key="storage/b", Body=b"x")
    assert len(objects.versions("storage/")) == 1002

    objects.delete_folder("storage/a/")

    assert [key for key, _ in versions(s3_client, bucket)] == ["storage/b"]
    objects.delete_all_versions("storage/b")


def test_no_more_of_an_object_is_read_than_it_may_have(
    objects: StoredObjects, s3_client: Any, bucket: str
) -> None:
    for key, data in (("storage/a", b"0123456789"), ("storage/empty", b"")):
        s3_client.put_object(Bucket=bucket, Key=key, Body=data)
    assert [objects.get_up_to("storage/a", most) for most in (4, 9, 10, 99)] == [
        b"01234",
        *[b"0123456789"] * 3,
    ]
    assert objects.get_up_to("storage/empty", 4) == b""
    with pytest.raises(ObjectMissing):
        objects.get_up_to("storage/missing", 4)


def test_objects_are_read_and_deleted_one_by_one_and_by_folder(
    objects: StoredObjects, s3_client: Any, bucket: str
) -> None:
    keys = ["storage/a b+c/1.png", "storage/a b+c/2/ä&.png", "storage/a b+cd/3.png"]
    for key in keys:
        s3_client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert [objects.get(key) for key in keys] == [key.encode() for key in keys]
    objects.delete([keys[0], "storage/missing"])
    assert objects.get_if_present(keys[0]) is None
    objects.delete_folder("storage/a b+c/")
    left = [stored["Key"] for stored in s3_client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == keys[2:]


@pytest.mark.parametrize("data", [b"x", bytes(range(256)) * 17_000], ids=["a byte", "4.3 MB"])
def test_an_object_is_stored_as_what_it_is(
    objects: StoredObjects, s3_client: Any, bucket: str, signer: UrlSigner, data: bytes
) -> None:
    key = "storage/a b+ä&/image.webp"
    objects.put(key, data, "image/webp")
    assert objects.get(key) == data
    stored = s3_client.get_object(Bucket=bucket, Key=key)
    assert stored["ContentType"] == "image/webp"
    assert stored["ContentDisposition"] == 'inline; filename="image.webp"'
    assert stored["CacheControl"] == "private, max-age=31536000, immutable"


@pytest.mark.parametrize("keeps_versions", [False, True])
def test_an_object_goes_with_all_versions_and_no_other_with_it(
    objects: StoredObjects, s3_client: Any, bucket: str, keeps_versions: bool
) -> None:
    if keeps_versions:
        keep_versions(s3_client, bucket)
    for key in ("storage/a", "storage/a", "storage/a/other", "storage/ab"):
        objects.put(key, key.encode(), "image/png")

    objects.delete_all_versions("storage/a")
    objects.delete_all_versions("storage/a")

    assert [key for key, _ in versions(s3_client, bucket)] == ["storage/a/other", "storage/ab"]
    objects.delete_folder("storage/a")


def test_an_object_is_copied_with_its_type(
    objects: StoredObjects, s3_client: Any, bucket: str
) -> None:
    s3_client.put_object(
        Bucket=bucket, Key="storage/a b+ä/1.png", Body=b"x", ContentType="image/png"
    )

    objects.copy("storage/a b+ä/1.png", "storage/c/1.png")

    copied = s3_client.get_object(Bucket=bucket, Key="storage/c/1.png")
    assert (copied["Body"].read(), copied["ContentType"]) == (b"x", "image/png")
    with pytest.raises(ObjectMissing):
        objects.copy("storage/missing", "storage/d")


def test_a_storage_that_is_away_is_told_so(credentials: AwsCredentials) -> None:
    nowhere = "http://127.0.0.1:1"
    objects = StoredObjects(
        SignedRequests("s3", REGION, lambda: credentials, connections=1),
        StorageSettings("images", REGION, nowhere, nowhere),
    )
    for call in (
        lambda: objects.put("a", b"x", "image/png"),
        lambda: objects.get("a"),
        lambda: objects.delete(["a"]),
        lambda: objects.delete_all_versions("a"),
        lambda: objects.copy("a", "b"),
        lambda: objects.delete_versions([("a", "null")]),
        lambda: objects.delete_folder("a/"),
    ):
        with pytest.raises(ServiceUnavailable):
            call()


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """A Lambda API with one answer, or none for a status of 0; and what it was asked."""
    asked: list[str] = []
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(f"{self.path} {self.headers['Authorization']}")
            self.rfile.read(int(self.headers["Content-Length"]))
            if not status:
                ended.wait(PATIENCE_SECONDS)
                return
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


ERROR = {"X-Amz-Function-Error": "Unhandled"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "raised", "words"),
    [
        (0, b"", {}, StillRendering, ""),
        (429, b"{}", {}, RendererBusy, ""),
        (500, b"{}", {}, RendererLost, "Lambda answered 500"),
        (503, b"{}", {}, RendererLost, "Lambda answered 503"),
        (404, b"{}", {}, ServiceUnavailable, "Lambda answered 404"),
        (302, b"", {"Location": "http://127.0.0.1:1"}, ServiceUnavailable, "Lambda answered 302"),
        (200, b'{"errorType": "Runtime.ExitError"}', ERROR, RendererFailed, "Runtime.ExitError"),
        (200, b'{"errorType": "a\\nb"}', ERROR, RendererFailed, "unknown"),
        (200, b"not JSON", ERROR, RendererFailed, "unknown"),
        (200, b"[]", ERROR, RendererFailed, "unknown"),
    ],
    ids=str,
)
def test_what_lambda_says_instead_of_an_answer(
    credentials: AwsCredentials,
    status: int,
    body: bytes,
    headers: dict[str, str],
    raised: type[Exception],
    words: str,
) -> None:
    own = SignedRequests("lambda", REGION, lambda: credentials, connections=1)
    with answering(status, body, headers) as (url, asked), pytest.raises(raised) as caught:
        LambdaRenderer(own, "a:b", url).invoke(b"{}", 0.3 if status == 0 else PATIENCE_SECONDS)
    assert words in str(caught.value)
    # Once, whatever the answer is.
    (request,) = asked
    path, _, authorization = request.partition(" ")
    assert path == "/2015-03-31/functions/a%3Ab/invocations"
    assert f"/{REGION}/lambda/aws4_request" in authorization
    own.close()


def test_nobody_there_is_no_failure_of_the_picture(credentials: AwsCredentials) -> None:
    own = SignedRequests("lambda", REGION, lambda: credentials, connections=1)
    with pytest.raises(ServiceUnavailable) as caught:
        LambdaRenderer(own, "renderer", "http://127.0.0.1:1").invoke(b"{}", 1)
    # Nothing was begun.
    assert not isinstance(caught.value, RendererLost)


def test_a_renderer_whose_connection_breaks_may_go_on(credentials: AwsCredentials) -> None:
    own = SignedRequests("lambda", REGION, lambda: credentials, connections=1)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        asked = threads.submit(LambdaRenderer(own, "a", url).invoke, b"{}", PATIENCE_SECONDS)
        connection, _ = server.accept()
        assert connection.recv(65_536)
        connection.close()
        with pytest.raises(RendererLost):
            asked.result()
    own.close()
