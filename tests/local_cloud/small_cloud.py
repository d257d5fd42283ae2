"""The whole local cloud over a copy of the small project, as a command.

The services are said to run elsewhere: this project uses none of them.
"""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import requests

from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually

# It takes connections, and nobody ever speaks to it.
_SILENT = socket.create_server(("127.0.0.1", 0), backlog=4096)
_ADDRESS = f"127.0.0.1:{_SILENT.getsockname()[1]}"
ELSEWHERE = {
    "DATABASE_URL": f"postgresql://nobody@{_ADDRESS}/none",
    "RABBITMQ_URL": f"amqp://guest:guest@{_ADDRESS}/%2F",
    "AWS_ENDPOINT_URL": f"http://{_ADDRESS}",
}


class Cloud(RunningCloud):
    """Of the small project, whose copy may be changed."""

    def __init__(
        self,
        project: Path,
        *options: str,
        command: Literal["run", "services"] = "run",
        as_json: bool = False,
        is_private: bool = True,
        data: str = "data",
        settings: Mapping[str, str] = MappingProxyType({}),
        **variables: str,
    ) -> None:
        super().__init__(
            project / data,
            *options,
            template=project / "template.yaml",
            command=command,
            variables={**ELSEWHERE, **settings, **variables},
            as_json=as_json,
            is_private=is_private,
        )

    def get(self, path: str) -> tuple[int, str]:
        answer = requests.get(self.api_url + path)
        return answer.status_code, answer.text

    def says(self, words: str) -> None:
        """Returns once it has, and fails when it ends before."""
        eventually(lambda: words in self.log(), f"it says {words!r}", watch=self.assert_alive)


@contextlib.contextmanager
def running(cloud: Cloud) -> Iterator[Cloud]:
    cloud.start()
    try:
        yield cloud
    finally:
        if cloud.is_running:
            cloud.stop()


def refused(cloud: Cloud, *arguments: str) -> str:
    """What a command says that must fail in words, without a traceback."""
    done = cloud.run(*arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def replace(path: Path, text: str, project: Path) -> None:
    """In one step, as editors do it: nobody sees half of the file, or two changes."""
    draft = project.with_name("draft")
    draft.write_text(text)
    draft.replace(path)
