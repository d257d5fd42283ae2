"""What an owner can read of an image's past."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from image_api.errors import ImageNotFound

MOST_CHANGES = 1_000


class ChangeView(BaseModel):
    """An accepted change as its owner sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": 2,
                    "change": "update",
                    "changes": {"title": "Lift-off"},
                    "accepted_at": "2026-11-02T18:10:16.510939Z",
                    "settled_at": "2026-11-02T18:10:16.914210Z",
                    "outcome": "applied",
                    "attempts": 1,
                    "reason": None,
                }
            ]
        }
    )

    version: Annotated[int, Field(description="Which of the image's changes it is, from 1")]
    change: Literal["upload", "update", "delete"]
    changes: Annotated[dict[str, Any], Field(description="What an update asked for")]
    accepted_at: str
    settled_at: Annotated[str | None, Field(description="Null while it waits or is in work")]
    outcome: Literal["applied", "failed"] | None
    attempts: int
    reason: Annotated[str | None, Field(description="Why it failed, or why it is tried again")]


class HistoryRecords(Protocol):
    def history(
        self, user_id: int, image_id: int, kept_days: int | None, limit: int
    ) -> list[dict[str, Any]] | None:
        """The fields of ChangeView, newest first, of so many days or all; None for an image that is
        missing or somebody else's. Raises Unauthenticated when the user is gone.
        """


def of_image(
    records: HistoryRecords, user_id: int, image_id: int, kept_days: int | None
) -> list[dict[str, Any]]:
    """The newest MOST_CHANGES; raises ImageNotFound for a missing image and somebody else's."""
    changes = records.history(user_id, image_id, kept_days, MOST_CHANGES)
    if changes is None:
        raise ImageNotFound
    return changes
