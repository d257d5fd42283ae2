"""No library that reads what users send is pinned at a version with a known vulnerability."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from packaging.version import Version
from PIL import features

from infra.tools.audit import LISTS, accepted_advisories
from tests.application import ROOT

TABLE = tomllib.loads((ROOT / "infra" / "policy" / "oldest-safe.toml").read_text("utf-8"))
TODAY = datetime.datetime.now(datetime.UTC).date()


def pins(path: Path) -> dict[str, str]:
    return dict(
        re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", path.read_text("utf-8"), re.MULTILINE)
    )


def bundled_versions() -> dict[str, str]:
    heif = pillow_heif.libheif_info()
    return {
        "libde265": heif["decoders"]["libde265"].rpartition(" ")[2],
        "libheif": heif["libheif"],
        "libwebp": str(features.version("webp")),
    }


def faults(
    versions: Mapping[str, str],
    oldest_safe: Mapping[str, Any],
    exceptions: Mapping[str, Any],
    today: datetime.date,
) -> Iterator[str]:
    for name, known in oldest_safe.items():
        version = versions.get(name)
        if version is None or Version(version) >= Version(known["version"]):
            continue
        exception = exceptions.get(name)
        if exception is None or exception["version"] != version or exception["until"] < today:
            yield f"{name} {version} is older than {known['version']}: {known['because']}"


@pytest.mark.parametrize("name", LISTS)
def test_no_pinned_version_has_a_known_vulnerability(name: str) -> None:
    found = faults(pins(ROOT / name), TABLE["packages"], TABLE["exceptions"], TODAY)
    assert list(found) == []


def test_no_bundled_library_has_a_known_vulnerability() -> None:
    versions = bundled_versions()
    assert versions.keys() == TABLE["bundled"].keys()
    assert list(faults(versions, TABLE["bundled"], TABLE["exceptions"], TODAY)) == []


def test_the_table_speaks_of_each_library_that_the_functions_ask_for() -> None:
    asked = (ROOT / "layers" / "dependencies" / "requirements.in").read_text("utf-8").split()
    assert set(asked) <= TABLE["packages"].keys()
    pinned = [pins(ROOT / name).keys() for name in LISTS]
    assert TABLE["packages"].keys() <= set().union(*pinned)


def test_every_exception_says_why_and_is_needed() -> None:
    oldest_safe = TABLE["packages"] | TABLE["bundled"]
    for name, exception in TABLE["exceptions"].items():
        assert exception["because"]
        assert Version(exception["version"]) < Version(oldest_safe[name]["version"])
    for advisory in TABLE.get("advisories", {}).values():
        assert advisory["because"] and advisory["until"]


@pytest.mark.parametrize(
    ("exceptions", "is_accepted"),
    [
        ({}, False),
        ({"pillow": {"version": "12.2.0", "until": datetime.date(2026, 3, 2)}}, True),
        ({"pillow": {"version": "12.2.0", "until": datetime.date(2026, 3, 1)}}, False),
        ({"pillow": {"version": "12.1.0", "until": datetime.date(2026, 3, 2)}}, False),
        ({"pyjwt": {"version": "12.2.0", "until": datetime.date(2026, 3, 2)}}, False),
    ],
)
def test_an_older_version_is_accepted_in_writing_until_a_day(
    exceptions: dict[str, Any], is_accepted: bool
) -> None:
    oldest_safe = {"pillow": {"version": "13.0.0", "because": "a hole"}}
    found = list(faults({"pillow": "12.2.0"}, oldest_safe, exceptions, datetime.date(2026, 3, 2)))
    assert found == ([] if is_accepted else ["pillow 12.2.0 is older than 13.0.0: a hole"])
    assert list(faults({"pillow": "13.0.0"}, oldest_safe, {}, datetime.date(2026, 3, 2))) == []


def test_an_advisory_is_accepted_in_writing_until_a_day() -> None:
    table = {"advisories": {"GHSA-1": {"until": datetime.date(2026, 3, 2), "because": "..."}}}
    assert list(accepted_advisories(table, datetime.date(2026, 3, 2))) == ["GHSA-1"]
    assert list(accepted_advisories(table, datetime.date(2026, 3, 3))) == []
