"""Which variables are settings, and how a program starts without any. Imports none of our code."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

_CODE = ROOT / "layers" / "common" / "image_api" / "settings.py"
# Every variable that the application's code reads, and Lambda's own for its role.
SETTINGS = frozenset(re.findall(r'"([A-Z]+_[A-Z_]+)"', _CODE.read_text(encoding="utf-8"))) | {
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
}
# What the AWS SDK finds on a developer's machine.
AWS_FILES = {"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}


def variables_without_settings() -> dict[str, str]:
    """This process's environment for a program that is to have no settings but the defaults.

    An empty variable counts as unset, also where a developer's .env sets it.
    """
    kept = {name: value for name, value in os.environ.items() if name not in AWS_FILES}
    return {**kept, **dict.fromkeys(SETTINGS, "")}
