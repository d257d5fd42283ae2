"""Files made to do harm: refused in words, or they end `ready` or `failed`, and nobody dies."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.security.conftest import consumer_pid
from tests.waiting import eventually

REFUSALS = {400, 413, 415}
SEED = 20_241_102
BITS_FLIPPED = (1, 3, 40)


@pytest.fixture
def consumer(cloud: RunningCloud, bob: ApiClient) -> Iterator[int]:
    """The consumer's process, which must still be the same one at the end, and at work."""
    bob.uploaded(samples.gif())
    pid = eventually(lambda: consumer_pid(cloud), "the consumer runs")
    yield pid
    bob.uploaded(samples.gif())
    assert consumer_pid(cloud) == pid


def outcomes(client: ApiClient, files: list[bytes]) -> list[str]:
    """What became of each file: `refused`, `ready` or `failed`."""
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(client.upload, files))
    image_ids = []
    for answer in answers:
        if answer.status_code != 200:
            assert answer.status_code in REFUSALS, answer.text
            assert answer.json()["detail"]
        image_ids.append(answer.json()["id"] if answer.status_code == 200 else None)

    def settled(image_id: int | None) -> str:
        if image_id is None:
            return "refused"

        def look() -> str | None:
            image = client.image(image_id).json()
            assert (image["status"] == "failed") == (image["error"] is not None)
            return image["status"] if image["status"] != "processing" else None

        return eventually(look, f"image {image_id} is settled")

    return [settled(image_id) for image_id in image_ids]


@pytest.mark.parametrize("content_type", sorted(samples.MAKERS))
def test_a_picture_cut_off_anywhere_ends_well(
    ada: ApiClient, consumer: int, content_type: str
) -> None:
    whole = samples.MAKERS[content_type]()
    chosen = random.Random(SEED)
    lengths = [*range(1, 64, 9), *sorted(chosen.sample(range(64, len(whole)), 9)), len(whole) - 1]

    found = outcomes(ada, [whole[:length] for length in lengths])

    assert set(found[:3]) == {"refused"}, found


@pytest.mark.parametrize("content_type", sorted(samples.MAKERS))
def test_a_picture_with_flipped_bits_ends_well(
    ada: ApiClient, consumer: int, content_type: str
) -> None:
    whole = samples.MAKERS[content_type]()
    chosen = random.Random(SEED)

    def flipped(count: int, end: int) -> bytes:
        data = bytearray(whole)
        for _ in range(count):
            data[chosen.randrange(end)] ^= 1 << chosen.randrange(8)
        return bytes(data)

    # Half of them in the header, where the sizes and offsets are.
    files = [
        flipped(count, end) for count in BITS_FLIPPED for end in (200, len(whole)) for _ in range(4)
    ]

    outcomes(ada, files)


@pytest.mark.parametrize("content_type", samples.ANIMATED)
def test_a_damaged_animation_ends_well(ada: ApiClient, consumer: int, content_type: str) -> None:
    whole = samples.animation(content_type)
    chosen = random.Random(SEED)
    damaged = []
    for _ in range(8):
        data = bytearray(whole)
        data[chosen.randrange(12, len(data))] ^= 1 << chosen.randrange(8)
        damaged.append(bytes(data))

    outcomes(ada, [*damaged, whole[: len(whole) // 2], whole[:-1]])


SCRIPT = b"<script>alert(document.domain)</script>"
ARCHIVE = b"PK\x03\x04" + b"\0" * 26 + b"PK\x05\x06" + b"\0" * 18
POLYGLOTS = {
    "a JPEG with a page behind it": samples.jpeg() + b"<!DOCTYPE html>" + SCRIPT,
    "a JPEG with a page in its EXIF": samples.with_jpeg_segment(
        samples.jpeg(), 0xE1, b"Exif\0\0" + SCRIPT
    ),
    "a JPEG that is an archive": samples.jpeg() + ARCHIVE,
    "a JPEG with a PNG behind it": samples.jpeg() + samples.png(),
    "a PNG with a script in a text": samples.with_png_chunk(
        samples.png(), b"tEXt", b"Comment\0" + SCRIPT
    ),
    "a PNG that is an archive": samples.png() + ARCHIVE,
    "a GIF that is JavaScript": b"GIF89a/*" + samples.gif()[8:] + b"*/=1;alert(1)",
    "a GIF with a program behind it": samples.gif() + b"MZ" + bytes(100),
    "a WebP with a page in it": samples.with_webp_chunk(samples.webp(), b"EXIF", SCRIPT),
    "a BMP that is a page": samples.bmp() + SCRIPT,
}
NO_PICTURES = {
    "a page": b"<!DOCTYPE html>" + SCRIPT,
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
    "a PDF with a JPEG in it": b"%PDF-1.7\n" + samples.jpeg(),
    "an archive": ARCHIVE,
    "a program": b"\x7fELF" + bytes(200),
    "a PostScript file": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("what", sorted(NO_PICTURES))
def test_what_is_no_picture_is_refused(ada: ApiClient, consumer: int, what: str) -> None:
    assert outcomes(ada, [NO_PICTURES[what]]) == ["refused"]


@pytest.mark.parametrize("what", sorted(POLYGLOTS))
def test_what_is_served_of_a_polyglot_is_the_picture_alone(
    ada: ApiClient, consumer: int, what: str
) -> None:
    answer = ada.upload(POLYGLOTS[what])
    if answer.status_code != 200:
        assert answer.status_code in REFUSALS
        return
    image_id = answer.json()["id"]
    eventually(lambda: ada.image(image_id).json()["status"] != "processing", "it is settled")
    image = ada.image(image_id).json()
    for url in (image["url"], image["thumbnail_url"]):
        if url is None:
            assert image["status"] == "failed"
            continue
        served = ada.download(url)
        assert served.headers["Content-Type"].startswith("image/")
        assert served.headers["Content-Disposition"].startswith("inline; filename=")
        assert b"alert(" not in served.content
        assert b"PK\x03\x04" not in served.content
        assert b"MZ" + bytes(50) not in served.content


def test_bombs_are_refused_before_a_pixel_is_decoded(ada: ApiClient, consumer: int) -> None:
    bombs = [
        samples.png_bomb(),
        samples.png_bomb(7072, 7072),
        samples.png_bomb(2**31 - 1, 1),
        samples.gif_bomb(),
        samples.bmp()[:18] + (2**20).to_bytes(4, "little") * 2 + samples.bmp()[26:],
    ]
    assert outcomes(ada, bombs) == ["refused"] * len(bombs)


def test_bombs_that_lie_about_their_size_end_well(ada: ApiClient, consumer: int) -> None:
    """Within the limit by their headers; what follows is far less, or far more."""
    rows_of_zeros = samples.png_bomb(7000, 7000)
    many_frames = samples.gif_bomb(64, 64, 4000)
    text_bomb = samples.with_png_chunk(
        samples.png(), b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9)
    )
    profile_bomb = samples.with_png_chunk(
        samples.png(), b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000), 9)
    )

    found = outcomes(ada, [rows_of_zeros, many_frames, text_bomb, profile_bomb])

    assert found[0] != "ready", found
