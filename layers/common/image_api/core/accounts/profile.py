"""What somebody who is signed in can read of their own account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_Limit = Annotated[
    int | None,
    BeforeValidator(lambda limit: limit or None),
    Field(description="Null: as many as you like"),
]


class Usage(BaseModel):
    """What the account stores; images that are deleted do not count."""

    images: int
    bytes: int


class Limits(BaseModel):
    """What the account may store, and do at a time; of renditions the oldest make room."""

    images: _Limit
    bytes: _Limit
    unfinished_changes: _Limit
    open_direct_uploads: _Limit
    new_renditions_per_minute: _Limit
    renditions_per_image: _Limit


class Profile(BaseModel):
    """An account as its owner sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 1,
                    "username": "ada",
                    "created_at": "2026-11-02T18:10:16.510939Z",
                    "usage": {"images": 12, "bytes": 3456789},
                    "limits": {
                        "images": 100000,
                        "bytes": 50000000000,
                        "unfinished_changes": 1000,
                        "open_direct_uploads": 20,
                        "new_renditions_per_minute": 120,
                        "renditions_per_image": 64,
                    },
                }
            ]
        }
    )

    id: int
    username: str
    created_at: str
    usage: Usage
    limits: Limits


class ProfileRecords(Protocol):
    def profile(self, user_id: int) -> tuple[str, str, Usage]:
        """The name, when the account was made, and what it stores; raises Unauthenticated when the
        user is signed in no longer.
        """


def of_account(records: ProfileRecords, user_id: int, limits: Mapping[str, int]) -> Profile:
    """`limits` has the names of Limits, and 0 for none."""
    username, created_at, usage = records.profile(user_id)
    return Profile(
        id=user_id,
        username=username,
        created_at=created_at,
        usage=usage,
        limits=Limits.model_validate(limits),
    )
