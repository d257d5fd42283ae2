"""In-memory stand-ins for what the use cases need, with the same guarantees as the real ones."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from image_api.core import events
from image_api.core.accounts import SignInAttempt
from image_api.core.events import Event
from image_api.core.images import Caller, ListQuery
from image_api.core.messages import Message
from image_api.core.processing import ImageState, StoredRendition
from image_api.core.uploads import NewImage
from image_api.errors import (
    ObjectMissing,
    ServiceUnavailable,
    Unauthenticated,
    UploadNotFound,
    UsernameTaken,
)

OCCURRED_AT = "2026-01-02T03:04:05.000006Z"


@dataclass
class FakeUserRecords:
    """`retry_after_seconds` is what the throttles answer next."""

    retry_after_seconds: int = 0
    users: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    registering: list[str] = field(default_factory=list)
    attempts: list[tuple[str, str]] = field(default_factory=list)
    successes: list[tuple[str, str, int, str | None]] = field(default_factory=list)

    def begin_registration(self, address: str) -> int:
        self.registering.append(address)
        return self.retry_after_seconds

    def add(self, username: str, username_key: str, password_hash: str) -> int:
        if username_key in self.users:
            raise UsernameTaken
        user_id = len(self.users) + 1
        self.users[username_key] = (user_id, username, password_hash)
        return user_id

    def begin_sign_in(self, username_key: str, address: str) -> SignInAttempt:
        self.attempts.append((username_key, address))
        user_id, _, password_hash = self.users.get(username_key, (None, None, None))
        return SignInAttempt(user_id, password_hash, self.retry_after_seconds)

    def sign_in_succeeded(
        self, username_key: str, address: str, user_id: int, new_password_hash: str | None
    ) -> None:
        self.successes.append((username_key, address, user_id, new_password_hash))


@dataclass
class FakeStorage:
    """Objects by key; `fault`, called before each operation, may raise what the real one raises."""

    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    fault: Callable[[str, str], None] = lambda _operation, _key: None
    operations: list[tuple[str, str]] = field(default_factory=list)

    def put(self, key: str, data: bytes, content_type: str) -> None:
        self._begin("put", key)
        self.objects[key] = (data, content_type)

    def get(self, key: str) -> bytes:
        self._begin("get", key)
        if key not in self.objects:
            raise ObjectMissing
        return self.objects[key][0]

    def get_if_present(self, key: str) -> bytes | None:
        self._begin("get", key)
        return self.objects[key][0] if key in self.objects else None

    def presigned_post(
        self, key: str, max_bytes: int, ttl_seconds: int
    ) -> tuple[str, dict[str, str]]:
        return "https://storage.example.com/", {"key": key, "policy": f"{max_bytes} bytes"}

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._begin("delete", key)
            self.objects.pop(key, None)

    def delete_folder(self, prefix: str) -> None:
        assert prefix.endswith("/"), "or a longer name would go as well"
        self.delete([key for key in self.objects if key.startswith(prefix)])

    def _begin(self, operation: str, key: str) -> None:
        self.operations.append((operation, key))
        self.fault(operation, key)


class FakeUrlSigner:
    def signed(self, key: str) -> str:
        return f"https://storage.example.com/{key}?signed"


@dataclass
class RecordingSink:
    events: list[Event] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class FakeImageRecords:
    """Images by id, as clients see them but with object keys for links."""

    users: set[int]
    images: dict[int, dict[str, Any]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def require_user(self, user_id: int) -> None:
        self.log.append("require_user")
        if user_id not in self.users:
            raise Unauthenticated("This account no longer exists")

    def accept_upload(self, caller: Caller, image: NewImage) -> Event:
        self.log.append("accept_upload")
        if caller.user_id not in self.users:
            raise Unauthenticated("This account no longer exists")
        if any(image.original_key == other["original_key"] for other in self.images.values()):
            raise UploadNotFound
        image_id = len(self.images) + 1
        self.images[image_id] = {
            "id": image_id,
            "user_id": caller.user_id,
            "title": image.title,
            "visibility": image.visibility,
            "original_key": image.original_key,
            "file_path": image.original_key,
            "content_type": image.content_type,
            "size": image.size_bytes,
            "resolution": f"{image.width}x{image.height}",
            "url": None,
            "thumbnail_url": None,
        }
        return _event(events.UPLOAD_REQUESTED, image_id, 1, {}, caller.correlation_id)

    def accept_update(
        self, caller: Caller, image_id: int, changes: Mapping[str, str]
    ) -> Event | None:
        if self._own(caller.user_id, image_id) is None:
            return None
        data = {"changes": dict(changes)}
        return _event(events.UPDATE_REQUESTED, image_id, 2, data, caller.correlation_id)

    def accept_delete(self, caller: Caller, image_id: int) -> Event | None:
        if self._own(caller.user_id, image_id) is None:
            return None
        del self.images[image_id]
        return _event(events.DELETE_REQUESTED, image_id, 2, {}, caller.correlation_id)

    def find(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        image = self.images.get(image_id)
        if image is None or (image["visibility"] == "private" and image["user_id"] != user_id):
            return None
        return dict(image)

    def page(self, user_id: int, query: ListQuery) -> tuple[list[dict[str, Any]], int]:
        visible = [
            dict(image)
            for image_id in sorted(self.images, reverse=True)
            if (image := self.find(user_id, image_id)) is not None
        ]
        after = [
            image for image in visible if query.before_id is None or image["id"] < query.before_id
        ]
        return after[: query.limit + 1], len(visible)

    def _own(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        image = self.images.get(image_id)
        return image if image is not None and image["user_id"] == user_id else None


@dataclass
class FakePublisher:
    """The broker; `messages` are those of the default exchange, by queue."""

    messages: list[tuple[str, Message]] = field(default_factory=list)
    down: bool = False

    def publish(self, exchange: str, routing_key: str, message: Message) -> None:
        assert exchange == "", "the consumer sends to its own queues only"
        if self.down:
            raise ServiceUnavailable("The broker did not take the message; try again")
        self.messages.append((routing_key, message))

    def to(self, queue: str) -> list[Message]:
        return [message for routing_key, message in self.messages if routing_key == queue]


@dataclass
class ProcessedImage:
    """A row of `images` with its rows of `renditions`."""

    original_key: str
    title: str = "photo.png"
    visibility: str = "shared"
    status: str = "processing"
    error: str | None = None
    accepted_sequence: int = 1
    applied_sequence: int = 0
    rendered: bool = False
    deleted: bool = False
    renditions: dict[str, StoredRendition] = field(default_factory=dict)


@dataclass
class FakeProcessingRecords:
    """Tables in memory. Each writer applies event, inbox row and outcome together, or nothing."""

    images: dict[int, ProcessedImage] = field(default_factory=dict)
    inbox: set[str] = field(default_factory=set)
    outcomes: list[tuple[Event, Event]] = field(default_factory=list)
    published: list[Event] = field(default_factory=list)
    down: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def state(self, event: Event) -> tuple[bool, ImageState | None]:
        with self.lock:
            self._answer()
            image = self.images.get(event.image_id)
            applied = event.id in self.inbox
            if image is None:
                return applied, None
            return applied, ImageState(
                original_key=image.original_key,
                applied_sequence=image.applied_sequence,
                rendered=image.rendered,
                failed=image.status == "failed",
                deleted=image.deleted,
                rendition_keys=tuple(r.object_key for r in image.renditions.values()),
            )

    def complete(
        self,
        event: Event,
        outcome_type: str,
        renditions: list[StoredRendition],
        *,
        after_failure: bool = False,
    ) -> Event | None:
        with self.lock:
            image = self._failed_by(event) if after_failure else self._next(event)
            if image is None:
                return None
            changes = event.data.get("changes") or {}
            image.title = changes.get("title") or image.title
            image.visibility = changes.get("visibility") or image.visibility
            image.status = self._status(image, event, "ready")
            image.error = None
            image.rendered = True
            image.renditions.update({rendition.name: rendition for rendition in renditions})
            return self._applied(event, outcome_type, {"status": "ready"})

    def fail(self, event: Event, outcome_type: str, reason: str) -> Event | None:
        with self.lock:
            self._answer()
            image = self.images.get(event.image_id)
            if image is None or image.applied_sequence >= event.sequence or event.id in self.inbox:
                return None
            image.status = self._status(image, event, "failed")
            image.error = reason
            return self._applied(event, outcome_type, {"status": "failed", "error": reason})

    def reject(self, event: Event, outcome_type: str | None, reason: str) -> Event | None:
        with self.lock:
            self._answer()
            if event.id in self.inbox:
                return None
            self.inbox.add(event.id)
            if outcome_type is None:
                return None
            return self._outcome(event, outcome_type, {"status": "failed", "error": reason})

    def remove(self, event: Event, outcome_type: str) -> Event | None:
        with self.lock:
            image = self._next(event)
            if image is None:
                return None
            del self.images[event.image_id]
            return self._applied(event, outcome_type, {})

    def publish(self, event: Event) -> None:
        with self.lock:
            self.published.append(event)

    def _answer(self) -> None:
        if self.down:
            raise ServiceUnavailable("The database did not answer; try again")

    def _next(self, event: Event) -> ProcessedImage | None:
        """The image, when this event is the next to be applied to it."""
        self._answer()
        image = self.images.get(event.image_id)
        if image is None or image.applied_sequence != event.sequence - 1:
            return None
        return None if event.id in self.inbox else image

    def _failed_by(self, event: Event) -> ProcessedImage | None:
        """The image, when this event was given up and nothing was applied since."""
        self._answer()
        image = self.images.get(event.image_id)
        if image is None or image.deleted or image.status != "failed":
            return None
        return image if image.applied_sequence == event.sequence else None

    def _applied(self, event: Event, outcome_type: str, data: dict[str, Any]) -> Event:
        if event.image_id in self.images:
            self.images[event.image_id].applied_sequence = event.sequence
        self.inbox.add(event.id)
        return self._outcome(event, outcome_type, data)

    def _outcome(self, event: Event, outcome_type: str, data: dict[str, Any]) -> Event:
        outcome = _event(outcome_type, event.image_id, event.sequence, data, event.correlation_id)
        self.outcomes.append((event, outcome))
        return copy.deepcopy(outcome)

    @staticmethod
    def _status(image: ProcessedImage, event: Event, last: str) -> str:
        return "processing" if image.accepted_sequence > event.sequence else last


def _event(
    event_type: str, image_id: int, sequence: int, data: dict[str, Any], correlation_id: str
) -> Event:
    return Event(events.new_id(), event_type, image_id, sequence, data, correlation_id, OCCURRED_AT)
