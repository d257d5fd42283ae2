"""What others make of the API's documents: their linters find nothing, and their clients work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.application import ROOT
from tests.clients.conftest import HERE, NODE, OPENAPI
from tests.e2e.running_cloud import RunningCloud

ASYNCAPI = ROOT / "docs" / "asyncapi.yaml"


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=lambda path: path.name)
def test_redocly_and_spectral_find_nothing(workshop: Path, document: Path) -> None:
    linted = NODE.run("lint.mjs", document, cwd=workshop)

    assert (linted.returncode, linted.stdout) == (0, ""), linted.stderr


def test_redocly_and_spectral_would_find_something(workshop: Path) -> None:
    document = json.loads(OPENAPI.read_bytes())
    del document["paths"]["/health"]["get"]["operationId"]
    faulty = workshop / "faulty.json"
    faulty.write_text(json.dumps(document), encoding="utf-8")

    linted = NODE.run("lint.mjs", faulty, cwd=workshop)

    assert {line.split()[0] for line in linted.stdout.splitlines()} == {"redocly", "spectral"}


def test_a_client_in_typescript_passes_the_strictest_check(workshop: Path) -> None:
    checked = NODE.run("node_modules/typescript/bin/tsc", cwd=workshop)

    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize(
    ("written", "mistyped"),
    [
        ("limit: 1", 'limit: "1"'),
        ('visibility: "private"', 'visibility: "secret"'),
        ('"/image/get_all_images"', '"/image/get_images"'),
        ('"image_not_found"', '"image_not_there"'),
        ("image.status", "image.state"),
    ],
)
def test_a_typing_error_of_a_client_is_found_before_it_runs(
    workshop: Path, written: str, mistyped: str
) -> None:
    walk = (workshop / "walk.ts").read_text(encoding="utf-8")
    assert written in walk
    (workshop / "walk.ts").write_text(walk.replace(written, mistyped), encoding="utf-8")

    checked = NODE.run("node_modules/typescript/bin/tsc", cwd=workshop)

    assert checked.returncode != 0
    assert checked.stdout.startswith("walk.ts(")


def test_a_client_in_typescript_walks_through_the_api(cloud: RunningCloud, workshop: Path) -> None:
    walked = NODE.run(
        "walk.ts", cloud.api_url, ROOT / "tests" / "photos" / "rocket.jpg", cwd=workshop
    )

    assert walked.stdout == "walked\n", walked.stderr


def test_every_package_is_held_by_its_hash_and_none_to_an_address() -> None:
    lock = json.loads((HERE / "package-lock.json").read_bytes())["packages"]
    named = json.loads((HERE / "package.json").read_bytes())["devDependencies"]
    assert lock.pop("")["devDependencies"] == named
    for name, package in lock.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
    assert all(
        version == lock[f"node_modules/{name}"]["version"] for name, version in named.items()
    )
