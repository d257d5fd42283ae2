"""Buckets of the template that the storage does not take."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from infra.local.storage_buckets import BucketsFailed, create_buckets
from infra.local.template.model import Bucket

_NONE = b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
_REFUSED = b"<Error><Code>InvalidBucketName</Code><Message>It is not valid.</Message></Error>"


class _Storage(BaseHTTPRequestHandler):
    """Has no buckets, and takes none."""

    def do_GET(self) -> None:
        self._answer(200, _NONE)

    def do_PUT(self) -> None:
        self._answer(400, _REFUSED)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Storage) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_name_that_the_storage_refuses_is_told_in_words(url: str) -> None:
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    with pytest.raises(BucketsFailed, match=r"Images: no bucket Bad_Name: .*It is not valid\."):
        create_buckets([Bucket("Images", "Bad_Name")], variables)
