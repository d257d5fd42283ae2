"""Asks PyPI's advisories about every pinned package: `make audit`. Needs the network.

What infra/policy/oldest-safe.toml accepts in writing passes until its day.
"""

import datetime
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# LocalStack's are left out: they are those of its release day, and only tests talk to it.
LISTS = [
    "client/build-requirements.txt",
    "functions/migrate/requirements.txt",
    "infra/local/lambda-requirements.txt",
    "infra/local/requirements.txt",
    "infra/policy/audit-requirements.txt",
    "infra/policy/requirements.txt",
    "layers/dependencies/requirements.txt",
    "tests/clients/requirements.txt",
    "tests/requirements.txt",
]


def main() -> int:
    table = tomllib.loads((ROOT / "infra" / "policy" / "oldest-safe.toml").read_text("utf-8"))
    accepted = list(accepted_advisories(table, datetime.datetime.now(datetime.UTC).date()))
    failed = []
    for name in LISTS:
        print(f"\n{name}", flush=True)
        audited = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", ROOT / name),
                *("--disable-pip", "--require-hashes", "--progress-spinner", "off"),
                # What PyPI does not answer for is not a success.
                "--strict",
                *(f"--ignore-vuln={advisory}" for advisory in accepted),
            ],
            check=False,
        )
        if audited.returncode:
            failed.append(name)
    if failed:
        print(f"\naudit failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def accepted_advisories(table: Mapping[str, Any], today: datetime.date) -> Iterator[str]:
    """Those that the table of oldest-safe.toml accepts on that day."""
    for advisory, exception in table.get("advisories", {}).items():
        if exception["until"] >= today:
            yield advisory


if __name__ == "__main__":
    sys.exit(main())
