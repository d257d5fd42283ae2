"""The log of accepted changes: what was accepted happens, once, whatever becomes of its message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from image_api.core.change_log.events import Event

# Longer than a batch may take on Lambda: a change that is begun is nobody else's until then.
LEASE_SECONDS = 330
# A renderer has ended so long after the attempt that began it, whatever became of that.
LATE_SECONDS = 95
# So many attempts may end in order before the change is given up ...
MAX_FAILURES = 6
# ... and so many may end the process that makes them. The first may be somebody else's fault:
# then it is tried again at once, and after the second later, when that is over.
MAX_CRASHES = 3
CRASH_PAUSE_SECONDS = 30
# So many of the renderers may work for one account, unless a setting says otherwise.
RENDERERS_PER_ACCOUNT = 3


@dataclass(frozen=True, slots=True)
class ImageState:
    """What processing needs to know of an image; `rendition_keys` are those served until now.

    `exposed_key`: where its original lay when it was hidden; what lies there has to go.
    """

    original_key: str
    rendered: bool
    rendition_keys: tuple[str, ...]
    exposed_key: str | None = None


@dataclass(frozen=True, slots=True)
class LeftRendering:
    """What an attempt left to a renderer that took long: where its results are to lie, and how long
    it may still be busy with them, negative when it must have ended.
    """

    folder: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Work:
    """A change whose attempt is begun and written down, and the image it is about.

    `failures` and `crashes` count the attempts before this one, `renderer_failures` those failures
    that a renderer caused; `is_replaced`: a later accepted change asks for another resolution.
    With `left` the attempt is one of before, whose renderer was not waited for. `busy_seconds`, of
    a removal: how long attempts of earlier changes of the image, renderers that they have left,
    have lost or may have left when their consumer died, and those of renditions that somebody asks
    for, may still store something.
    """

    event: Event
    user_id: int
    failures: int
    crashes: int
    renderer_failures: int
    is_replaced: bool
    left: LeftRendering | None
    busy_seconds: float
    image: ImageState | None

    @property
    def attempt(self) -> int:
        """Its number."""
        return self.failures + self.crashes + 1


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """What the log says of a message's event, or would say if the event were in it.

    `due_in_seconds`: until another attempt may begin, negative when it could now.
    """

    event: Event
    is_settled: bool
    due_in_seconds: float


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """A change that is settled, and the event that says so."""

    event: Event
    user_id: int
    attempts: int
    outcome: Event


@dataclass(frozen=True, slots=True)
class StoredRendition:
    name: str
    object_key: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    animated: bool
    renderer_version: int
    placeholder: str | None = None


class ImageMoves(Protocol):
    """Each raises ServiceUnavailable."""

    def move(self, image_id: int, folder: str, new_folder: str) -> ImageState | None:
        """Everything of the image lies in another folder from now on (both end with a slash); None
        when it does not lie in `folder`, or is about to go.
        """

    def unexpose(self, image_id: int, exposed_key: str) -> None:
        """Nothing is left where it lay when it was hidden."""


class ChangeLog(ImageMoves, Protocol):
    """What processing reads and writes; everything raises ServiceUnavailable.

    Each of the three that settle applies the change, writes how it ended and the outcome's event in
    one transaction. It returns that event, or nothing when somebody else settled the change first.
    """

    def look_up(self, received: list[Event]) -> dict[str, LoggedChange]:
        """By event id, those that were accepted."""

    def reopen(self, event: Event) -> bool:
        """Gives a change that failed another chance, unless a later one was settled since."""

    def free(self, message_ids: list[str]) -> None:
        """What was begun for these messages and not ended: their consumer is gone."""

    def begin(self, message_id: str, after_user_id: int, *, crashed: bool) -> Work | None:
        """Whatever a message asks for, it is the turn of the next user who waits: their oldest
        change that can be applied, of each image the next. With `crashed` one of those that are
        not known to have ended, else one of the others. It is written down that it begins.

        Of users for whom as many renderers work as one may have, only removals, and what was left
        to a renderer.
        """

    def apply_plain(self, after_user_id: int, most: int) -> list[AppliedChange]:
        """In one transaction so many of the changes that need neither a renderer nor the storage,
        or none: of the next user who waits, then of the next, of each image the next.
        """

    def postpone(
        self,
        work: Work,
        delay_seconds: int,
        reason: str,
        *,
        is_renderers: bool = False,
        owes_letter: bool = False,
    ) -> None:
        """Ends an attempt that may succeed later. With `owes_letter` somebody is to look."""

    def leave(self, work: Work, folder: str, busy_seconds: float, look_seconds: int) -> None:
        """The attempt goes on at a renderer, for as long as `busy_seconds` at most; somebody looks
        for its results after `look_seconds`.
        """

    def lose_renderer(self, work: Work, storing_seconds: float) -> None:
        """The attempt's renderer may store something for so long, whatever becomes of the change:
        nobody hears of it any more.
        """

    def put_back(self, work: Work, delay_seconds: int) -> None:
        """The attempt was none."""

    def complete(
        self, work: Work, outcome_type: str, renditions: list[StoredRendition]
    ) -> Event | None: ...

    def fail(
        self, work: Work, outcome_type: str, reason: str, *, owes_letter: bool = False
    ) -> Event | None:
        """With `owes_letter` a dead letter of it is owed from then on."""

    def letter_sent(self, event: Event) -> None:
        """The broker has the dead letter of the change."""

    def remove(self, work: Work, outcome_type: str) -> list[Event]:
        """The image with all that was accepted before its removal and is void now."""

    def is_deleted(self, image_id: int) -> bool:
        """Whether the image is gone or about to go."""

    def publish(self, outcomes: list[Event]) -> None:
        """Publishes outcomes, or leaves them to the relay; raises nothing."""


class ChangeTotals(Protocol):
    def oldest_unsettled_age_seconds(self) -> float:
        """How long the change that waits longest has waited; 0 for none."""


# What kept an attempt from more than its outcome says.
Cause = Literal[
    "crashed",
    "file_missing",
    "impossible",
    "invalid_image",
    "renderer_failed",
    "renderer_lost",
    "renderers_busy",
    "still_deleting",
    "unavailable",
    "unexpected",
]
Outcome = Literal[
    "applied", "failed", "duplicate", "postponed", "rendering", "dead", "rejected", "waiting"
]
