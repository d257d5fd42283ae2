"""What comes back from a renderer is measured; one that has no time is left in peace."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from image_api.core.change_log.changes import StoredRendition
from image_api.core.renditions import render_requests
from image_api.core.renditions.render_requests import (
    Picture,
    RendererBusy,
    RendererFailed,
    Renderings,
)
from image_api.core.upkeep.rerendering import OutdatedImage, rerender
from image_api.errors import ServiceUnavailable
from image_api.imaging import RENDERER_VERSION
from image_api.imaging.pixels.rendering import render
from tests import samples
from tests.fakes import FakeStorage
from tests.unit.core.consumer_bench import FakeRenderer
from tests.waiting import PATIENCE_SECONDS

ORIGINAL = "storage/6f1c/original.png"
PICTURE = Picture(ORIGINAL, "storage/6f1c/2-abcd", None, "cover")


@pytest.fixture
def storage() -> FakeStorage:
    return FakeStorage({ORIGINAL: (samples.png(), "image/png")})


@dataclass
class Answering:
    """The renderer's function, which has done its work already."""

    answer: bytes

    def invoke(self, payload: bytes, wait_seconds: float) -> bytes:
        return self.answer


def answer_about(storage: FakeStorage, **changes: Any) -> bytes:
    """What a renderer says that has stored everything."""
    claims = []
    for made in render(storage.objects[ORIGINAL][0]):
        storage.put(f"{PICTURE.folder}/{made.name}.{made.extension}", made.data, made.content_type)
        claims.append(
            {
                "name": made.name,
                "extension": made.extension,
                "width": made.width,
                "height": made.height,
                "size_bytes": len(made.data),
            }
        )
    report = {"renditions": claims, "renderer_version": RENDERER_VERSION, **changes}
    return json.dumps(report).encode()


def made_of(storage: FakeStorage, answer: bytes) -> list[StoredRendition]:
    return Renderings(Answering(answer), FakeRenderer(storage), storage).render(PICTURE)


def test_what_a_renderer_stored_is_described_as_it_was_measured(storage: FakeStorage) -> None:
    made = made_of(storage, answer_about(storage))

    assert [(rendition.name, rendition.content_type) for rendition in made] == [
        ("image", "image/png"),
        ("preview", "image/webp"),
        ("thumbnail", "image/webp"),
    ]
    assert {(rendition.width, rendition.height) for rendition in made} == {(96, 64)}


def test_a_rendition_that_is_no_picture_is_the_renderers_fault(storage: FakeStorage) -> None:
    """And not the owner's: InvalidImage would say that the upload was bad."""
    answer = answer_about(storage)
    key = f"{PICTURE.folder}/preview.webp"
    data, content_type = storage.objects[key]
    storage.put(key, b"<script>".ljust(len(data)), content_type)

    with pytest.raises(RendererFailed, match=r"^The preview that the renderer stored is not valid"):
        made_of(storage, answer)


def test_of_a_rendition_no_more_is_read_than_the_renderer_has_spoken_of(
    storage: FakeStorage,
) -> None:
    answer = answer_about(storage)
    key = f"{PICTURE.folder}/preview.webp"
    data, content_type = storage.objects[key]
    storage.put(key, data + b"\0" * 1000, content_type)
    read: dict[str, int] = {}

    class Watched(FakeStorage):
        def get_up_to(self, key: str, max_bytes: int) -> bytes:
            found = super().get_up_to(key, max_bytes)
            read[key] = len(found)
            return found

    with pytest.raises(RendererFailed, match=r"^The preview that .* is not what it says$"):
        made_of(Watched(storage.objects), answer)
    assert read[key] == len(data) + 1


@pytest.mark.parametrize("size_bytes", [None, 0, -1, 1e3, "1000", 300_000_000])
def test_a_size_that_no_rendition_has_is_refused_before_anything_is_read(
    storage: FakeStorage, size_bytes: object
) -> None:
    report = json.loads(answer_about(storage))
    report["renditions"][0]["size_bytes"] = size_bytes
    del storage.objects[f"{PICTURE.folder}/image.png"]

    with pytest.raises(RendererFailed, match=r"^The image that .* is not what it says$"):
        made_of(storage, json.dumps(report).encode())


@pytest.mark.parametrize(("large_bytes", "meet"), [(10, False), (10**6, True)])
def test_of_large_results_one_is_in_memory_at_a_time(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, large_bytes: int, meet: bool
) -> None:
    monkeypatch.setattr(render_requests, "_LARGE_BYTES", large_bytes)
    answer, all_three = answer_about(storage), Barrier(3)

    class Meeting(FakeStorage):
        def get_up_to(self, key: str, max_bytes: int) -> bytes:
            with suppress(BrokenBarrierError):
                # Who does not meet anybody is not to: then a moment is enough.
                all_three.wait(PATIENCE_SECONDS if meet else 0.5)
            return super().get_up_to(key, max_bytes)

    made_of(Meeting(storage.objects), answer)
    assert all_three.broken is not meet


@pytest.mark.parametrize("version", [None, "1", -1, 1.0, [1]])
def test_a_renderer_that_does_not_say_its_version_has_failed(
    storage: FakeStorage, version: object
) -> None:
    with pytest.raises(RendererFailed, match=r"^The renderer does not say its version$"):
        made_of(storage, answer_about(storage, renderer_version=version))


@dataclass
class Outdated:
    """Images that an older renderer made, one after another."""

    left: list[OutdatedImage]
    replaced: list[int] = field(default_factory=list)

    def begin(self, version: int, max_attempts: int) -> OutdatedImage | None:
        return self.left.pop(0) if self.left else None

    def replace(
        self, image: OutdatedImage, renditions: list[StoredRendition], taken_at: str | None
    ) -> bool:
        self.replaced.append(image.image_id)
        return True


def outdated(count: int) -> Outdated:
    return Outdated(
        [
            OutdatedImage(
                image_id, 1, ORIGINAL, ((96, 64), "cover"), (96, 64), ("storage/6f1c/old",)
            )
            for image_id in range(count)
        ]
    )


@pytest.mark.parametrize("outage", [RendererBusy(), ServiceUnavailable("away")], ids=str)
def test_rendering_anew_leaves_a_renderer_to_whoever_has_more_haste(
    storage: FakeStorage, outage: Exception
) -> None:
    images, pauses = outdated(3), list[float]()
    renderer = FakeRenderer(storage)
    once = iter([renderer.invoke])

    def busy_from_the_second_on(payload: bytes, wait_seconds: float) -> bytes:
        invoke = next(once, None)
        if invoke is None:
            raise outage
        return invoke(payload, wait_seconds)

    renderer.invoke = busy_from_the_second_on  # type: ignore[method-assign]
    counts = rerender(
        images,
        Renderings(renderer, renderer, storage),
        storage,
        remaining_milliseconds=lambda: 300_000,
        pause=pauses.append,
    )

    assert counts == {"replaced": 1, "overtaken": 0, "failed": 0, "finished": False}
    assert (images.replaced, [image.image_id for image in images.left]) == ([0], [2])
    assert len(pauses) == 1
