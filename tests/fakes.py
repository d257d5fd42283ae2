"""In-memory stand-ins for what the use cases need, with the same guarantees as the real ones."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from image_api.core.accounts.sessions import REPEAT_SECONDS, Rotation
from image_api.core.accounts.users import SignInAttempt
from image_api.core.change_log import events
from image_api.core.change_log.changes import (
    CRASH_PAUSE_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    AppliedChange,
    ImageState,
    LeftRendering,
    LoggedChange,
    StoredRendition,
    Work,
)
from image_api.core.change_log.dead_letters import Letter
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import Message
from image_api.core.library.idempotency import Answer
from image_api.core.library.images import Caller
from image_api.core.library.listing import FoundPage, ListQuery, Position
from image_api.core.library.uploads import NewImage
from image_api.core.renditions.downloads import Original
from image_api.core.renditions.links import LinkFacts
from image_api.errors import (
    ImageApiError,
    KeyReused,
    MessageRefused,
    ObjectMissing,
    PreconditionFailed,
    RequestInProgress,
    ServiceUnavailable,
    Unauthenticated,
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
    successes: list[tuple[str, str, int]] = field(default_factory=list)
    generations: dict[int, int] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    locked: set[int] = field(default_factory=set)

    def begin_registration(self, network: str) -> int:
        self.registering.append(network)
        return self.retry_after_seconds

    def add(
        self, username: str, username_key: str, password_hash: str, network: str | None = None
    ) -> int:
        if username_key in self.users:
            raise UsernameTaken
        user_id = len(self.users) + 1
        self.users[username_key] = (user_id, username, password_hash)
        return user_id

    def begin_sign_in(self, username_key: str, network: str, typed_key: str) -> SignInAttempt:
        self.attempts.append((username_key, network))
        found = self.users.get(typed_key) or self.users.get(username_key)
        user_id, _, password_hash = found or (None, None, None)
        generation = self.generations.get(user_id, 0) if user_id is not None else 0
        return SignInAttempt(
            user_id, password_hash, self.retry_after_seconds, generation, user_id in self.locked
        )

    def sign_in_succeeded(self, username_key: str, network: str, user_id: int) -> None:
        self.successes.append((username_key, network, user_id))

    def replace_hash(self, user_id: int, old_hash: str, new_hash: str) -> bool:
        key = self.username_key(user_id)
        _, username, password_hash = self.users[key]
        if password_hash == old_hash:
            self.users[key] = (user_id, username, new_hash)
        return password_hash == old_hash

    def username_key(self, user_id: int) -> str:
        for key, (other_id, _, _) in self.users.items():
            if other_id == user_id:
                return key
        raise Unauthenticated("This account no longer exists")

    def change_password(self, user_id: int, old_hash: str, new_hash: str) -> int | None:
        if not self.replace_hash(user_id, old_hash, new_hash):
            return None
        self.generations[user_id] = self.generations.get(user_id, 0) + 1
        return self.generations[user_id]

    def close(self, user_id: int, password_hash: str, correlation_id: str) -> bool:
        key = self.username_key(user_id)
        if self.users[key][2] != password_hash:
            return False
        del self.users[key]
        return True

    def forget_failures(self, username_key: str) -> None:
        self.forgotten.append(username_key)


@dataclass
class FakeSessionRecords:
    """Families by id: whose, of which generation, and the hash of the token that is good. `now` is
    in seconds.
    """

    families: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)
    used: dict[bytes, tuple[float, bytes]] = field(default_factory=dict)
    now: float = 0.0

    def begin(self, user_id: int, generation: int, family_id: str, token_hash: bytes) -> None:
        self.families[family_id] = (user_id, generation, token_hash)

    def rotate(
        self, family_id: str, token_hash: bytes, successor_hash: bytes, sealed_successor: bytes
    ) -> Rotation | None:
        if family_id not in self.families:
            return None
        user_id, generation, current_hash = self.families[family_id]
        if token_hash == current_hash:
            self.families[family_id] = (user_id, generation, successor_hash)
            self.used[token_hash] = (self.now, sealed_successor)
            return Rotation("rotated", user_id, generation)
        used_at, sealed = self.used.get(token_hash, (float("-inf"), b""))
        if self.now - used_at <= REPEAT_SECONDS:
            return Rotation("repeated", user_id, generation, sealed)
        self.end(family_id)
        return Rotation("reused", user_id, generation)

    def end(self, family_id: str) -> None:
        self.families.pop(family_id, None)


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

    def get_up_to(self, key: str, max_bytes: int) -> bytes:
        return self.get(key)[: max_bytes + 1]

    def get_if_present(self, key: str) -> bytes | None:
        self._begin("get", key)
        return self.objects[key][0] if key in self.objects else None

    def presigned_post(
        self, key: str, max_bytes: int, ttl_seconds: int
    ) -> tuple[str, dict[str, str]]:
        return "https://storage.example.com/", {"key": key, "policy": f"{max_bytes} bytes"}

    def copy(self, key: str, new_key: str) -> None:
        self._begin("copy", key)
        if key not in self.objects:
            raise ObjectMissing
        self.objects[new_key] = self.objects[key]

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._begin("delete", key)
            self.objects.pop(key, None)

    def delete_all_versions(self, key: str) -> None:
        self.delete([key])

    def delete_folder(self, prefix: str) -> None:
        assert prefix.endswith("/"), "or a longer name would go as well"
        self.delete([key for key in self.objects if key.startswith(prefix)])

    def versions(self, prefix: str) -> list[tuple[str, str]]:
        self._begin("list", prefix)
        return [(key, "null") for key in self.objects if key.startswith(prefix)]

    def delete_versions(self, versions: list[tuple[str, str]]) -> None:
        self.delete([key for key, _ in versions])

    def _begin(self, operation: str, key: str) -> None:
        self.operations.append((operation, key))
        self.fault(operation, key)


class FakeUrlSigner:
    def signed(self, key: str) -> str:
        return f"https://storage.example.com/{key}?signed"

    def signed_download(self, key: str, filename: str) -> str:
        return f"https://storage.example.com/{key}?signed&as={filename}"

    def rendition(self, image_id: int, facts: LinkFacts) -> str:
        return f"https://api.example.com/image/{image_id}/rendition?token={facts.generation}"


@dataclass
class RecordingSink:
    events: list[Event] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class FakeClaim:
    claim_id: str
    request_hash: bytes
    kept_seconds: int
    answer: Answer | None = None


@dataclass
class FakeImageRecords:
    """Images by id, as clients see them but with object keys for links."""

    users: set[int]
    images: dict[int, dict[str, Any]] = field(default_factory=dict)
    claims: dict[tuple[int, str], FakeClaim] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    # What the account's limits answer next, and from when on.
    refusal: ImageApiError | None = None
    refuses: str = "require_room"
    offered: list[str] = field(default_factory=list)

    def claim_key(
        self, user_id: int, key: str, request_hash: bytes, claim_id: str, kept_seconds: int
    ) -> Answer | None:
        claim = self.claims.get((user_id, key))
        if claim is None:
            self.claims[user_id, key] = FakeClaim(claim_id, request_hash, kept_seconds)
            return None
        if claim.request_hash != request_hash:
            raise KeyReused
        if claim.answer is None:
            raise RequestInProgress
        return claim.answer

    def release_key(self, claim_id: str) -> None:
        for key, claim in list(self.claims.items()):
            if claim.claim_id == claim_id and claim.answer is None:
                del self.claims[key]

    def answer_claims(self, claim_ids: Sequence[str], answer: Answer) -> None:
        for claim in self.claims.values():
            if claim.claim_id in claim_ids and claim.answer is None:
                claim.answer = answer

    def _answer_claims(self, caller: Caller, image_id: int) -> None:
        self.answer_claims(caller.claim_ids, Answer(image_id, self.images[image_id]["version"]))

    def require_user(self, user_id: int) -> None:
        self.log.append("require_user")
        if user_id not in self.users:
            raise Unauthenticated("This account no longer exists")

    def require_room(self, user_id: int, size_bytes: int) -> None:
        self._admit("require_room", user_id)

    def offer_direct_upload(self, user_id: int, upload_id: str, ttl_seconds: int) -> None:
        self._admit("offer_direct_upload", user_id)
        self.offered.append(upload_id)

    def _admit(self, step: str, user_id: int) -> None:
        self.log.append(step)
        if user_id not in self.users:
            raise Unauthenticated("This account no longer exists")
        if self.refusal is not None and step == self.refuses:
            raise self.refusal

    def accept_upload(self, caller: Caller, image: NewImage, upload_id: str | None = None) -> Event:
        self._admit("accept_upload", caller.user_id)
        if upload_id in self.offered:
            self.offered.remove(upload_id)
        assert image.original_key not in {other["original_key"] for other in self.images.values()}
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
            "frames": image.frames,
            "resolution": f"{image.width}x{image.height}",
            "url": None,
            "thumbnail_url": None,
            "preview_url": None,
            "description": image.description,
            "tags": image.tags,
            "version": 1,
            "rendition_url": None,
        }
        self._answer_claims(caller, image_id)
        return _event(events.UPLOAD_REQUESTED, image_id, 1, {}, caller.correlation_id)

    def movement(self, user_id: int, image_id: int) -> tuple[int, str] | None:
        image = self._own(user_id, image_id)
        if image is None or not image.get("frames"):
            return None
        return image["frames"], image["content_type"]

    def accept_update(
        self,
        caller: Caller,
        image_id: int,
        changes: Mapping[str, Any],
        versions: Sequence[int] | None = None,
    ) -> Event | None:
        version = self._next_version(caller, image_id, versions)
        if version is None:
            return None
        data = {"changes": dict(changes)}
        return _event(events.UPDATE_REQUESTED, image_id, version, data, caller.correlation_id)

    def accept_delete(
        self, caller: Caller, image_id: int, versions: Sequence[int] | None = None
    ) -> Event | None:
        version = self._next_version(caller, image_id, versions)
        if version is None:
            return None
        del self.images[image_id]
        return _event(events.DELETE_REQUESTED, image_id, version, {}, caller.correlation_id)

    def _next_version(
        self, caller: Caller, image_id: int, versions: Sequence[int] | None
    ) -> int | None:
        image = self._own(caller.user_id, image_id)
        if image is None:
            return None
        if versions is not None and image["version"] not in versions:
            raise PreconditionFailed
        image["version"] += 1
        self._answer_claims(caller, image_id)
        return int(image["version"])

    def find(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        image = self.images.get(image_id)
        if image is None or (image["visibility"] == "private" and image["user_id"] != user_id):
            return None
        return dict(image)

    def original(self, user_id: int, image_id: int) -> Original | None:
        image = self._own(user_id, image_id)
        return None if image is None else Original(image["original_key"], image["title"])

    def page(self, user_id: int, query: ListQuery) -> FoundPage:
        visible = [
            dict(image)
            for image_id in sorted(self.images, reverse=True)
            if (image := self.find(user_id, image_id)) is not None
        ]
        after = [
            image for image in visible if query.after is None or image["id"] < query.after.image_id
        ]
        more = len(after) > query.limit
        last = Position(OCCURRED_AT, after[query.limit - 1]["id"]) if more else None
        return FoundPage(after[: query.limit], len(visible), True, last)

    def _own(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        image = self.images.get(image_id)
        return image if image is not None and image["user_id"] == user_id else None


@dataclass
class FakePublisher:
    """The broker; `messages` are those of the default exchange, by queue."""

    messages: list[tuple[str, Message]] = field(default_factory=list)
    down: bool = False
    refuses: set[str] = field(default_factory=set)

    def publish(self, exchange: str, routing_key: str, message: Message) -> None:
        assert exchange == "", "the consumer sends to its own queues only"
        if routing_key in self.refuses:
            raise MessageRefused("The broker did not take the message; try again")
        if self.down:
            raise ServiceUnavailable("The broker did not take the message; try again")
        self.messages.append((routing_key, message))

    def to(self, queue: str) -> list[Message]:
        return [message for routing_key, message in self.messages if routing_key == queue]


@dataclass
class ProcessedImage:
    """A row of `images` with its rows of `renditions`."""

    original_key: str
    user_id: int = 1
    title: str = "photo.png"
    visibility: str = "shared"
    status: str = "processing"
    error: str | None = None
    accepted_sequence: int = 0
    applied_sequence: int = 0
    rendered: bool = False
    deleted: bool = False
    hidden_sequence: int = 0
    exposed_key: str | None = None
    renditions: dict[str, StoredRendition] = field(default_factory=dict)


@dataclass
class ChangeRow:
    """A row of `changes`; `due_at` in seconds of the log's own clock."""

    event: Event
    user_id: int
    due_at: float
    attempts: int = 0
    failures: int = 0
    renderer_failures: int = 0
    left_folder: str | None = None
    left_until: float = 0.0
    storing_until: float = 0.0
    begun_for: str | None = None
    outcome: str | None = None
    settled_at: float = 0.0
    reason: str | None = None
    outcome_event: Event | None = None


@dataclass
class FakeChangeLog:
    """The log and what accepts, in memory. Each writer applies all that belongs together, or
    nothing. `now` moves as the test moves it.
    """

    images: dict[int, ProcessedImage] = field(default_factory=dict)
    changes: dict[str, ChangeRow] = field(default_factory=dict)
    outcomes: list[Event] = field(default_factory=list)
    published: list[Event] = field(default_factory=list)
    owed: dict[str, Letter] = field(default_factory=dict)
    now: float = 0.0
    renderers_per_account: int = 10
    down: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def accept_upload(self, original_key: str, *, user_id: int = 1) -> Event:
        image_id = 1 + max(
            [*self.images, *(row.event.image_id for row in self.changes.values())], default=0
        )
        self.images[image_id] = ProcessedImage(original_key, user_id)
        return self._accept(image_id, events.UPLOAD_REQUESTED, {})

    def accept_update(self, image_id: int, changes: Any) -> Event:
        image = self.images[image_id]
        image.status, image.error = "processing", None
        if isinstance(changes, dict) and changes.get("visibility") == "private":
            if image.visibility != "private":
                image.exposed_key = image.original_key
            image.visibility = "private"
            image.hidden_sequence = image.accepted_sequence + 1
        return self._accept(image_id, events.UPDATE_REQUESTED, {"changes": changes})

    def accept_delete(self, image_id: int) -> Event:
        self.images[image_id].deleted = True
        return self._accept(image_id, events.DELETE_REQUESTED, {})

    def look_up(self, received: list[Event]) -> dict[str, LoggedChange]:
        with self._answering():
            return {
                row.event.id: LoggedChange(
                    row.event, row.outcome is not None, row.due_at - self.now
                )
                for row in self.changes.values()
                if row.event.id in {event.id for event in received}
            }

    def reopen(self, event: Event) -> bool:
        with self._answering():
            row, image = self.changes.get(event.id), self.images.get(event.image_id)
            if row is None or row.outcome != "failed" or image is None or image.deleted:
                return False
            if image.status != "failed" or image.applied_sequence != row.event.sequence:
                return False
            image.applied_sequence -= 1
            image.status, image.error = "processing", None
            self.owed.pop(event.id, None)
            self.changes[event.id] = ChangeRow(row.event, row.user_id, self.now)
            return True

    def free(self, message_ids: list[str]) -> None:
        with self._answering():
            for row in self._unsettled():
                crashes = row.attempts - row.failures
                if row.begun_for in message_ids and crashes:
                    row.begun_for = None
                    row.due_at = self.now + (CRASH_PAUSE_SECONDS if crashes > 1 else 0)

    def begin(self, message_id: str, after_user_id: int, *, crashed: bool) -> Work | None:
        with self._answering():
            possible = [
                row
                for row in self._unsettled()
                if row.due_at <= self.now
                and (row.attempts > row.failures) == crashed
                and self._is_next(row)
                and self._may_render(row)
            ]
            if not possible:
                return None
            row = min(
                possible, key=lambda row: (row.user_id <= after_user_id, row.user_id, row.due_at)
            )
            row.attempts += 1
            row.begun_for = message_id
            row.due_at = self.now + LEASE_SECONDS
            return self._work(row)

    def apply_plain(self, after_user_id: int, most: int) -> list[AppliedChange]:
        with self._answering():
            possible = [row for row in self._unsettled() if self._is_plain(row)]
            possible.sort(key=lambda row: (row.user_id <= after_user_id, row.user_id, row.due_at))
            applied = []
            for row in possible[:most]:
                image = self.images[row.event.image_id]
                row.attempts += 1
                image.title = row.event.data["changes"].get("title") or image.title
                self._apply(image, row.event, "ready", None)
                outcome = self._settle(
                    row, "applied", None, events.UPDATE_COMPLETED, {"status": "ready"}
                )
                applied.append(
                    AppliedChange(copy.deepcopy(row.event), row.user_id, row.attempts, outcome)
                )
            return applied

    def _is_plain(self, row: ChangeRow) -> bool:
        image = self.images.get(row.event.image_id)
        changes = row.event.data.get("changes")
        return (
            row.event.type == events.UPDATE_REQUESTED
            and isinstance(changes, dict)
            and changes.keys() <= {"title"}
            and row.due_at <= self.now
            and row.attempts == row.failures
            and image is not None
            and not image.deleted
            and image.rendered
            and image.exposed_key is None
            and row.event.sequence == image.applied_sequence + 1
        )

    def postpone(
        self,
        work: Work,
        delay_seconds: int,
        reason: str,
        *,
        is_renderers: bool = False,
        owes_letter: bool = False,
    ) -> None:
        with self._answering():
            row = self.changes[work.event.id]
            if row.outcome is None:
                if owes_letter:
                    self._owe(row, reason)
                row.failures += 1
                row.renderer_failures += is_renderers
                row.left_folder = None
                row.begun_for, row.reason = None, reason
                row.due_at = self.now + delay_seconds

    def leave(self, work: Work, folder: str, busy_seconds: float, look_seconds: int) -> None:
        with self._answering():
            row = self.changes[work.event.id]
            if row.outcome is None:
                row.attempts -= 1
                row.begun_for = None
                row.due_at = self.now + look_seconds
                row.left_folder, row.left_until = folder, self.now + busy_seconds

    def lose_renderer(self, work: Work, storing_seconds: float) -> None:
        with self._answering():
            self.changes[work.event.id].storing_until = self.now + storing_seconds

    def put_back(self, work: Work, delay_seconds: int) -> None:
        with self._answering():
            row = self.changes[work.event.id]
            if row.outcome is None:
                row.attempts -= 1
                row.begun_for = row.left_folder = None
                row.due_at = self.now + delay_seconds

    def complete(
        self, work: Work, outcome_type: str, renditions: list[StoredRendition]
    ) -> Event | None:
        with self._answering():
            row, image = self.changes[work.event.id], self.images.get(work.event.image_id)
            if row.outcome is not None or image is None or image.deleted:
                return None
            changes = work.event.data.get("changes") or {}
            image.title = changes.get("title") or image.title
            if image.hidden_sequence <= row.event.sequence:
                image.visibility = changes.get("visibility") or image.visibility
            image.rendered = True
            image.renditions.update({rendition.name: rendition for rendition in renditions})
            self._apply(image, row.event, "ready", None)
            return self._settle(row, "applied", None, outcome_type, {"status": "ready"})

    def fail(
        self, work: Work, outcome_type: str, reason: str, *, owes_letter: bool = False
    ) -> Event | None:
        with self._answering():
            row, image = self.changes[work.event.id], self.images.get(work.event.image_id)
            if row.outcome is not None:
                return None
            if owes_letter:
                self._owe(row, reason)
            if image is not None:
                self._apply(image, row.event, "failed", reason)
            data = {"status": "failed", "error": reason}
            return self._settle(row, "failed", reason, outcome_type, data)

    def _owe(self, row: ChangeRow, reason: str) -> None:
        self.owed[row.event.id] = Letter(copy.deepcopy(row.event), reason, row.attempts)

    def due_letters(self, most: int) -> list[Letter]:
        """Whenever they were owed."""
        with self._answering():
            return list(self.owed.values())[:most]

    def letter_sent(self, event: Event) -> None:
        with self._answering():
            self.owed.pop(event.id, None)

    def remove(self, work: Work, outcome_type: str) -> list[Event]:
        with self._answering():
            row = self.changes[work.event.id]
            if row.outcome is not None:
                return []
            self.images.pop(row.event.image_id, None)
            reason = "The image was deleted"
            void = [
                self._settle(
                    before,
                    "failed",
                    reason,
                    before.event.type.replace("requested", "failed"),
                    {"status": "failed", "error": reason},
                )
                for before in self._unsettled()
                if before.event.image_id == row.event.image_id and before is not row
            ]
            return [*void, self._settle(row, "applied", None, outcome_type, {})]

    def move(self, image_id: int, folder: str, new_folder: str) -> ImageState | None:
        with self._answering():
            image = self.images.get(image_id)
            if image is None or image.deleted or not image.original_key.startswith(folder):
                return None
            image.original_key = new_folder + image.original_key.removeprefix(folder)
            image.renditions = {
                name: replace(
                    rendition, object_key=new_folder + rendition.object_key.removeprefix(folder)
                )
                for name, rendition in image.renditions.items()
            }
            return _state(image)

    def unexpose(self, image_id: int, exposed_key: str) -> None:
        with self._answering():
            image = self.images.get(image_id)
            if image is not None and image.exposed_key == exposed_key:
                image.exposed_key = None

    def is_deleted(self, image_id: int) -> bool:
        with self._answering():
            image = self.images.get(image_id)
            return image is None or image.deleted

    def publish(self, outcomes: list[Event]) -> None:
        with self.lock:
            self.published += outcomes

    def _accept(self, image_id: int, event_type: str, data: dict[str, Any]) -> Event:
        image = self.images[image_id]
        image.accepted_sequence += 1
        sequence = image.accepted_sequence
        event = _event(event_type, image_id, sequence, data, f"request-{image_id}-{sequence}")
        self.changes[event.id] = ChangeRow(event, image.user_id, self.now)
        return copy.deepcopy(event)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        with self.lock:
            if self.down:
                raise ServiceUnavailable("The database did not answer; try again")
            yield

    def _unsettled(self) -> list[ChangeRow]:
        return [row for row in self.changes.values() if row.outcome is None]

    def _is_next(self, row: ChangeRow) -> bool:
        image = self.images.get(row.event.image_id)
        if image is None or row.event.type == events.DELETE_REQUESTED:
            return True
        return row.event.sequence == image.applied_sequence + 1 and not image.deleted

    def _may_render(self, row: ChangeRow) -> bool:
        if row.event.type == events.DELETE_REQUESTED or row.left_folder is not None:
            return True
        busy = [
            other
            for other in self._unsettled()
            if other.user_id == row.user_id
            and (
                other.left_until > self.now
                if other.left_folder is not None
                else other.attempts > other.failures
                and other.begun_for is not None
                and other.due_at > self.now
            )
        ]
        return len(busy) < self.renderers_per_account

    def _work(self, row: ChangeRow) -> Work:
        image = self.images.get(row.event.image_id)
        return Work(
            event=copy.deepcopy(row.event),
            user_id=row.user_id,
            failures=row.failures,
            crashes=row.attempts - 1 - row.failures,
            renderer_failures=row.renderer_failures,
            left=None
            if row.left_folder is None
            else LeftRendering(row.left_folder, row.left_until - self.now),
            busy_seconds=self._busy_seconds(row.event),
            is_replaced=any(
                "resolution" in _changes(later.event)
                for later in self.changes.values()
                if later.event.image_id == row.event.image_id
                and later.event.sequence > row.event.sequence
            ),
            image=_state(image) if image is not None else None,
        )

    def _busy_seconds(self, event: Event) -> float:
        if event.type != events.DELETE_REQUESTED:
            return 0.0
        ends = [self.now]
        for row in self.changes.values():
            if row.event.image_id != event.image_id or row.event.sequence >= event.sequence:
                continue
            ends.append(row.storing_until)
            if row.outcome is not None and row.attempts > row.failures + 1:
                ends.append(row.settled_at + LATE_SECONDS)
            if row.outcome is None and row.left_folder is not None:
                ends.append(row.left_until)
            if row.outcome is None and row.attempts > row.failures:
                ends.append(row.due_at + LATE_SECONDS)
        return max(ends) - self.now

    @staticmethod
    def _apply(image: ProcessedImage, event: Event, last: str, error: str | None) -> None:
        image.applied_sequence = event.sequence
        image.status = "processing" if image.accepted_sequence > event.sequence else last
        image.error = error

    def _settle(
        self,
        row: ChangeRow,
        outcome: str,
        reason: str | None,
        outcome_type: str,
        data: dict[str, Any],
    ) -> Event:
        row.outcome, row.reason, row.settled_at = outcome, reason, self.now
        event = row.event
        made = _event(outcome_type, event.image_id, event.sequence, data, event.correlation_id)
        row.outcome_event = made
        self.outcomes.append(made)
        return copy.deepcopy(made)


def _state(image: ProcessedImage) -> ImageState:
    return ImageState(
        original_key=image.original_key,
        rendered=image.rendered,
        rendition_keys=tuple(r.object_key for r in image.renditions.values()),
        exposed_key=image.exposed_key,
    )


def _changes(event: Event) -> dict[str, Any]:
    changes = event.data.get("changes")
    return changes if isinstance(changes, dict) else {}


def _event(
    event_type: str, image_id: int, sequence: int, data: dict[str, Any], correlation_id: str
) -> Event:
    return Event(events.new_id(), event_type, image_id, sequence, data, correlation_id, OCCURRED_AT)
