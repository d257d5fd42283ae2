"""POST /image/upload_image, and what becomes of an upload."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from PIL import Image

from tests import samples
from tests.e2e.api_client import ApiClient, field_messages
from tests.e2e.holding import Processing

ROCKET = samples.rocket()
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
MULTIPART = {"Content-Type": "multipart/form-data; boundary=B"}

# What clients get for each accepted format: browsers show neither HEIC, TIFF nor BMP.
SERVED_AS = {
    "image/heic": "image/jpeg",
    "image/heif": "image/jpeg",
    "image/tiff": "image/jpeg",
    "image/bmp": "image/jpeg",
}


def _resolution(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


def test_an_upload_is_accepted_and_then_ready(ada: ApiClient) -> None:
    answer = ada.upload(ROCKET)

    assert answer.status_code == 200
    assert answer.json() == {
        "detail": "Image upload request sent to the processing service",
        "id": answer.json()["id"],
        "status": "processing",
    }
    image = ada.settled(answer.json()["id"])
    assert image["title"] == "rocket.jpg"
    assert image["resolution"] == "640x427"
    assert image["size"] == len(ROCKET)
    assert image["content_type"] == "image/jpeg"
    assert image["visibility"] == "shared"
    assert image["error"] is None
    assert image["file_path"].startswith("storage/")
    assert MOMENT.fullmatch(image["created_at"]) and MOMENT.fullmatch(image["updated_at"])
    assert image["created_at"] <= image["updated_at"]
    # It has nothing that needs removing, so it is served as it came.
    assert ada.download(image["url"]).content == ROCKET


def test_an_image_that_waits_for_processing_is_true_and_has_no_links(
    ada: ApiClient, processing: Processing
) -> None:
    with processing.held():
        image_id = ada.upload(ROCKET).json()["id"]
        image = ada.image(image_id).json()

    assert image["status"] == "processing"
    assert image["resolution"] == "640x427"
    assert image["size"] == len(ROCKET)
    of_its_picture = ("url", "thumbnail_url", "preview_url", "rendition_url", "placeholder")
    assert {image[name] for name in of_its_picture} == {None}
    image = ada.settled(image_id)
    assert None not in {image[name] for name in of_its_picture}
    assert 5 <= len(base64.b64decode(image["placeholder"], validate=True)) <= 32


def test_a_link_opens_for_whoever_has_it_and_for_nothing_else(
    ada: ApiClient, visitor: ApiClient
) -> None:
    image, other = ada.uploaded(ROCKET), ada.uploaded(ROCKET, visibility="private")

    served = visitor.download(image["url"])
    assert served.headers["Content-Type"] == "image/jpeg"
    assert "X-Amz-Expires=" in image["url"]
    link_of_other = image["url"].replace(image["file_path"], other["file_path"])
    assert visitor.get(link_of_other).status_code == 403
    assert visitor.get(image["url"][:-1]).status_code == 403
    assert visitor.request("PUT", image["url"], data=b"mine").status_code == 403


@pytest.mark.parametrize("content_type", sorted(samples.MAKERS))
def test_what_is_said_of_an_image_of_any_format_is_true_of_what_is_served(
    ada: ApiClient, content_type: str
) -> None:
    image = ada.uploaded(samples.MAKERS[content_type](), "picture")

    served = ada.download(image["url"])
    picture = samples.opened(served.content)
    assert image["content_type"] == SERVED_AS.get(content_type, content_type)
    assert served.headers["Content-Type"] == image["content_type"]
    assert Image.MIME[str(picture.format)] == image["content_type"]
    assert image["size"] == len(served.content)
    assert image["resolution"] == _resolution(picture) == "96x64"


def test_a_thumbnail_is_a_small_webp_without_metadata(ada: ApiClient) -> None:
    image = ada.uploaded(samples.jpeg(samples.photo(1200, 800), exif=samples.exif(1)))

    served = ada.download(image["thumbnail_url"])
    thumbnail = samples.opened(served.content)
    assert served.headers["Content-Type"] == "image/webp"
    assert thumbnail.format == "WEBP"
    assert thumbnail.size == (320, 213)
    assert not thumbnail.getexif()
    assert samples.CAMERA.encode() not in served.content


def test_a_photo_taken_sideways_is_served_upright_and_without_where_it_was_taken(
    ada: ApiClient,
) -> None:
    upright = samples.quarters(640, 400)
    data = samples.jpeg(samples.stored_for(upright, 6), exif=samples.exif(6), xmp=samples.XMP)
    assert samples.opened(data).size == (400, 640)

    image = ada.uploaded(data)

    assert image["resolution"] == "640x400"
    for link in ("url", "thumbnail_url", "preview_url"):
        content = ada.download(image[link]).content
        picture = samples.opened(content).convert("RGB")
        width, height = picture.size
        corners = {
            "top left": (width // 8, height // 8),
            "top right": (width * 7 // 8, height // 8),
            "bottom left": (width // 8, height * 7 // 8),
            "bottom right": (width * 7 // 8, height * 7 // 8),
        }
        for corner, colour in samples.QUARTERS.items():
            seen = picture.getpixel(corners[corner])
            assert isinstance(seen, tuple)
            assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) < 25, corner
        assert not samples.opened(content).getexif()
        assert samples.CAMERA.encode() not in content
        assert b"Exif" not in content


def test_the_original_of_a_photo_stays_in_storage_without_a_link_to_it(
    ada: ApiClient, visitor: ApiClient, bucket: Any
) -> None:
    data = samples.jpeg(exif=samples.exif(6))
    image = ada.uploaded(data)
    folder = "/".join(image["file_path"].split("/")[:2])

    objects = {item.key: item.get()["Body"].read() for item in bucket.objects.filter(Prefix=folder)}

    (original,) = (key for key, stored in objects.items() if stored == data)
    assert original != image["file_path"]
    forged = image["url"].replace(image["file_path"], original)
    assert forged != image["url"]
    assert visitor.get(forged).status_code == 403


def test_a_photo_of_twelve_megapixels_is_processed(ada: ApiClient) -> None:
    data = samples.jpeg(samples.photo(4000, 3000, "hubble_deep_field.jpg"), quality=85)
    assert 1_000_000 < len(data) < 4_500_000

    image = ada.uploaded(data, "hubble.jpg")

    assert image["resolution"] == "4000x3000"
    assert image["size"] == len(data)
    assert samples.opened(ada.download(image["thumbnail_url"]).content).size == (320, 240)
    assert samples.opened(ada.download(image["preview_url"]).content).size == (1600, 1200)


def test_the_bytes_decide_the_format_and_not_the_name(ada: ApiClient) -> None:
    image = ada.uploaded(samples.png(), "holiday.jpg")

    assert image["content_type"] == "image/png"
    assert image["title"] == "holiday.jpg"


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("../../x.png", "x.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\photos\\x.png", "x.png"),
        ("Kätzchen 🐈.png", "Kätzchen 🐈.png"),
        ("..", "image.png"),
        ("a" * 300 + ".png", "a" * 255),
    ],
)
def test_a_title_is_the_base_name_of_the_file(ada: ApiClient, filename: str, title: str) -> None:
    answer = ada.upload(samples.png(), filename)

    assert ada.image(answer.json()["id"]).json()["title"] == title


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("photo\u202egpj.exe.png", "photogpj.exe.png"),
        ("ro\u200bck\u00ad.png", "rock.png"),
        ("\ufeff\u2060", "image.png"),
        ("Zoe\u0301.png", "Zo\u00e9.png"),
    ],
    ids=["turned", "invisible", "nothing else", "composed"],
)
def test_what_nobody_sees_is_left_out_of_the_name_of_a_file(
    ada: ApiClient, filename: str, title: str
) -> None:
    answer = ada.upload(samples.png(), filename)

    assert ada.image(answer.json()["id"]).json()["title"] == title


def test_fields_that_are_blank_are_not_given(ada: ApiClient) -> None:
    blank = {"title": " ", "visibility": "", "description": "", "tags": ""}
    image = ada.uploaded(samples.gif(), "rocket.gif", **blank)

    assert (image["title"], image["visibility"]) == ("rocket.gif", "shared")
    assert (image["description"], image["tags"]) == ("", [])


def test_description_and_tags_may_be_as_long_and_as_many_as_the_rules_say(ada: ApiClient) -> None:
    tags = [f"{number:02}".ljust(64, "\u00e9") for number in range(32)]

    image = ada.uploaded(samples.gif(), description="\u00e9" * 2000, tags=tags)

    assert image["description"] == "\u00e9" * 2000
    assert image["tags"] == tags


@pytest.mark.parametrize("field", ["title", "description", "tags"])
def test_a_text_that_is_not_utf_8_is_refused_and_not_repaired(ada: ApiClient, field: str) -> None:
    form = {field: b"Jos\xe9"}
    answer = ada.request(
        "POST", "/image/upload_image", files={"image": ("a.gif", samples.gif())}, data=form
    )

    assert field_messages(answer) == {field: "This text is not UTF-8"}
    assert ada.images(owner="me").json() == []


def test_a_form_may_say_in_which_charset_its_texts_are(ada: ApiClient) -> None:
    """RFC 7578, 4.6."""
    image = ada.uploaded(samples.gif(), title=b"Jos\xe9", _charset_="iso-8859-1")
    assert image["title"] == "Jos\u00e9"


def test_title_and_visibility_may_come_with_the_file(ada: ApiClient) -> None:
    image = ada.uploaded(ROCKET, title="folder/Lift-off", visibility="private")

    assert image["title"] == "Lift-off"
    assert image["visibility"] == "private"


def test_a_form_without_a_file_is_refused(ada: ApiClient) -> None:
    other_field = ada.request("POST", "/image/upload_image", files={"photo": ("x.jpg", ROCKET)})
    text_field = ada.request(
        "POST",
        "/image/upload_image",
        data=b'--B\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--B--\r\n',
        headers=MULTIPART,
    )

    assert field_messages(other_field) == {
        "photo": "Unknown field or parameter; see /docs",
        "image": "This field is required",
    }
    assert text_field.status_code == 400
    assert "not an image" in text_field.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 256),
        ("title", "photo\u202egpj.exe"),
        ("visibility", "secret"),
        ("description", "x" * 2001),
        ("tags", ["sea", "x" * 65]),
        ("tags", [str(number) for number in range(33)]),
    ],
)
def test_a_field_beside_the_file_that_breaks_a_rule_names_itself(
    ada: ApiClient, field: str, value: Any
) -> None:
    answer = ada.upload(samples.gif(), **{field: value})

    assert field_messages(answer).keys() == {field}
    assert ada.images(owner="me").json() == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"{}", {"Content-Type": "application/json"}),
        (ROCKET, {"Content-Type": "image/jpeg"}),
        (b"", MULTIPART),
        (b"no form at all", MULTIPART),
        (b"--B\r\n", MULTIPART),
        (ROCKET, {"Content-Type": "multipart/form-data"}),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    ada: ApiClient, body: bytes, headers: dict[str, str]
) -> None:
    answer = ada.request("POST", "/image/upload_image", data=body, headers=headers)

    assert field_messages(answer)


@pytest.mark.parametrize(
    ("data", "status", "code", "words"),
    [
        (b"", 400, "empty_file", "empty"),
        (b"This is a letter and no picture.", 400, "not_an_image", "not an image"),
        (ROCKET[:200], 400, "damaged_image", "cut off"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format", "SVG"),
        (samples.png_bomb(64_250, 64_250), 413, "too_many_pixels", "50 megapixels"),
    ],
    ids=["empty", "text", "cut off", "SVG", "bomb"],
)
def test_a_file_that_is_not_accepted_is_refused_with_the_reason(
    ada: ApiClient, data: bytes, status: int, code: str, words: str
) -> None:
    answer = ada.upload(data, "photo.jpg")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"detail", "code"}
    assert words in answer.json()["detail"]
    assert ada.images(owner="me").json() == []


@pytest.mark.parametrize(
    ("size_bytes", "code"),
    [
        (4_500_001, "file_too_large"),
        # More than a function is given: the gateway says it.
        (5_000_000, "request_too_large"),
        (10_000_000, "request_too_large"),
    ],
)
def test_a_file_over_the_limit_is_refused_with_the_limit_and_the_way_round_it(
    ada: ApiClient, size_bytes: int, code: str
) -> None:
    answer = ada.upload(ROCKET.ljust(size_bytes, b"\0"))

    assert (answer.status_code, answer.json()["code"]) == (413, code)
    assert answer.json().keys() == {"detail", "code"}
    assert "4.5 MB" in answer.json()["detail"]
    assert "direct upload" in answer.json()["detail"]


def test_a_file_that_the_gateway_does_not_even_read_is_refused_in_its_own_words(
    ada: ApiClient,
) -> None:
    answer = ada.upload(ROCKET.ljust(11_000_000, b"\0"))

    # API Gateway says this itself, and lets nobody say it otherwise.
    assert answer.status_code == 413
    assert answer.text == "HTTP content length exceeded 10485760 bytes."


def test_a_file_at_the_limit_is_taken(ada: ApiClient) -> None:
    # What follows the end of a JPEG is no part of the picture: it is not served.
    image = ada.uploaded(ROCKET.ljust(4_500_000, b"\0"))

    assert image["size"] == len(ada.download(image["url"]).content) <= len(ROCKET)


def test_damage_that_only_decoding_finds_makes_the_image_failed(ada: ApiClient) -> None:
    data = (
        samples.png()[:33]
        + samples.png_chunk(b"IDAT", b"no compressed pixels")
        + samples.png_chunk(b"IEND", b"")
    )

    answer = ada.upload(data)

    assert answer.status_code == 200
    image = ada.settled(answer.json()["id"], "failed")
    assert "damaged" in image["error"]
    assert image["url"] is None
    assert image["thumbnail_url"] is None


def test_the_same_file_uploaded_twice_is_two_images(ada: ApiClient) -> None:
    first, second = ada.uploaded(ROCKET), ada.uploaded(ROCKET)

    assert first["id"] != second["id"]
    assert first["file_path"] != second["file_path"]
