"""The commands of `images`."""

from __future__ import annotations

import filecmp
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from image_api_client import __version__, errors
from image_api_client.cli import output, places
from image_api_client.cli.journal import Journal
from image_api_client.cli.places import Profile
from image_api_client.cli.uploads import Pauses, Result, sources_of, upload_all
from image_api_client.client import Client
from image_api_client.forms import Source
from image_api_client.images import ListQuery, UploadDetails
from image_api_client.models import (
    BatchResult,
    Fit,
    Image,
    ImageChanges,
    RenditionFormat,
    Sort,
    Status,
    Visibility,
)
from image_api_client.retries import Patience

DEFAULT_SERVER = "http://localhost:8000"
EXIT_SOME_FAILED = 1
EXIT_NOT_SIGNED_IN = 3
EXIT_NOT_FOUND = 4
EXIT_REFUSED = 5
EXIT_UNAVAILABLE = 6
EXIT_INTERRUPTED = 130

_HERE = Path()
# Over a minute: for a server that starts anew, and so long one that was killed in the middle of a
# request takes it for still running.
_UNATTENDED = Patience(attempts=10)

app = typer.Typer(
    name="images",
    help="Pictures of an Image Management API, from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass
class Options:
    """Of the whole command line, before the command."""

    server: str | None = None
    as_json: bool = False


_options = Options()

ImageId = Annotated[int, typer.Argument(help="The image's id", min=1)]
ImageIds = Annotated[list[int], typer.Argument(help="Ids of images", min=1)]


def main() -> NoReturn:
    """Ends with a status that scripts can tell apart; see the README."""
    try:
        status = app(_ordered(sys.argv[1:]), prog_name="images", standalone_mode=False)
    except errors.NotSignedIn as error:
        status = _complain(error, EXIT_NOT_SIGNED_IN, hint="images login")
    except (errors.NotFound, FileNotFoundError) as error:
        status = _complain(error, EXIT_NOT_FOUND)
    except (errors.Unreachable, errors.ServerError) as error:
        status = _complain(error, EXIT_UNAVAILABLE)
    except errors.ClientError as error:
        status = _complain(error, EXIT_REFUSED)
    except (KeyboardInterrupt, typer.Abort):
        output.remarks.print("Interrupted.")
        status = EXIT_INTERRUPTED
    except Exception as error:
        # Typer's own errors know how they want to be shown; anything else is a fault of ours.
        show: Callable[[], None] | None = getattr(error, "show", None)
        if show is None:
            raise
        # Pydantic's word for a choice that is none.
        vars(error)["message"] = str(vars(error).get("message", "")).removeprefix("Value error, ")
        show()
        status = getattr(error, "exit_code", 2)
    sys.exit(status or 0)


def _ordered(arguments: list[str]) -> list[str]:
    """`--json` and `--server` are options of every command, wherever they stand."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first: list[str] = []
    rest: list[str] = []
    options = iter(arguments[:end])
    for option in options:
        if option == "--json" or option.startswith("--server="):
            first.append(option)
        elif option == "--server":
            first += [option, *islice(options, 1)]
        else:
            rest.append(option)
    return first + rest + arguments[end:]


def _address(server: str) -> str:
    """With a scheme: what is on this machine needs no TLS."""
    address = server.rstrip("/")
    if "://" in address:
        return address
    host = address.partition("/")[0].rpartition(":")[0] or address
    return f"{'http' if host in ('localhost', '127.0.0.1', '[::1]') else 'https'}://{address}"


def _complain(error: Exception, status: int, hint: str | None = None) -> int:
    if isinstance(error, FileNotFoundError):
        words = f"{error.filename}: no such file or folder"
    else:
        words = str(error)
    if _options.as_json:
        code = error.code if isinstance(error, errors.ApiError) else None
        output.print_json({"error": words, "code": code})
    else:
        output.remarks.print(f"[red]{escape(words)}[/red]" + (f" ({hint})" if hint else ""))
        if isinstance(error, errors.ServerError) and error.correlation_id:
            output.remarks.print(f"Reference for whoever runs the server: {error.correlation_id}")
    return status


@app.callback()
def _before(
    server: Annotated[
        str | None,
        typer.Option(envvar="IMAGES_SERVER", help="The API's address", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one document a line")] = False,
    version: Annotated[bool, typer.Option("--version", help="The version, and no more")] = False,
) -> None:
    _options.server = _address(server) if server else None
    _options.as_json = as_json
    if version:
        output.results.print(__version__)
        raise typer.Exit


# --- accounts ---------------------------------------------------------------------------------


@app.command()
def login(
    username: Annotated[str, typer.Option(prompt="User name")],
    password_stdin: Annotated[
        bool, typer.Option(help="Read the password from standard input")
    ] = False,
) -> None:
    """Sign in, once; later commands stay signed in."""
    _enter(username, _password(password_stdin), Client.sign_in)


@app.command()
def register(
    username: Annotated[str, typer.Option(prompt="User name")],
    password_stdin: Annotated[
        bool, typer.Option(help="Read the password from standard input")
    ] = False,
) -> None:
    """Make an account, and sign in."""
    _enter(username, _password(password_stdin, confirm=True), Client.register)


@app.command()
def logout() -> None:
    """Sign out, here and on the server."""
    with _client() as client:
        client.sign_out()
    _say("Signed out.")


@app.command()
def whoami() -> None:
    """Who is signed in where, and what the account stores."""
    with _client() as client:
        account = client.account()
        if _options.as_json:
            output.print_json({**account.model_dump(mode="json"), "server": client.base_url})
            return
        limits = {name: limit for name, limit in account.limits.items() if limit}
        output.print_fields(
            [
                ("name", account.username),
                ("id", account.id),
                ("server", client.base_url),
                ("since", f"{account.created_at.astimezone():%Y-%m-%d}"),
                *(
                    (name, _of_limit(name, used, limits.get(name)))
                    for name, used in account.usage.items()
                ),
            ]
        )


@app.command()
def password(
    password_stdin: Annotated[
        bool, typer.Option(help="Read the old and the new one from standard input, a line each")
    ] = False,
) -> None:
    """Change the password; every other session of the account ends."""
    with _client() as client:
        current = _password(password_stdin, prompt="Current password")
        client.change_password(
            current, _password(password_stdin, prompt="New password", confirm=True)
        )
    _say("The password is changed; every other session has ended.")


# --- uploading --------------------------------------------------------------------------------


@app.command()
def upload(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input")],
    title: Annotated[str | None, typer.Option(help="Of a single file")] = None,
    visibility: Annotated[Visibility | None, typer.Option()] = None,
    description: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="At a time", min=1, max=32)] = 4,
    again: Annotated[bool, typer.Option(help="Also what was uploaded before")] = False,
    wait: Annotated[bool, typer.Option(help="Until each is processed")] = False,
) -> None:
    """Upload files and folders, several at a time.

    What is there already is skipped, by what its bytes are. After an interruption, the same
    command goes on where it stopped; no picture is there twice.
    """
    sources = list(sources_of(paths))
    if title is not None and len(sources) != 1:
        raise typer.BadParameter("one title is for one file", param_hint="--title")
    _check_title(title)
    details = UploadDetails(title, visibility, description, tuple(tag or ()))
    results: list[Result] = []
    pauses = Pauses()
    try:
        with (
            _client(_UNATTENDED, pauses.sleep) as client,
            _journal() as journal,
            _upload_progress(sources) as progress,
            closing(
                upload_all(
                    client,
                    journal,
                    sources,
                    details,
                    jobs=jobs,
                    again=again,
                    progress_of=progress.of_file,
                    pauses=pauses,
                )
            ) as uploaded,
        ):
            for result in uploaded:
                if wait and result.image_id is not None:
                    result = _processed(client, result)
                progress.finish(result)
                results.append(result)
    except (errors.Unreachable, KeyboardInterrupt):
        _say(f"{len(results)} of {len(sources)} are done; the same command goes on from there.")
        raise
    failed = [result for result in results if result.outcome == "failed"]
    if not _options.as_json:
        counts = dict.fromkeys(("uploaded", "already there", "failed"), 0)
        for result in results:
            counts[result.outcome] += 1
        _say(", ".join(f"{count} {name}" for name, count in counts.items() if count) or "No files.")
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


class _UploadProgress:
    """A bar for all files and one for each that is under way; a line for each result."""

    def __init__(self, bars: Progress, sources: list[tuple[str, Source]]) -> None:
        self._bars = bars
        self._files = bars.add_task("all", total=len(sources))
        self._tasks: dict[str, Any] = {}

    def of_file(self, name: str, source: Source) -> Callable[[int], None]:
        task = self._bars.add_task(escape(Path(name).name), total=source.size_bytes)
        self._tasks[name] = task
        return lambda sent_bytes: self._bars.update(task, completed=sent_bytes)

    def finish(self, result: Result) -> None:
        task = self._tasks.pop(result.name, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.advance(self._files)
        if _options.as_json:
            output.print_json(
                {
                    "file": result.name,
                    "outcome": result.outcome,
                    "id": result.image_id,
                    "error": result.problem,
                }
            )
        elif result.outcome == "failed":
            output.remarks.print(
                f"[red]{escape(result.name)}: {escape(result.problem or '')}[/red]"
            )
        else:
            output.results.print(f"{result.image_id}\t{escape(result.name)}")


@contextmanager
def _upload_progress(sources: list[tuple[str, Source]]) -> Iterator[_UploadProgress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=output.remarks,
        transient=True,
        disable=_options.as_json or not output.remarks.is_terminal,
    ) as bars:
        yield _UploadProgress(bars, sources)


def _processed(client: Client, result: Result) -> Result:
    assert result.image_id is not None
    try:
        client.wait(result.image_id)
    except (errors.ProcessingFailed, errors.StillProcessing) as error:
        return Result(result.name, "failed", result.image_id, str(error))
    return result


@contextmanager
def _journal() -> Iterator[Journal]:
    profile = places.current_profile()
    assert profile is not None
    journal = Journal(places.state_folder() / "uploads.sqlite3", profile.id)
    try:
        yield journal
    finally:
        journal.close()


# --- looking ----------------------------------------------------------------------------------


@app.command("list")
def list_images(
    title: Annotated[str | None, typer.Option(help="A part of the title")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="May be repeated; all must be there")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="me, or the id of a user")] = "me",
    everybody: Annotated[bool, typer.Option(help="Also what others share")] = False,
    status: Annotated[Status | None, typer.Option()] = None,
    visibility: Annotated[Visibility | None, typer.Option()] = None,
    content_type: Annotated[str | None, typer.Option(help="Such as image/png")] = None,
    created_after: Annotated[datetime | None, typer.Option()] = None,
    created_before: Annotated[datetime | None, typer.Option()] = None,
    trashed: Annotated[bool, typer.Option(help="What is in the trash")] = False,
    sort: Annotated[Sort | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="0: all", min=0)] = 100,
) -> None:
    """List your images, newest first."""
    query = ListQuery(
        title=title,
        tag=tuple(tag or ()),
        owner=None if everybody else _owner(owner),
        status=status,
        visibility=visibility,
        content_type=content_type,
        created_after=created_after,
        created_before=created_before,
        trashed=True if trashed else None,
        sort=sort,
    )
    _print_found(query, limit)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words in titles, descriptions and tags")],
    everybody: Annotated[bool, typer.Option(help="Also what others share")] = True,
    limit: Annotated[int, typer.Option("--limit", "-n", help="0: all", min=0)] = 100,
) -> None:
    """Find images by words."""
    _print_found(ListQuery(q=" ".join(words), owner=None if everybody else "me"), limit)


@app.command()
def show(
    image_id: ImageId,
    history: Annotated[bool, typer.Option(help="What was changed, and when")] = False,
) -> None:
    """Show one image."""
    with _client() as client:
        if history:
            for change in client.history(image_id):
                output.print_json(change)
            return
        _print_image(client.get(image_id))


@app.command()
def wait(
    ids: ImageIds,
    timeout: Annotated[float, typer.Option(help="Seconds", min=0)] = 300.0,
) -> None:
    """Wait until images are processed."""
    with _client() as client:
        for image_id in ids:
            image = client.wait(image_id, timeout)
            if _options.as_json:
                output.print_json(image)
            else:
                output.results.print(f"{image.id}\t{image.status}")


@app.command()
def tags(limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100)] = 100) -> None:
    """The tags of what you may see, most used first."""
    with _client() as client:
        for each in client.tags(limit=limit):
            if _options.as_json:
                output.print_json(each)
            else:
                output.results.print(f"{each.images}\t{escape(each.tag)}")


@app.command()
def download(
    ids: ImageIds,
    to: Annotated[
        Path, typer.Option("--to", "-o", help="A folder, or a file such as new.jpg")
    ] = _HERE,
    original: Annotated[bool, typer.Option(help="The bytes as they were uploaded")] = False,
    width: Annotated[int | None, typer.Option(help="In pixels", min=1)] = None,
    ratio: Annotated[str | None, typer.Option(help="Such as 16:9")] = None,
    format: Annotated[RenditionFormat | None, typer.Option(help="Of the file")] = None,
    force: Annotated[bool, typer.Option(help="Overwrite files")] = False,
) -> None:
    """Download images: as they are served, at a size, or the original bytes.

    A file that is there and has other bytes stays as it is.
    """
    if original and (width or ratio or format):
        raise typer.BadParameter("an original has one size and one format", param_hint="--original")
    in_the_way = []
    with _client() as client:
        for image_id in ids:
            image = client.get(image_id)
            url = _url_of(client, image, original, width, ratio, format)
            path = _target(to, image, format, is_only=len(ids) == 1)
            try:
                _save(client, url, path, force=force)
            except FileExistsError as error:
                in_the_way.append(image_id)
                _complain_of(image_id, error)
                continue
            if _options.as_json:
                output.print_json({"id": image_id, "file": str(path)})
            else:
                output.results.print(f"{image_id}\t{escape(str(path))}")
    if in_the_way:
        raise typer.Exit(EXIT_SOME_FAILED)


# --- changing ---------------------------------------------------------------------------------


@app.command()
def edit(
    image_id: ImageId,
    title: Annotated[str | None, typer.Option()] = None,
    description: Annotated[str | None, typer.Option()] = None,
    resolution: Annotated[str | None, typer.Option(help="Such as 1920x1080")] = None,
    fit: Annotated[Fit | None, typer.Option(help="How the resolution is reached")] = None,
    visibility: Annotated[Visibility | None, typer.Option()] = None,
    if_version: Annotated[int | None, typer.Option(help="Only if it still has this one")] = None,
) -> None:
    """Change an image."""
    _check_title(title)
    changes = ImageChanges(
        title=title,
        description=description,
        resolution=resolution,
        fit=fit,
        visibility=visibility,
    )
    if not changes.as_sent():
        raise typer.BadParameter("say what is to change: see images edit --help")
    with _client() as client:
        version = client.update(image_id, changes, version=if_version)
    _accepted({"id": image_id, "version": version}, f"Image {image_id} is being changed.")


@app.command()
def tag(
    ids: ImageIds,
    add: Annotated[list[str] | None, typer.Option(help="May be repeated")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="May be repeated")] = None,
) -> None:
    """Add and remove tags of images."""
    if not add and not remove:
        raise typer.BadParameter("say which tags: --add or --remove")
    results, refused = [], []
    with _client() as client:
        for image_id in ids:
            try:
                _tag(client, image_id, add or [], remove or [])
                results.append(image_id)
            except (errors.NotFound, errors.Invalid, errors.PreconditionFailed) as error:
                if len(ids) == 1:
                    raise
                refused.append(image_id)
                _complain_of(image_id, error)
    _accepted({"ids": results}, f"{len(results)} tagged.")
    if refused:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def share(
    ids: ImageIds,
    visibility: Annotated[
        Visibility, typer.Option(help="public: anybody who has the link; shared: who is signed in")
    ] = "public",
) -> None:
    """Share images, or make them private again; prints the links of public ones."""
    with _client() as client:
        _report(client.update_all(ids, ImageChanges(visibility=visibility)))
        for image_id in ids if visibility == "public" else ():
            image = client.wait(image_id)
            if _options.as_json:
                output.print_json({"id": image_id, "rendition_url": image.rendition_url})
            else:
                output.results.print(f"{image_id}\t{image.rendition_url}")


@app.command()
def trash(ids: ImageIds) -> None:
    """Move images to the trash."""
    with _client() as client:
        _report(client.update_all(ids, ImageChanges(trashed=True)))


@app.command()
def restore(ids: ImageIds) -> None:
    """Bring images back from the trash."""
    with _client() as client:
        _report(client.update_all(ids, ImageChanges(trashed=False)))


@app.command()
def delete(
    ids: ImageIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking")] = False,
) -> None:
    """Delete images for good, at once."""
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody can be asked here: say --yes", param_hint="--yes")
        typer.confirm(
            f"Delete {len(ids)} image{'' if len(ids) == 1 else 's'} for good?", abort=True, err=True
        )
    with _client() as client:
        _report(client.delete_all(ids))


# --- what the commands share ------------------------------------------------------------------


def _client(
    patience: Patience | None = None, sleep: Callable[[float], None] | None = None
) -> Client:
    profile = places.current_profile()
    if profile is None or (_options.server and _options.server != profile.server):
        raise errors.NotSignedIn(f"Not signed in at {_options.server or DEFAULT_SERVER}")
    return Client(
        profile.server, tokens=places.token_store(profile), patience=patience, sleep=sleep
    )


def _enter(username: str, secret: str, how: Callable[[Client, str, str], None]) -> None:
    server = _options.server or DEFAULT_SERVER
    profile = Profile(server, username)
    with Client(server, tokens=places.token_store(profile)) as client:
        how(client, username, secret)
    places.choose_profile(profile)
    _say(f"Signed in as {username} at {server}.")


def _tag(client: Client, image_id: int, add: list[str], remove: list[str]) -> None:
    image = client.get(image_id)
    removed = {name.casefold() for name in remove}
    kept = [name for name in image.tags if name.casefold() not in removed]
    present = {name.casefold() for name in kept}
    kept += [name for name in add if name.casefold() not in present]
    # Somebody else may add a tag meanwhile, which must not get lost.
    client.update(image_id, ImageChanges(tags=tuple(kept)), version=image.version)


def _password(from_stdin: bool, *, prompt: str = "Password", confirm: bool = False) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _say(words: str) -> None:
    if not _options.as_json:
        output.remarks.print(escape(words))


def _accepted(answer: dict[str, Any], words: str) -> None:
    if _options.as_json:
        output.print_json(answer)
    else:
        _say(words)


def _complain_of(image_id: int, error: Exception) -> None:
    """Of one among several."""
    if _options.as_json:
        output.print_json({"id": image_id, "error": str(error)})
    else:
        output.remarks.print(f"[red]{image_id}: {escape(str(error))}[/red]")


def _report(results: list[BatchResult]) -> None:
    refused = [result for result in results if not result.is_accepted]
    for result in results:
        if _options.as_json:
            output.print_json(result)
        elif not result.is_accepted:
            output.remarks.print(f"[red]{result.id}: {escape(result.detail or '')}[/red]")
    if refused:
        raise typer.Exit(EXIT_SOME_FAILED)
    _say(f"{len(results)} accepted.")


def _print_found(query: ListQuery, limit: int) -> None:
    with _client() as client:
        found = islice(client.images(query), limit or None)
        count = output.print_images(found, as_json=_options.as_json)
    if not count:
        _say("Nothing found.")


def _print_image(image: Image) -> None:
    if _options.as_json:
        output.print_json(image)
        return
    output.print_fields(
        [
            ("id", image.id),
            ("title", image.title),
            ("description", image.description),
            ("tags", ", ".join(image.tags)),
            ("owner", image.username or image.user_id),
            ("visibility", image.visibility),
            ("status", image.status),
            ("error", image.error),
            ("type", image.content_type),
            ("pixels", image.resolution),
            ("size", output.readable_bytes(image.size)),
            ("taken", image.taken_at),
            ("created", f"{image.created_at.astimezone():%Y-%m-%d %H:%M:%S}"),
            ("changed", f"{image.updated_at.astimezone():%Y-%m-%d %H:%M:%S}"),
            ("in the trash", image.trashed_at),
            ("version", image.version),
            ("url", image.url),
        ]
    )


def _url_of(
    client: Client,
    image: Image,
    original: bool,
    width: int | None,
    ratio: str | None,
    format: RenditionFormat | None,
) -> str:
    if original:
        return client.original_url(image.id)
    if width or ratio or format:
        return client.rendition_url(image.id, width=width, ratio=ratio, format=format)
    if image.url is None:
        raise errors.StillProcessing(f"Image {image.id} is still being processed")
    return image.url


_EXTENSIONS = {"image/jpeg": "jpg", "image/tiff": "tif", "image/x-ms-bmp": "bmp"}


def _target(to: Path, image: Image, format: RenditionFormat | None, *, is_only: bool) -> Path:
    """A path of this folder, whatever the title says."""
    if is_only and to.suffix and not to.is_dir():
        return to
    stem = re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", Path(image.title).stem).strip(" .") or "image"
    if format and format != "auto":
        extension = _EXTENSIONS.get(f"image/{format}", str(format))
    else:
        kind = image.content_type
        extension = _EXTENSIONS.get(kind, kind.rpartition("/")[2])
    return to / f"{stem}-{image.id}.{extension}"


def _save(client: Client, url: str, path: Path, *, force: bool) -> None:
    """Raises FileExistsError for a file of other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with (
            partial.open("w+b") as file,
            Progress(
                TextColumn("{task.description}"),
                DownloadColumn(),
                console=output.remarks,
                transient=True,
                disable=_options.as_json or not output.remarks.is_terminal,
            ) as bars,
        ):
            task = bars.add_task(escape(path.name), total=None)
            client.download(url, file, on_progress=lambda done: bars.update(task, completed=done))
        if path.exists() and not force and not filecmp.cmp(partial, path, shallow=False):
            raise FileExistsError(
                f"{path} already exists with different content; --force overwrites it"
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check_title(title: str | None) -> None:
    """The server takes what stands before a slash for folders, and drops it."""
    if title is not None and re.search(r"[/\\]", title):
        raise typer.BadParameter(r"a title has neither / nor \ in it", param_hint="--title")


def _owner(value: str | None) -> Literal["me"] | int | None:
    if value is None or value == "me":
        return "me" if value else None
    try:
        return int(value)
    except ValueError as error:
        raise typer.BadParameter("me, or the id of a user", param_hint="--owner") from error


def _of_limit(name: str, used: int, limit: int | None) -> str:
    shown = output.readable_bytes if name == "bytes" else str
    return f"{shown(used)} of {shown(limit)}" if limit else shown(used)
