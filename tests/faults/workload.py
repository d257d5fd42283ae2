"""Users at work, with a model of what their images must look like in the end."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

import requests

from tests import samples
from tests.e2e.api_client import ApiClient

_SIZES = ((96, 64), (64, 96), (120, 80))
_MAKERS = (samples.png, samples.jpeg, samples.gif, samples.webp)


@dataclass
class ExpectedImage:
    """Each fact is a set: an answer that was no 200 leaves open whether the change was made."""

    image_id: int
    owner: ApiClient
    titles: set[str]
    resolutions: set[str]
    visibilities: set[str] = field(default_factory=lambda: {"shared"})
    gone: set[bool] = field(default_factory=lambda: {False})
    accepted: int = 1
    uncertain: int = 0

    def differences(self, stranger: ApiClient) -> list[str]:
        """In which ways the API's answers contradict the model."""
        return [*self._to_owner(), *self.shown_to(stranger)]

    def shown_to(self, stranger: ApiClient) -> list[str]:
        """From the answer on that hides it, nobody else sees an image."""
        if self.visibilities == {"private"} and stranger.image(self.image_id).status_code == 200:
            return [f"image {self.image_id} is hidden and shown"]
        return []

    def _to_owner(self) -> list[str]:
        answer = self.owner.image(self.image_id)
        if answer.status_code == 404:
            return [] if True in self.gone else [f"image {self.image_id} is lost"]
        if answer.status_code != 200:
            return [f"image {self.image_id}: {answer.status_code} {answer.text}"]
        if False not in self.gone:
            return [f"image {self.image_id} is still there"]
        image = answer.json()
        return [
            f"image {self.image_id}: {name} is {image[name]!r}, not one of {sorted(possible)}"
            for name, possible in (
                ("status", {"ready"}),
                ("title", self.titles),
                ("resolution", self.resolutions),
                ("visibility", self.visibilities),
            )
            if image[name] not in possible
        ]


class Workload:
    """Several users at once; each changes images of their own, one change after the other."""

    def __init__(self, api_url: str, seed: int, users: int = 4) -> None:
        self._random = Random(seed)
        self._stack = ExitStack()
        self._clients = [self._stack.enter_context(ApiClient(api_url)) for _ in range(users)]
        for client in self._clients:
            client.sign_up()
        self._seeds = [self._random.random() for _ in self._clients]
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.images: list[ExpectedImage] = []
        self.answers: Counter[int] = Counter()
        self.unexpected: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def asked(self) -> int:
        """How many changes were asked for."""
        return self.answers.total()

    @property
    def accepted(self) -> int:
        return self.answers[200]

    def run(self, is_enough: Callable[[int], bool]) -> None:
        """Until `is_enough`, asked with the count of requests, says so."""
        with ThreadPoolExecutor(len(self._clients)) as threads:
            running = [
                threads.submit(self._work, client, Random(seed), is_enough)
                for client, seed in zip(self._clients, self._seeds, strict=True)
            ]
            for work in running:
                work.result()
        self._seeds = [self._random.random() for _ in self._clients]

    def upload(self) -> ExpectedImage | None:
        """One upload of the first user's; the image when it was accepted."""
        return self._upload(self._clients[0], self._random)

    def differences(self) -> list[str]:
        """Where what clients see is not what was accepted."""
        return [line for image in self.images for line in image.differences(self._stranger(image))]

    def _stranger(self, image: ExpectedImage) -> ApiClient:
        return next(client for client in self._clients if client is not image.owner)

    def _work(self, client: ApiClient, random: Random, is_enough: Callable[[int], bool]) -> None:
        own = [image for image in self.images if image.owner is client and image.gone == {False}]
        while not is_enough(self.asked):
            choice = random.random()
            if not own or choice < 0.4:
                if (image := self._upload(client, random)) is not None:
                    own.append(image)
            elif choice < 0.85:
                self._update(random.choice(own), random)
            else:
                self._delete(own.pop(random.randrange(len(own))))

    def _upload(self, client: ApiClient, random: Random) -> ExpectedImage | None:
        width, height = random.choice(_SIZES)
        data = random.choice(_MAKERS)(samples.photo(width, height))
        title = f"picture {next(self._numbers)}"
        answer = self._answered(client.upload(data, "photo", title=title))
        if answer.status_code != 200:
            return None
        image = ExpectedImage(answer.json()["id"], client, {title}, {f"{width}x{height}"})
        with self._lock:
            self.images.append(image)
        return image

    def _update(self, image: ExpectedImage, random: Random) -> None:
        changes: dict[str, Any] = {"title": f"title {next(self._numbers)}"}
        if random.random() < 0.5:
            changes["resolution"] = f"{random.randint(16, 160)}x{random.randint(16, 160)}"
        if random.random() < 0.3:
            changes["visibility"] = random.choice(["private", "shared"])
        answer = self._answered(image.owner.update(image.image_id, **changes))
        wanted = {changes["title"]}
        sizes = {changes["resolution"]} if "resolution" in changes else image.resolutions
        shown = {changes["visibility"]} if "visibility" in changes else image.visibilities
        if answer.status_code == 200:
            image.titles, image.resolutions, image.visibilities = wanted, set(sizes), set(shown)
            image.accepted += 1
            hidden = image.shown_to(self._stranger(image))
            with self._lock:
                self.unexpected += hidden
        else:
            image.titles, image.resolutions = image.titles | wanted, image.resolutions | sizes
            image.visibilities = image.visibilities | shown
            image.uncertain += 1

    def _delete(self, image: ExpectedImage) -> None:
        answer = self._answered(image.owner.delete(image.image_id))
        if answer.status_code == 200:
            image.gone = {True}
            image.accepted += 1
        else:
            image.gone = {False, True}
            image.uncertain += 1

    def _answered(self, answer: requests.Response) -> requests.Response:
        with self._lock:
            self.answers[answer.status_code] += 1
            if answer.status_code == 503 and answer.headers.get("Retry-After", "").isdecimal():
                return answer
            if answer.status_code != 200:
                self.unexpected.append(
                    f"{answer.request.method} {answer.request.path_url}: "
                    f"{answer.status_code} {answer.text}"
                )
        return answer
