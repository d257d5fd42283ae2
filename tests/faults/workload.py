"""Users at work, with a model of what their images must look like in the end."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

import requests

from tests import samples
from tests.e2e.api_client import ApiClient

_SIZES = ((96, 64), (64, 96), (120, 80))
_MAKERS = (samples.png, samples.jpeg, samples.gif, samples.webp)
# Its header is right, and no picture comes after it.
_DAMAGED = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
# How many clients of one user send the same request at once, where changes have keys.
_CLIENTS_OF_A_USER = 3
_BATCH_SIZE = 3
# A key is in use, or the function was killed, or a part is down.
_TO_BE_SENT_AGAIN = {409, 503}

# What the storage may take to answer: some of its faults never do.
_SECONDS = 10

Send = Callable[[ApiClient, dict[str, str]], requests.Response]


@dataclass
class ExpectedImage:
    """Each fact is a set: an answer that was no 200 leaves open whether the change was made."""

    image_id: int
    owner: ApiClient
    titles: set[str]
    resolutions: set[str]
    visibilities: set[str] = field(default_factory=lambda: {"shared"})
    gone: set[bool] = field(default_factory=lambda: {False})
    statuses: set[str] = field(default_factory=lambda: {"ready"})
    accepted: int = 1
    uncertain: int = 0
    # Of accepted changes, how many outcomes nobody listened to.
    unheard: int = 0

    @property
    def is_certain(self) -> bool:
        """Whether it is there and can be changed."""
        return self.gone == {False} and self.statuses == {"ready"}

    def change(self, changes: dict[str, str], *, is_accepted: bool) -> None:
        for facts, name in (
            ("titles", "title"),
            ("resolutions", "resolution"),
            ("visibilities", "visibility"),
        ):
            if name in changes:
                wanted = {changes[name]}
                setattr(self, facts, wanted if is_accepted else getattr(self, facts) | wanted)
        self._count(is_accepted)

    def delete(self, *, is_accepted: bool) -> None:
        self.gone = {True} if is_accepted else {False, True}
        self._count(is_accepted)

    def _count(self, is_accepted: bool) -> None:
        self.accepted += is_accepted
        self.uncertain += not is_accepted

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
        facts: list[tuple[str, Collection[Any]]] = [
            ("status", self.statuses),
            # How many changes took effect.
            ("version", range(self.accepted, self.accepted + self.uncertain + 1)),
        ]
        if image["status"] == "ready":
            facts += [
                ("title", self.titles),
                ("resolution", self.resolutions),
                ("visibility", self.visibilities),
            ]
        return [
            f"image {self.image_id}: {name} is {image[name]!r}, not one of {sorted(possible)}"
            for name, possible in facts
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
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._turns = {client: threading.Lock() for client in self._clients}
        self._release: Callable[[str], None] | None = None
        self._repeaters: dict[ApiClient, list[ApiClient]] = {}
        self._uncertain_uploads = Counter[ApiClient]()
        self.images: list[ExpectedImage] = []
        self.answers: Counter[int] = Counter()
        self.unexpected: list[str] = []
        # Whether somebody was bound to the exchange all the while.
        self.is_heard_whole = True
        # Changes, not answers: one that is sent again is accepted once.
        self.accepted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def asked(self) -> int:
        """How many requests for changes were sent."""
        return self.answers.total()

    def send_again(self, release: Callable[[str], None]) -> None:
        """From now on each change has a key, and several clients of its user send it at once, until
        it is accepted, and then once more. `release` ends the lease of a key whose process died.
        """
        for client in self._clients:
            clients = [ApiClient(client.api_url) for _ in range(_CLIENTS_OF_A_USER)]
            for each in clients:
                each.token = client.token
                self._stack.enter_context(each)
            self._repeaters[client] = clients
        self._release = release

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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Every request is answered, and none is sent inside."""
        self._may_go_on.clear()
        try:
            with ExitStack() as stack:
                for turn in self._turns.values():
                    stack.enter_context(turn)
                yield
        finally:
            self._may_go_on.set()

    def remembered(self) -> list[ExpectedImage]:
        """The images as they are now, for `go_back_to`."""
        return [copy(image) for image in self.images]

    def go_back_to(self, remembered: list[ExpectedImage]) -> None:
        """Nobody knows of what was accepted since, but files have gone with it: an image that was
        changed may have failed, and is left alone.
        """
        since = {image.image_id: image for image in self.images}
        for image in remembered:
            if image != since[image.image_id]:
                image.statuses = {"ready", "failed"}
            image.unheard = image.accepted
        self.images[:] = remembered

    def upload(self) -> ExpectedImage | None:
        """One upload of the first user's; the image when it was accepted."""
        return self._upload(self._clients[0], self._random)

    def differences(self) -> list[str]:
        """Where what clients see is not what was accepted."""
        return [
            *(line for image in self.images for line in image.differences(self._stranger(image))),
            *(line for client in self._clients for line in self._surplus(client)),
        ]

    @property
    def image_ids(self) -> list[int]:
        return [image.image_id for image in self.images]

    def untold(self, told: Mapping[int, int]) -> list[str]:
        """Images of which not every accepted change had an outcome; `told`: how many each had."""
        return [
            f"image {image.image_id}: {told[image.image_id]} outcomes of {image.accepted} changes"
            for image in self.images
            if self.is_heard_whole
            if told[image.image_id] < image.accepted - image.unheard
        ]

    def told_too_often(self, told: Mapping[int, int]) -> list[int]:
        """Images with more outcomes than changes were asked for."""
        return [
            image.image_id
            for image in self.images
            if told[image.image_id] > image.accepted + image.uncertain
        ]

    def _surplus(self, client: ApiClient) -> list[str]:
        """Images that nobody has uploaded, or one that was uploaded once and is there twice."""
        own = [image.gone for image in self.images if image.owner is client]
        fewest = own.count({False})
        most = len(own) - own.count({True}) + self._uncertain_uploads[client]
        there = int(client.images(owner="me", limit=1).headers["X-Total-Count"])
        if fewest <= there <= most:
            return []
        return [f"{client.username} has {there} images, not {fewest} to {most}"]

    def _stranger(self, image: ExpectedImage) -> ApiClient:
        return next(client for client in self._clients if client is not image.owner)

    def _work(self, client: ApiClient, random: Random, is_enough: Callable[[int], bool]) -> None:
        while not is_enough(self.asked):
            self._may_go_on.wait()
            with self._turns[client]:
                self._ask(client, random)

    def _ask(self, client: ApiClient, random: Random) -> None:
        with self._lock:
            there = [it for it in self.images if it.owner is client and it.gone == {False}]
        own = [image for image in there if image.is_certain]
        choice = random.random()
        if not own or choice < 0.4:
            self._upload(client, random)
        elif choice < 0.8:
            self._update(random.choice(own), random)
        elif choice < 0.85:
            self._update_all(random.sample(own, min(len(own), _BATCH_SIZE)), random)
        else:
            self._delete(random.choice(there), random)

    def _upload(self, client: ApiClient, random: Random) -> ExpectedImage | None:
        width, height = random.choice(_SIZES)
        data, statuses = random.choice(_MAKERS)(samples.photo(width, height)), {"ready"}
        if random.random() < 0.1:
            data, statuses = _DAMAGED, {"failed"}
        title = f"picture {next(self._numbers)}"
        send = self._sending(client, random, data, title)
        if send is None:
            return None
        answer = self._answer(client, random, send)
        if answer.status_code != 200:
            self._uncertain_uploads[client] += 1
            return None
        image = ExpectedImage(
            answer.json()["id"], client, {title}, {f"{width}x{height}"}, statuses=statuses
        )
        with self._lock:
            self.accepted += 1
            self.images.append(image)
        return image

    def _sending(self, client: ApiClient, random: Random, data: bytes, title: str) -> Send | None:
        """The request that uploads it; None: it did not come into the storage before."""
        if random.random() < 0.8:
            return lambda each, headers: each.upload(data, "photo", headers=headers, title=title)
        begun = client.request("POST", "/image/direct_upload")
        if begun.status_code != 200:
            return None
        offer = begun.json()
        try:
            sent = requests.post(
                offer["url"], data=offer["fields"], files={"file": data}, timeout=_SECONDS
            )
        except requests.RequestException:
            return None
        if not sent.ok:
            return None
        path, details = f"/image/direct_upload/{offer['upload_id']}", {"title": title}
        return lambda each, headers: each.request("POST", path, json=details, headers=headers)

    def _update(self, image: ExpectedImage, random: Random) -> None:
        changes: dict[str, str] = {"title": f"title {next(self._numbers)}"}
        if random.random() < 0.5:
            changes["resolution"] = f"{random.randint(16, 160)}x{random.randint(16, 160)}"
        if random.random() < 0.3:
            changes["visibility"] = random.choice(["private", "shared"])
        answer = self._answer(
            image.owner,
            random,
            lambda each, headers: each.update(image.image_id, headers=headers, **changes),
        )
        self._changed(image, changes, is_accepted=answer.status_code == 200)

    def _update_all(self, images: list[ExpectedImage], random: Random) -> None:
        changes = {"title": f"title {next(self._numbers)}"}
        request = {"ids": [image.image_id for image in images], "changes": changes}
        answer = self._answer(
            images[0].owner,
            random,
            lambda each, headers: each.request(
                "POST", "/image/batch", json=request, headers=headers
            ),
        )
        accepted = set()
        if answer.status_code == 200:
            results = answer.json()["results"]
            accepted = {each["id"] for each in results if each["status_code"] == 200}
            with self._lock:
                self.unexpected += [str(each) for each in results if each["status_code"] != 200]
        for image in images:
            self._changed(image, changes, is_accepted=image.image_id in accepted)

    def _changed(self, image: ExpectedImage, changes: dict[str, str], *, is_accepted: bool) -> None:
        image.change(changes, is_accepted=is_accepted)
        hidden = image.shown_to(self._stranger(image)) if is_accepted else []
        with self._lock:
            self.accepted += is_accepted
            self.unexpected += hidden

    def _delete(self, image: ExpectedImage, random: Random) -> None:
        answer = self._answer(
            image.owner,
            random,
            lambda each, headers: each.delete(image.image_id, headers=headers),
        )
        is_accepted = answer.status_code == 200
        image.delete(is_accepted=is_accepted)
        with self._lock:
            self.accepted += is_accepted

    def _answer(self, client: ApiClient, random: Random, send: Send) -> requests.Response:
        if self._release is None:
            return self._answered(send(client, {}))
        key = f"key-{random.getrandbits(64):016x}"

        def ask(each: ApiClient) -> requests.Response:
            return self._answered(send(each, {"Idempotency-Key": key}))

        repeaters = self._repeaters[client]
        while True:
            with ThreadPoolExecutor(len(repeaters)) as threads:
                answers = list(threads.map(ask, repeaters))
            accepted = [answer for answer in answers if answer.status_code == 200]
            if accepted:
                break
            for answer in answers:
                if answer.status_code not in _TO_BE_SENT_AGAIN:
                    return answer
            self._release(key)
        again = ask(client)
        different = [
            answer.text
            for answer in (*accepted, again)
            if answer.status_code == 200 and answer.json() != accepted[0].json()
        ]
        with self._lock:
            self.unexpected += [f"{accepted[0].text}, and then {each}" for each in different]
        return accepted[0]

    def _answered(self, answer: requests.Response) -> requests.Response:
        status_code = answer.status_code
        comes_back = answer.headers.get("Retry-After", "").isdecimal()
        is_busy = status_code == 409 and self._release is not None
        with self._lock:
            self.answers[status_code] += 1
            if comes_back and (status_code == 503 or is_busy):
                return answer
            if status_code != 200:
                self.unexpected.append(
                    f"{answer.request.method} {answer.request.path_url}: "
                    f"{status_code} {answer.text}"
                )
        return answer
