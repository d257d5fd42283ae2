"""A setting of the application that is wrong stops `make run` with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.running_cloud import RunningCloud

_SERVICES = (
    *("DATABASE_URL", "DATABASE_ADMIN_URL", "RABBITMQ_URL", "RABBITMQ_ADMIN_URL"),
    *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("JWT_SECRET", "short", "JWT_SECRET has 5 bytes; it needs at least 32 random ones"),
        ("DEFAULT_VISIBILITY", "hidden", "DEFAULT_VISIBILITY is 'hidden', not shared"),
        ("JWT_EXPIRATION_MINUTES", "soon", "JWT_EXPIRATION_MINUTES is 'soon', not a whole number"),
    ],
)
def test_a_wrong_setting_is_said_in_a_sentence(
    cloud: RunningCloud, tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    variables = {each: cloud.environment[each] for each in _SERVICES}
    wrong = RunningCloud(
        *(tmp_path / "data", "--no-watch"), variables={**variables, name: value}, as_json=False
    )
    with pytest.raises(AssertionError, match="ended with 1"):
        wrong.start()
    said = wrong.log()
    assert "Traceback" not in said and "File " not in said
    assert said.splitlines()[-1].startswith(f"DatabaseSchema: {sentence}")
