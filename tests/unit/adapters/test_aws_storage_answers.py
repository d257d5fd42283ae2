"""What the storage may answer when it does not do as it was asked, and what is made of that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

import image_api.aws.objects
from image_api.aws.credentials import AwsCredentials
from image_api.aws.objects import StoredObjects
from image_api.aws.requests import SignedRequests
from image_api.aws.s3 import S3Storage
from image_api.aws.transfers import SignedTransfers, TransferRefused
from image_api.errors import ObjectMissing, ServiceUnavailable, StillDeleting
from image_api.settings import StorageSettings

REGION = "us-east-1"
FAILED = b"<Error><Code>InternalError</Code><Message>Try again</Message></Error>"
NOT_DELETED = b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>"


MORE = b"""<ListVersionsResult><IsTruncated>true</IsTruncated>
<NextKeyMarker>storage/a/b</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>
<Version><Key>storage/a/b</Key><VersionId>1</VersionId></Version></ListVersionsResult>"""


@dataclass
class Answering:
    """A storage that gives the same answer again and again."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    # What it answers to a method instead.
    bodies: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def with_answer(self, status: int, body: bytes = b"") -> str:
        self.status, self.body = status, body
        return self.url


@pytest.fixture
def storage() -> Iterator[Answering]:
    answering = Answering()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answering.seen.append(f"{self.command} {self.path}")
            self.send_response(answering.status)
            body = answering.bodies.get(self.command, answering.body)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    answering.url = f"http://127.0.0.1:{server.server_port}"
    yield answering
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def transfers() -> Iterator[SignedTransfers]:
    made = SignedTransfers()
    yield made
    made._pool.clear()


@pytest.fixture
def objects(storage: Answering) -> Iterator[StoredObjects]:
    credentials = AwsCredentials("AKIDEXAMPLE", "secret", None)
    requests = SignedRequests("s3", REGION, lambda: credentials, connections=1)
    yield StoredObjects(requests, StorageSettings("images", REGION, storage.url, storage.url))
    requests.close()


@pytest.fixture
def client(storage: Answering) -> Iterator[S3Storage]:
    made = S3Storage(StorageSettings("images", REGION, storage.url, "https://images.example.com"))
    yield made
    made._client.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, ObjectMissing), (403, ServiceUnavailable), (302, ServiceUnavailable)],
)
def test_only_a_file_that_is_not_there_is_missing(
    storage: Answering, transfers: SignedTransfers, status: int, error: type[Exception]
) -> None:
    url = f"{storage.with_answer(status, b'details')}/images/a?X-Amz-Signature=secret"

    with pytest.raises(error) as raised:
        transfers.get(url)

    # Whoever reads the URL in a log could read the file.
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, ServiceUnavailable), (503, ServiceUnavailable), (403, TransferRefused)],
)
def test_a_form_is_refused_by_a_storage_that_works_and_not_by_one_that_fails(
    storage: Answering, transfers: SignedTransfers, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"^The storage answered {status} to a form$"):
        transfers.post(storage.with_answer(status), {"Content-Type": "image/png"}, b"bytes")


@pytest.mark.parametrize("status", [302, 403, 503])
def test_a_file_that_the_storage_does_not_take_is_not_stored(
    storage: Answering, objects: StoredObjects, status: int
) -> None:
    storage.with_answer(status, FAILED)

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not take the file; try again$"):
        objects.put("storage/a", b"bytes", "image/png")

    assert storage.seen == ["PUT /images/storage/a"] * (2 if status == 503 else 1)


def test_a_copy_that_fails_after_its_answer_began_has_failed(
    storage: Answering, objects: StoredObjects
) -> None:
    storage.with_answer(200, FAILED)

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not copy the file$"):
        objects.copy("storage/a", "storage/b")


def test_a_listing_that_is_cut_off_deletes_nothing(
    storage: Answering, objects: StoredObjects
) -> None:
    storage.with_answer(200, b"<ListVersionsResult><Version><Key>storage/a/b</Key></Vers")

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not list the files$"):
        objects.delete_folder("storage/a/")

    assert [line.split()[0] for line in storage.seen] == ["GET"]


@pytest.mark.parametrize("answer", [NOT_DELETED, FAILED, b"<DeleteRes", b"<html>"])
def test_a_version_that_is_not_deleted_among_others_is_told(
    storage: Answering, objects: StoredObjects, answer: bytes
) -> None:
    storage.with_answer(200, answer)

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not delete (the|every) file"):
        objects.delete_versions([("a", "1"), ("b", "2")])

    assert storage.seen == ["POST /images/?delete="]


def test_a_folder_that_has_no_end_is_left_for_another_time(
    storage: Answering, objects: StoredObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time something goes, however long a request takes."""
    storage.bodies = {"GET": MORE, "POST": b"<DeleteResult></DeleteResult>"}
    monkeypatch.setattr(image_api.aws.objects, "_FOLDER_SECONDS", 0.0)

    with pytest.raises(StillDeleting):
        objects.delete_folder("storage/a/")

    methods = [line.split()[0] for line in storage.seen]
    assert methods == ["GET", "POST"]


def test_a_file_that_the_storage_may_not_hand_out_is_not_missing(
    storage: Answering, client: S3Storage
) -> None:
    storage.with_answer(403, b"<Error><Code>AccessDenied</Code></Error>")

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not hand out the file$"):
        client.get_if_present("incoming/1/a")


def test_files_that_cannot_be_listed_are_not_an_empty_storage(
    storage: Answering, client: S3Storage
) -> None:
    storage.with_answer(403, b"<Error><Code>AccessDenied</Code></Error>")

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not list its files$"):
        list(client.pages("storage/", ""))


def test_a_file_that_was_not_deleted_among_others_is_told(
    storage: Answering, client: S3Storage
) -> None:
    storage.with_answer(200, NOT_DELETED)

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not delete every file$"):
        client.delete(["a", "b"])


def test_a_storage_that_is_away_hands_nothing_out(storage: Answering) -> None:
    nowhere = S3Storage(StorageSettings("images", REGION, "http://127.0.0.1:1", None))

    with pytest.raises(ServiceUnavailable, match=r"^The storage did not hand out the file$"):
        nowhere.get("incoming/1/a")

    nowhere._client.close()


def test_forms_go_to_the_address_that_clients_know(client: S3Storage) -> None:
    url, fields = client.presigned_post("incoming/1/a", 100, 900)

    assert urlsplit(url).netloc == "images.example.com"
    assert fields["key"] == "incoming/1/a"
    client._public_client.close()
