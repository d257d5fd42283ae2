"""LocalStack's S3 without Docker, for the time of the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from localstack_client.config import get_service_endpoint

from infra.services.ports import hold_free_port, port_of
from tests.application import ROOT
from tests.waiting import eventually

VERSION = "4.4.0"
# LocalStack checks signatures with the secret "test", whatever the access key.
ACCESS_KEY_ID = SECRET_ACCESS_KEY = "test"

_CACHE_FOLDER = ROOT / ".cache" / "localstack"


@contextmanager
def running_localstack(folder: Path) -> Iterator[str]:
    """The endpoint of its S3. What it writes is in `folder`, but for what it would compute anew at
    every start: that is in the project's cache.
    """
    folder.mkdir(parents=True)
    _CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    with hold_free_port() as held:
        port = port_of(held)
        with (folder / "localstack.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=KILL", "--"),
                    *(_python(), "-P", "-m", "localstack.runtime.main"),
                ],
                cwd=folder,
                env=_environment(folder, port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def is_alive() -> None:
            assert process.poll() is None, f"LocalStack ended:\n{Path(log.name).read_text()}"

        try:
            endpoint_url = _endpoint_url(port)
            eventually(lambda: _answers(endpoint_url), "LocalStack is up", watch=is_alive)
            yield endpoint_url
        finally:
            if process.poll() is None:
                # An orderly stop takes it seconds, or for ever, and saves nothing that is wanted.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _endpoint_url(port: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        # It would win over the address that is asked for.
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        endpoint_url = get_service_endpoint("s3", localstack_host=f"127.0.0.1:{port}")
    assert endpoint_url is not None
    return str(endpoint_url)


def _answers(endpoint_url: str) -> bool:
    try:
        health = requests.get(f"{endpoint_url}/_localstack/health").json()
    except requests.RequestException:
        return False
    # Other emulators answer this path too.
    assert health["version"] == VERSION, f"{endpoint_url} is another server: {health}"
    return bool(health["services"]["s3"] in ("available", "running"))


def _python() -> str:
    return str(ROOT / ".venvs" / "localstack" / "bin" / "python")


def _environment(folder: Path, port: int) -> dict[str, str]:
    """All of it: nothing of the machine's own settings reaches LocalStack."""
    root, temporary = folder / "root", folder / "tmp"
    temporary.mkdir()
    # The index of all AWS APIs, which takes it 5 seconds to make, and a certificate.
    (root / "var" / "lib" / "localstack").mkdir(parents=True)
    (root / "var" / "lib" / "localstack" / "cache").symlink_to(_CACHE_FOLDER)
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(temporary),
        "FILESYSTEM_ROOT": str(root),
        # In a container it would ignore FILESYSTEM_ROOT and write to /var/lib/localstack.
        "OVERRIDE_IN_DOCKER": "0",
        "SERVICES": "s3",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        # The default one, twisted, listens on every address, whatever GATEWAY_LISTEN says.
        "GATEWAY_SERVER": "hypercorn",
        # It checks presigned links when it is told to.
        "S3_SKIP_SIGNATURE_VALIDATION": "0",
        # No requests to the outside, and no name server.
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
    }
