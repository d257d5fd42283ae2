"""The image API behind each gateway: the local cloud, and template.yaml deployed to MiniStack."""

import json
import random
import secrets
import struct
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.exchange import Endpoint, Request, Response, observe
from tests.conformance.image_api_pairs import IMAGE_API_PAIRS
from tests.conformance.pairs import Pair
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually


def png(width: int = 96, height: int = 64) -> bytes:
    """A picture of noise, in which nothing has to be removed before it is served."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    noise = random.Random(1)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


FILE = png()


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    cloud = RunningCloud(tmp_path_factory.mktemp("cloud") / "data", "--no-watch")
    cloud.start()
    yield Endpoint.of_url(cloud.api_url)
    cloud.stop()


@pytest.mark.parametrize("pair", IMAGE_API_PAIRS, ids=lambda pair: pair.says)
def test_the_local_cloud_keeps_what_the_image_api_promises(
    local_cloud: Endpoint, pair: Pair
) -> None:
    response = local_cloud.send(pair.request)
    assert observe(response, pair.expected) == pair.expected, response.body[:500]


def test_an_uploaded_file_arrives_intact_at_the_local_cloud(local_cloud: Endpoint) -> None:
    token = registered(local_cloud)
    answer = uploaded(local_cloud, token)
    assert answer.status == 200, answer.body
    image = ready(local_cloud, token, answer.json()["id"])
    with urllib.request.urlopen(image["url"]) as response:
        assert response.read() == FILE
    assert (image["size"], image["resolution"]) == (len(FILE), "96x64")


def registered(endpoint: Endpoint) -> str:
    """The token of a user that is new."""
    account = {"username": f"conformance-{secrets.token_hex(8)}", "password": "pass!word"}
    response = endpoint.send(
        Request(
            "/auth/register",
            "POST",
            (("Content-Type", "application/json"),),
            json.dumps(account).encode(),
        )
    )
    assert response.status == 200, response.body
    return str(response.json()["access_token"])


def uploaded(endpoint: Endpoint, token: str) -> Response:
    form = (
        b"--limit\r\n"
        b'Content-Disposition: form-data; name="image"; filename="noise.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + FILE + b"\r\n--limit--\r\n"
    )
    headers = (
        ("Authorization", f"Bearer {token}"),
        ("Content-Type", "multipart/form-data; boundary=limit"),
    )
    return endpoint.send(Request("/image/upload_image", "POST", headers, form))


def ready(endpoint: Endpoint, token: str, image_id: int) -> dict[str, Any]:
    """The image, once it is processed."""

    def look() -> dict[str, Any] | None:
        request = Request(f"/image/{image_id}", headers=(("Authorization", f"Bearer {token}"),))
        image: dict[str, Any] = endpoint.send(request).json()
        assert image["status"] != "failed", image
        return image if image["status"] == "ready" else None

    return eventually(look, f"image {image_id} is ready")
