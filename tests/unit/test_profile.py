"""What an account shows of itself."""

from __future__ import annotations

from dataclasses import fields

from image_api.core import profile
from image_api.core.profile import Limits, Usage
from image_api.settings import AccountLimits


class Records:
    def profile(self, user_id: int) -> tuple[str, str, Usage]:
        return "ada", "2026-11-02T18:10:16.510939Z", Usage(images=3, bytes=99)


def test_an_account_is_shown_with_its_use_and_its_limits() -> None:
    limits = AccountLimits(images=10, bytes=0, unfinished_changes=7, open_direct_uploads=2)
    assert profile.of_account(Records(), 7, limits).model_dump() == {
        "id": 7,
        "username": "ada",
        "created_at": "2026-11-02T18:10:16.510939Z",
        "usage": {"images": 3, "bytes": 99},
        "limits": {
            "images": 10,
            "bytes": None,
            "unfinished_changes": 7,
            "open_direct_uploads": 2,
        },
    }


def test_every_limit_of_an_account_is_shown() -> None:
    assert set(Limits.model_fields) == {limit.name for limit in fields(AccountLimits)}
