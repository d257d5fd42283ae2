"""Each picture of cases.json ends as it must, costs no more than it may, and holds nobody up."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import pillow_heif
import requests
from PIL import Image, ImageSequence, ImageStat

from tests import samples
from tests.cases.costs import Cost, cost_of
from tests.cases.inputs import made
from tests.cases.table import Case, sent_as
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import PATIENCE_SECONDS, eventually

pillow_heif.register_heif_opener()

_TOLERANCE = 6
_BYSTANDERS = 3
_BYSTANDERS_READY_WITHIN_SECONDS = 15


@sent_as("upload", "direct upload")
def test_a_picture_ends_as_it_must(
    cloud: RunningCloud, ada: ApiClient, bob: ApiClient, case: Case
) -> None:
    data, check = made(case["file"]), case["check"]
    # Whoever begins pays for it once; this is about the case alone.
    ada.uploaded(samples.png(), "ordinary.png")
    for _ in range(case.get("times", 1)):
        with cost_of(cloud) as whole:
            with cost_of(cloud) as request:
                answer = _send(ada, case, data)
            bystanders = []
            if check.get("bystanders"):
                bystanders = [bob.upload(samples.png()).json()["id"] for _ in range(_BYSTANDERS)]
            assert answer.status_code in check["answer"], answer.text
            if answer.status_code == 200:
                _check_image(ada, answer.json()["id"], check)
            else:
                _check_words(answer.json()["detail"], check)
        for image_id in bystanders:
            _ready_soon(bob, image_id)
        _check_cost(request, whole, check)


def _send(client: ApiClient, case: Case, data: bytes) -> requests.Response:
    filename = case["file"].rpartition("/")[2]
    if case["sent"] == "upload":
        return client.upload(data, filename)
    offer = client.request("POST", "/image/direct_upload").json()
    token, client.token = client.token, None
    answer = client.request("POST", offer["url"], data=offer["fields"], files={"file": data})
    client.token = token
    assert answer.status_code == 204, answer.text
    return client.request(
        "POST", f"/image/direct_upload/{offer['upload_id']}", json={"filename": filename}
    )


def _settled(
    client: ApiClient, image_id: int, patience_seconds: float = PATIENCE_SECONDS
) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        image: dict[str, Any] = client.image(image_id).json()
        return image if image["status"] != "processing" else None

    return eventually(look, f"image {image_id} is settled", patience_seconds=patience_seconds)


def _ready_soon(client: ApiClient, image_id: int) -> None:
    image = _settled(client, image_id, _BYSTANDERS_READY_WITHIN_SECONDS)
    assert image["status"] == "ready", image


def _check_image(client: ApiClient, image_id: int, check: dict[str, Any]) -> None:
    image = _settled(client, image_id, check.get("within_s", PATIENCE_SECONDS))
    assert image["status"] in check["state"], image
    if image["status"] == "failed":
        _check_words(image["error"], check)
        return
    _check_served(client, image, check)
    if then := check.get("then"):
        assert client.update(image_id, **then["changes"]).status_code == 200
        _check_served(client, _settled(client, image_id), then)


def _check_words(words: str, check: dict[str, Any]) -> None:
    if says := check.get("says"):
        assert re.search(says, words, re.IGNORECASE), words
    if says_not := check.get("says_not"):
        assert not re.search(says_not, words, re.IGNORECASE), words


def _check_served(client: ApiClient, image: dict[str, Any], check: dict[str, Any]) -> None:
    if resolutions := check.get("resolution"):
        assert image["resolution"] in resolutions
    files = [client.download(image[name]).content for name in ("url", "thumbnail_url")]
    tolerance = check.get("tolerance", _TOLERANCE)
    for data in files:
        with Image.open(io.BytesIO(data)) as picture:
            for text in check.get("absent", ()):
                assert not _contains(data, picture, text), text
            if colour := check.get("colour"):
                _check_colour(picture, colour, tolerance, is_flat=check.get("flat", True))
            if spread := check.get("spread_above"):
                assert max(_statistics(picture, 3).stddev) > spread
    with Image.open(io.BytesIO(files[0])) as picture:
        width, height = map(int, image["resolution"].split("x"))
        assert picture.size == (width, height)
        if colours := check.get("frame_colours"):
            frames = [frame.copy() for frame in ImageSequence.Iterator(picture)]
            assert len(frames) == len(colours)
            for frame, colour in zip(frames, colours, strict=True):
                _check_colour(frame, colour, tolerance, is_flat=True)


def _check_colour(
    picture: Image.Image, colour: Sequence[int], tolerance: int, *, is_flat: bool
) -> None:
    statistics = _statistics(picture, len(colour))
    for mean, extrema, expected in zip(statistics.mean, statistics.extrema, colour, strict=True):
        assert abs(mean - expected) <= tolerance
        if is_flat:
            assert expected - 2 * tolerance <= extrema[0] <= extrema[1] <= expected + 2 * tolerance


def _statistics(picture: Image.Image, count: int) -> ImageStat.Stat:
    """Of this many bands."""
    return ImageStat.Stat(picture.convert({3: "RGB", 4: "RGBA"}[count]))


def _contains(data: bytes, picture: Image.Image, text: str) -> bool:
    """Whether it is there as it is, or in what the file keeps compressed."""
    sought = bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()
    values = [str(each) for each in picture.info.values() if not isinstance(each, bytes)]
    compressed = [each for each in picture.info.values() if isinstance(each, bytes)]
    return any(sought in each for each in (data, *compressed)) or any(
        sought.decode("latin-1") in each for each in values
    )


def _check_cost(request: Cost, whole: Cost, check: dict[str, Any]) -> None:
    if cpu_seconds := check.get("cpu_s"):
        assert request.cpu_seconds < cpu_seconds
    if cpu_seconds := check.get("cpu_until_settled_s"):
        assert whole.cpu_seconds < cpu_seconds
    if memory_mb := check.get("memory_mb"):
        assert whole.peak_mb < memory_mb
