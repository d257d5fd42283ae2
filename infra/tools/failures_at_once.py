"""A plug-in of pytest for `make test`: says which test failed when it fails, to whoever reads the
file that FAILURES names."""

import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test, or what it needs, was run."""
    _tell(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file of tests was read."""
    _tell(report)


def _tell(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.failed:
        with Path(os.environ["FAILURES"]).open("a", encoding="utf-8") as failures:
            # In one piece: the other lane writes too.
            failures.write(f"\n== FAILED in {os.environ['STAGE']}: {report.nodeid}\n")
