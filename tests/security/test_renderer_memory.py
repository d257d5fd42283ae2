"""The memory of renderer and consumer stays bounded, whatever file comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest
import requests
from PIL import Image

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually

# Half of what each has on AWS.
ALLOWED_MB = {"renderer": 1769 // 2, "consumer": 1024 // 2}


def largest_png() -> bytes:
    """50 megapixels less a few, of a photo."""
    return samples.png(samples.photo(8660, 5770, "hubble_deep_field.jpg"), compress_level=1)


def gif_of_100_frames() -> bytes:
    """96 megapixels in all; in one palette, for choosing a hundred takes a minute."""
    ground = samples.photo(1200, 800).quantize(64, dither=Image.Dither.NONE)
    frames = []
    for index in range(100):
        frame = ground.copy()
        frame.paste(index % 64, (index * 10, 0, index * 10 + 100, 800))
        frames.append(frame)
    return samples.animation("image/gif", frames, duration=50)


def sent(client: ApiClient, data: bytes) -> int:
    """The id of the image that a direct upload made."""
    offer = client.request("POST", "/image/direct_upload").json()
    token, client.token = client.token, None
    answer = client.request("POST", offer["url"], data=offer["fields"], files={"file": data})
    client.token = token
    assert answer.status_code == 204, answer.text

    def complete() -> list[requests.Response]:
        # A storage that still has its hands full is asked again, as any client does.
        completed = client.request("POST", f"/image/direct_upload/{offer['upload_id']}", json={})
        return [] if completed.status_code == 503 else [completed]

    (completed,) = eventually(complete, "the upload is completed")
    assert completed.status_code == 200, completed.text
    return int(completed.json()["id"])


def peak_mb(cloud: RunningCloud, function: str) -> int:
    lines = (json.loads(line) for line in cloud.log().splitlines() if '"invocation"' in line)
    return max(
        (int(line["memory_mb"] or 0) for line in lines if line.get("function") == function),
        default=0,
    )


@pytest.mark.parametrize("make", [largest_png, gif_of_100_frames], ids=["png", "gif"])
def test_the_largest_pictures_fit_into_half_of_the_memory(
    cloud: RunningCloud, ada: ApiClient, make: Callable[[], bytes]
) -> None:
    image_id = sent(ada, make())

    ada.settled(image_id)
    assert ada.update(image_id, resolution="600x400").status_code == 200
    ada.settled(image_id)

    for function, allowed_mb in ALLOWED_MB.items():
        peak = eventually(partial(peak_mb, cloud, function), f"{function} was logged")
        print(f"{make.__name__}: the peak of {function} was {peak} MB")
        assert peak < allowed_mb
