"""GET /image/{image_id}/original."""

from __future__ import annotations

from tests import samples
from tests.e2e.api_client import ApiClient


def test_the_owner_gets_the_file_as_it_was_uploaded(ada: ApiClient) -> None:
    data = samples.jpeg(exif=samples.exif(6, taken_at="2024:11:02 18:10:16"), xmp=samples.XMP)
    image = ada.uploaded(data, title="Zoë's holiday.png")
    ada.updated(image["id"], resolution="20x20")

    answer = ada.get(f"/image/{image['id']}/original")

    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    url = answer.headers["Location"]
    assert "X-Amz-Expires=300" in url
    served = ada.download(url)
    assert served.content == data
    assert served.headers["Content-Type"] == "image/jpeg"
    assert served.headers["Content-Disposition"] == (
        "attachment; filename=\"Zo_'s holiday.jpg\"; filename*=UTF-8''Zo%C3%AB%27s%20holiday.jpg"
    )


def test_also_of_an_image_that_could_not_be_processed(ada: ApiClient) -> None:
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    image = ada.settled(ada.upload(damaged).json()["id"], "failed")

    original = ada.get(f"/image/{image['id']}/original")

    assert ada.download(original.headers["Location"]).content == damaged


def test_nobody_else_gets_the_original(ada: ApiClient, bob: ApiClient, visitor: ApiClient) -> None:
    image = ada.uploaded(samples.png())
    path = f"/image/{image['id']}/original"

    assert bob.get(path).status_code == 404
    assert visitor.get(path).status_code == 401
    assert ada.delete(image["id"]).status_code == 200
    answer = ada.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")
