"""What `sam local` hands to the functions: it passes only variables that the template declares."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml

from image_api import settings
from tests.application import ROOT, use_environment
from tests.unit.web.test_swagger import TemplateLoader

VALUES: dict[str, str] = json.loads((ROOT / "infra" / "sam-local.json").read_bytes())["Parameters"]
# Other ways to say the same, and what is only there while a key is exchanged.
NEEDLESS = {
    "RABBITMQ_HOST": "RABBITMQ_URL",
    "DATABASE_HOST": "DATABASE_URL",
    "RABBITMQ_PORT": "RABBITMQ_URL",
    "JWT_SECRET_PREVIOUS": "JWT_SECRET",
    # Nothing is before the storage.
    "IMAGES_CDN_PRIVATE_KEY": "STORAGE_PUBLIC_URL",
}


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, Any]]:
    """By function, the variables that the template declares, with their values."""
    template = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), TemplateLoader)
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    return {
        logical_id: {**shared, **resource["Properties"].get("Environment", {}).get("Variables", {})}
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


@pytest.mark.parametrize("name", sorted(VALUES))
def test_every_variable_is_one_that_a_function_declares(
    name: str, declared: dict[str, dict[str, Any]]
) -> None:
    assert any(name in variables for variables in declared.values())


def test_every_declared_variable_without_a_value_gets_one(
    declared: dict[str, dict[str, Any]],
) -> None:
    empty = {
        name
        for variables in declared.values()
        for name, value in variables.items()
        if value == "" and NEEDLESS.get(name) not in VALUES
    }
    assert empty <= VALUES.keys()
    # A reference that would name nothing outside of AWS.
    assert {"AWS_ENDPOINT_URL", "IMAGES_BUCKET"} <= VALUES.keys()


def test_the_values_are_settings_that_a_deployment_would_accept(
    environment: pytest.MonkeyPatch,
) -> None:
    use_environment(environment, VALUES)
    settings.load_all()

    assert settings.database_url() != settings.database_admin_url()
    storage = settings.storage()
    assert (storage.bucket, storage.public_url) == ("images", "http://localhost:4566")


def test_sam_local_uses_them_whatever_it_starts() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))["default"]

    for command in ("local_invoke", "local_start_api", "local_start_lambda"):
        assert config[command]["parameters"]["env_vars"] == ".local/sam-local.json"
        assert config[command]["parameters"]["docker_network"] == "image-api"
