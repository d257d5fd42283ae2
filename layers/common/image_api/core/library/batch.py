"""One change of many images: each is accepted or refused by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from image_api.core.change_log.events import Event
from image_api.core.library.editing import check_movement
from image_api.core.library.idempotency import Answer, KeyRecords, fingerprint, once
from image_api.core.library.images import Caller, Changes
from image_api.errors import ImageApiError, ImageNotFound, InvalidRequest

MAX_IMAGES = 100


class BatchRequest(BaseModel):
    """Which images, and what is to become of them: `changes` or `delete`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [1, 2], "changes": {"tags": ["rocket"]}}]},
    )

    ids: Annotated[
        list[Annotated[int, Field(ge=1, le=2**53 - 1, strict=True)]],
        Field(min_length=1, max_length=MAX_IMAGES),
    ]
    changes: Changes | None = None
    delete: Annotated[
        Literal[True] | None, Field(description="Instead of changes: delete the images")
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> BatchRequest:
        if (self.changes is None) == (self.delete is None):
            raise ValueError("Send either changes or delete")
        return self


class BatchResult(BaseModel):
    """The status and the code that a request for this image alone would have been answered with."""

    id: int
    status_code: int
    code: Annotated[str, Field(description="`accepted`, or the code of an error")]
    detail: str


class BatchAnswer(BaseModel):
    results: Annotated[list[BatchResult], Field(description="In the order of the ids")]


class Outcome(NamedTuple):
    image_id: int
    refusal: ImageApiError | None


class BatchRecords(KeyRecords, Protocol):
    def movements(self, user_id: int, image_ids: Sequence[int]) -> dict[int, tuple[int, str]]:
        """As EditRecords.movement, by image."""

    def accept_all(
        self,
        caller: Caller,
        image_ids: Sequence[int],
        changes: Mapping[str, Any] | None,
        refused: Mapping[int, str],
    ) -> tuple[Answer, list[Event]]:
        """Deletes without `changes`. The answer's results: of each image its version, or what
        refuses it; none for one that is missing or somebody else's. What a limit of the account
        leaves room for is accepted, in the order of the ids. `refused`, and why, is part of the
        answer alone. Raises Unauthenticated when the user is gone.
        """

    def refusal(self, reason: str) -> ImageApiError:
        """What refuses an image, as an error."""


class BatchSink(Protocol):
    def publish_requests(self, accepted: Sequence[Event]) -> None:
        """As EventSink.publish."""


def change_all(
    records: BatchRecords, sink: BatchSink, caller: Caller, request: BatchRequest
) -> list[Outcome]:
    """In the order of the ids. An image that is named twice is changed once, and has one outcome in
    both places.
    """
    ids = list(dict.fromkeys(request.ids))
    changes = None if request.changes is None else request.changes.model_dump(exclude_none=True)

    def accept(claiming: Caller) -> Answer:
        refused = _refused(records, caller.user_id, ids, request.changes)
        possible = [image_id for image_id in ids if image_id not in refused]
        answer, accepted = records.accept_all(claiming, possible, changes, refused)
        sink.publish_requests(accepted)
        return answer

    answer = once(records, caller, lambda: fingerprint("batch", request.ids, changes), accept)
    results = answer.results or {}
    return [
        Outcome(image_id, _refusal(records, results.get(str(image_id)))) for image_id in request.ids
    ]


def _refused(
    records: BatchRecords, user_id: int, ids: Sequence[int], changes: Changes | None
) -> dict[int, str]:
    """Which cannot have the size that is asked for, and why."""
    if changes is None or changes.resolution is None:
        return {}
    refused = {}
    for image_id, movement in records.movements(user_id, ids).items():
        try:
            check_movement(movement, changes.resolution)
        except InvalidRequest as error:
            refused[image_id] = error.message
    return refused


def _refusal(records: BatchRecords, result: Any) -> ImageApiError | None:
    match result:
        case None:
            return ImageNotFound()
        case int():
            return None
        case {"resolution": str(message)}:
            return InvalidRequest("resolution", message)
        case _:
            return records.refusal(str(result))
