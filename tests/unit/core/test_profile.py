"""What an account shows of itself."""

from __future__ import annotations

import pytest

from image_api import settings
from image_api.core.accounts import profile
from image_api.core.accounts.profile import Limits, Usage
from tests import application


class Records:
    def profile(self, user_id: int) -> tuple[str, str, Usage]:
        return "ada", "2026-11-02T18:10:16.510939Z", Usage(images=3, bytes=99)


def test_an_account_is_shown_with_its_use_and_its_limits(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("LIMIT_IMAGES", "10")
    environment.setenv("LIMIT_BYTES", "0")
    application.forget()
    assert profile.of_account(Records(), 7, settings.shown_limits()).model_dump() == {
        "id": 7,
        "username": "ada",
        "created_at": "2026-11-02T18:10:16.510939Z",
        "usage": {"images": 3, "bytes": 99},
        "limits": {
            "images": 10,
            "bytes": None,
            "unfinished_changes": 1000,
            "open_direct_uploads": 20,
            "new_renditions_per_minute": 120,
            "renditions_per_image": 64,
        },
    }


def test_every_limit_of_an_account_is_shown() -> None:
    assert set(Limits.model_fields) == set(settings.shown_limits())
