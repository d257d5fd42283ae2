"""A shell on the database of the cloud that runs."""

import os
import shutil
from urllib.parse import unquote, urlsplit

from infra.local.cloud import CloudFailed
from infra.local.settings import Settings
from infra.services.postgres import binaries


def psql(settings: Settings, *, only_url: bool) -> int:
    """Becomes psql; `only_url`: prints the URL, with its password, instead. Raises CloudFailed."""
    state = settings.running_cloud()
    if state is None:
        raise CloudFailed("No local cloud is running here: start it with make run")
    variables = state["environment"]
    # The owner of the schema, who may see everything.
    url = variables.get("DATABASE_ADMIN_URL") or variables["DATABASE_URL"]
    if not only_url:
        _become_psql(url)
    print(url)
    return 0


def _become_psql(url: str) -> None:
    folder = binaries()
    program = shutil.which("psql", path=str(folder) if folder else None) or shutil.which("psql")
    if program is None:
        raise CloudFailed("There is no psql on this machine; make psql ARGS=--url prints the URL")
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    environment = {
        **os.environ,
        "PGUSER": unquote(parts.username or ""),
        # Not as an argument: those are open to everybody on this machine.
        "PGPASSWORD": unquote(parts.password or ""),
    }
    os.execve(program, [program, bare], environment)  # noqa: S606 -- there is no shell to start
