"""The command line `images`, in a shell, against the running system."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from tests import samples
from tests.e2e.api_client import PASSWORD, ApiClient
from tests.e2e.images_command import ImagesCommand
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually


@pytest.fixture
def username() -> str:
    return f"user-{uuid4().hex}"


@pytest.fixture
def images(cloud: RunningCloud, tmp_path: Path, username: str) -> ImagesCommand:
    command = ImagesCommand(tmp_path, cloud.api_url)
    command.sign_up(username)
    return command


@pytest.fixture
def api(cloud: RunningCloud, username: str, images: ImagesCommand) -> ApiClient:
    """The same account, seen by another program."""
    client = ApiClient(cloud.api_url)
    client.token = client.sign_in(username).json()["access_token"]
    return client


def pictures(folder: Path, count: int) -> list[str]:
    """Files that all differ, as names of a folder."""
    folder.mkdir()
    for number in range(count):
        image = samples.photo(40 + number % 8, 30 + number // 8)
        (folder / f"{number}.png").write_bytes(samples.png(image))
    return sorted(str(path) for path in folder.iterdir())


def test_a_picture_goes_from_a_file_through_the_service_to_a_file(
    images: ImagesCommand, tmp_path: Path
) -> None:
    source = tmp_path / "rocket.jpg"
    source.write_bytes(samples.rocket())
    (uploaded,) = images.json("upload", "--wait", "--visibility", "private", str(source))
    assert uploaded["outcome"] == "uploaded" and uploaded["error"] is None
    number = str(uploaded["id"])
    (shown,) = images.json("show", number)
    assert (shown["title"], shown["status"], shown["visibility"]) == (
        *("rocket.jpg", "ready"),
        "private",
    )
    (found,) = images.json("list")
    assert found["id"] == uploaded["id"]
    status, _, _ = images.run("edit", number, "--title", "Lift-off: one?")
    assert status == 0
    assert images.json("wait", number)[0]["title"] == "Lift-off: one?"
    (saved,) = images.json("download", number, "--to", str(tmp_path / "new"))
    path = Path(saved["file"])
    # A title is no path.
    assert path.parent == tmp_path / "new" and path.suffix == ".jpg"
    assert samples.opened(path.read_bytes()).size == (640, 427)
    again = ("download", number, "--to", str(tmp_path / "new"))
    assert images.run(*again)[0] == 0
    path.write_bytes(b"of somebody else")
    status, _, remarks = images.run(*again)
    assert status == 1 and "--force" in remarks
    assert [each.read_bytes() for each in path.parent.iterdir()] == [b"of somebody else"]
    assert images.run(*again, "--force")[0] == 0
    assert samples.opened(path.read_bytes()).size == (640, 427)
    status, _, remarks = images.run("delete", number)
    assert status == 2 and "--yes" in remarks
    assert images.run("delete", "--yes", number)[0] == 0
    assert images.json("list") == []
    assert images.run("show", number)[0] == 4


def test_a_folder_is_uploaded_and_what_is_there_already_is_skipped(
    images: ImagesCommand, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    names = pictures(folder, 6)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "0.png").write_bytes(b"")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    first = images.json("upload", str(folder), status=1)
    assert sorted(each["file"] for each in first if each["outcome"] == "uploaded") == names
    (refused,) = [each for each in first if each["outcome"] == "failed"]
    assert refused["file"].endswith("broken.jpg") and refused["id"] is None and refused["error"]
    (folder / "broken.jpg").unlink()
    (folder / "copy.png").write_bytes(Path(names[0]).read_bytes())
    second = images.json("upload", str(folder))
    assert {each["outcome"] for each in second} == {"already there"}
    assert {each["id"] for each in second} == {each["id"] for each in first} - {None}
    assert len(images.json("list", "--limit", "0")) == 6


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_upload_goes_on_without_a_duplicate(
    images: ImagesCommand, tmp_path: Path, blow: signal.Signals
) -> None:
    pictures(tmp_path / "holiday", 40)

    def remembered() -> int:
        return len(images.json("list", "--limit", "0"))

    def interrupted_after(count: int) -> int:
        process = images.start("upload", "--jobs", "3", str(tmp_path / "holiday"))
        eventually(lambda: process.poll() is not None or remembered() >= count, "some are sent")
        process.send_signal(blow)
        process.communicate()
        return process.returncode

    for count in (5, 15, 25):
        # Python that is still starting ends by the signal itself.
        assert interrupted_after(count) in (0, 130, -blow)
    last = images.json("upload", "--jobs", "3", str(tmp_path / "holiday"))
    assert len({each["id"] for each in last}) == 40
    assert remembered() == 40


def test_standard_input_is_a_picture_too_and_large_ones_go_straight_to_the_storage(
    images: ImagesCommand, tmp_path: Path
) -> None:
    large = tmp_path / "large.bmp"
    large.write_bytes(samples.bmp(samples.photo(1600, 1200)))
    assert large.stat().st_size > 4_500_000
    (uploaded,) = images.json("upload", "--wait", str(large))
    assert uploaded["outcome"] == "uploaded"
    with large.open("rb") as file:
        process = images.start("--json", "upload", "--title", "piped.bmp", "-", stdin=file.fileno())
        output, _ = process.communicate()
    assert process.returncode == 0
    assert f'"id": {uploaded["id"]}' in output and "already there" in output


def test_what_is_wrong_is_said_and_told_apart_by_the_exit_status(
    images: ImagesCommand, cloud: RunningCloud, username: str, tmp_path: Path
) -> None:
    status, _, remarks = images.run("upload", "nowhere.jpg")
    assert status == 4 and "nowhere.jpg: no such file or folder" in remarks
    assert images.run("upload")[0] == 2
    assert images.run("show", "999999999")[0] == 4
    assert images.run("edit", "999999999", "--visibility", "secret")[0] == 2
    # The server would drop what stands before the slash.
    assert images.run("edit", "999999999", "--title", "Rome 24/12")[0] == 2
    assert images.run("upload", "nowhere.jpg", "--title", "C:\\Rome")[0] == 4
    (tmp_path / "a.gif").write_bytes(samples.gif())
    assert images.run("upload", str(tmp_path / "a.gif"), "--title", "C:\\Rome")[0] == 2
    status, _, remarks = images.run("list", "--sort", "age")
    assert status == 2 and "'age' is not one of '-created_at'" in remarks
    assert "Value error" not in remarks
    status, _, remarks = images.run(
        "login", "--username", username, "--password-stdin", text="wrong!\n"
    )
    assert status == 3 and "Traceback" not in remarks
    stranger = ImagesCommand(tmp_path / "stranger", cloud.api_url)
    (tmp_path / "stranger").mkdir()
    status, output, remarks = stranger.run("--json", "list")
    assert (status, '"error": "Not signed in' in output, remarks) == (3, True, "")
    nobody = ImagesCommand(tmp_path, "http://127.0.0.1:9")
    status, _, remarks = nobody.run(
        "login", "--username", username, "--password-stdin", text=f"{PASSWORD}\n"
    )
    assert status == 6 and "127.0.0.1:9" in remarks


def test_what_somebody_types_who_has_never_seen_it_is_understood(
    images: ImagesCommand, cloud: RunningCloud, tmp_path: Path
) -> None:
    (tmp_path / "a.gif").write_bytes(samples.gif())
    status, output, _ = images.run("upload", "--wait", str(tmp_path / "a.gif"), "--json")
    uploaded = json.loads(output)
    assert (status, uploaded["outcome"]) == (0, "uploaded")
    # Whole, however narrow the terminal is.
    url = images.json("show", str(uploaded["id"]))[0]["url"].split("?")[0]
    assert url in images.run("show", str(uploaded["id"]))[1]
    status, output, remarks = images.run("tag", str(uploaded["id"]), "999999999", "--add", "x")
    assert status == 1 and "999999999: There is no such image" in remarks
    assert images.json("show", str(uploaded["id"]))[0]["tags"] == ["x"]
    (tmp_path / "newcomer").mkdir()
    newcomer = ImagesCommand(tmp_path / "newcomer", cloud.api_url.removeprefix("http://") + "/")
    newcomer.sign_up(f"user-{uuid4().hex}")
    assert newcomer.json("list") == []
    status, _, remarks = newcomer.run("list", "--server", "http://127.0.0.1:9")
    assert status == 3 and "http://127.0.0.1:9" in remarks


def test_tokens_are_kept_where_nobody_else_reads_them(
    images: ImagesCommand, tmp_path: Path
) -> None:
    (tokens,) = (tmp_path / "config" / "image-api-client").glob("tokens-*.json")
    assert tokens.stat().st_mode & 0o777 == 0o600
    assert images.run("logout")[0] == 0
    assert not tokens.exists()
    assert images.run("list")[0] == 3


@pytest.mark.parametrize(
    ("shell", "command"),
    [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --command")],
)
def test_completion_is_offered_for_shells(images: ImagesCommand, shell: str, command: str) -> None:
    status, output, _ = images.run("--show-completion", shell)
    assert (status, command in output) == (0, True), output
