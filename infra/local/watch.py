"""Notices changes of the template and of the functions' code."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

from infra.local.code_files import NOT_CODE

# An editor's save is several changes within a few milliseconds.
_DEBOUNCE_MS = 200
_STEP_MS = 30
# The kernel watches a folder, not its name: whether it is still the same one is looked at so often.
_LOOK_MS = 400


class _TemplateFilter(DefaultFilter):
    def __init__(self, template: Path) -> None:
        super().__init__()
        self._template = template

    def __call__(self, _change: Change, path: str) -> bool:
        return Path(path) == self._template


class _CodeFilter(DefaultFilter):
    def __init__(self, ignored: Iterable[Path]) -> None:
        super().__init__(ignore_dirs=sorted(NOT_CODE))
        self._ignored = frozenset(map(str, ignored))
        self._below_ignored = tuple(f"{path}{os.sep}" for path in ignored)

    def __call__(self, change: Change, path: str) -> bool:
        is_ignored = path in self._ignored or path.startswith(self._below_ignored)
        return not is_ignored and super().__call__(change, path)


class Watcher:
    """Calls back, one call at a time, until its task is cancelled.

    While somebody else holds `busy`, changes wait. What changes below `ignored` is nobody's code.
    `say` is told, in words, when the kernel cannot watch.
    """

    def __init__(
        self,
        template: Path,
        on_template: Callable[[], Awaitable[None]],
        on_code: Callable[[Iterable[Path]], Awaitable[None]],
        *,
        ignored: Collection[Path] = (),
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._template = template
        self._on_template = on_template
        self._on_code = on_code
        self._ignored = ignored
        self._say = say
        self._wanted: frozenset[Path] = frozenset()
        self.busy = asyncio.Lock()

    def want(self, folders: Iterable[Path]) -> None:
        """Folders that the template names and that are not there: once one is, the template is read
        again."""
        self._wanted = frozenset(folders)

    async def watch_template(self) -> None:
        """The folder is watched, because editors replace a file rather than write into it."""
        folder, watch_filter = self._template.parent, _TemplateFilter(self._template)
        async for changes in _changes([folder], watch_filter, self._say, is_recursive=False):
            if changes or any(folder.is_dir() for folder in self._wanted):
                async with self.busy:
                    await self._on_template()

    async def watch_code(self, folders: Iterable[Path]) -> None:
        """Everything below these folders, but what Python, editors and this cloud leave there."""
        watch_filter = _CodeFilter(self._ignored)
        async for changes in _changes(list(folders), watch_filter, self._say, is_recursive=True):
            if changes:
                async with self.busy:
                    await self._on_code(changes)


async def _changes(
    folders: list[Path],
    watch_filter: DefaultFilter,
    say: Callable[[str], None],
    *,
    is_recursive: bool,
) -> AsyncIterator[set[Path]]:
    """What changed, and from time to time an empty set.

    A folder that went, came or was made anew counts as changed, and is watched as it is now.
    """
    known = _identities(folders)
    is_polling = False
    while True:
        there = [folder for folder in folders if known[folder] is not None]
        watched = _watched(there, watch_filter, is_recursive=is_recursive, is_polling=is_polling)
        try:
            async with contextlib.aclosing(watched):
                async for changes in watched:
                    now = await asyncio.to_thread(_identities, folders)
                    # One that is made anew can get the number of the one that was removed.
                    removed = {Path(path) for change, path in changes if change == Change.deleted}
                    moved = {f for f in folders if now[f] != known[f] or f in removed}
                    yield {Path(path) for _, path in changes} | moved
                    if moved:
                        break
        except FileNotFoundError:
            # Gone between the look and the watch.
            pass
        except (OSError, RuntimeError) as error:
            # The system's limits; its errors have no other class in common.
            if is_polling:
                await asyncio.sleep(_LOOK_MS / 1000)
            else:
                say(f"the system cannot watch the files, which are looked at instead: {error}")
            is_polling = True
        known = await asyncio.to_thread(_identities, folders)


async def _watched(
    folders: list[Path], watch_filter: DefaultFilter, *, is_recursive: bool, is_polling: bool
) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """Of folders that exist. With none, only empty sets."""
    while not folders:
        await asyncio.sleep(_LOOK_MS / 1000)
        yield set()

    def is_wanted(change: Change, path: str) -> bool:
        return watch_filter(change, path) or (change == Change.deleted and Path(path) in folders)

    async for changes in awatch(
        *folders,
        watch_filter=is_wanted,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        recursive=is_recursive,
        # None leaves it to the environment.
        force_polling=is_polling or None,
        ignore_permission_denied=True,
        # Without this it would handle Ctrl-C itself.
        raise_interrupt=False,
    ):
        yield changes


def _identities(folders: Iterable[Path]) -> dict[Path, tuple[int, int] | None]:
    """Which folder of the disk each name stands for now; None for none."""
    identities: dict[Path, tuple[int, int] | None] = {}
    for folder in folders:
        try:
            status = folder.stat()
        except OSError:
            identities[folder] = None
        else:
            identities[folder] = status.st_dev, status.st_ino
    return identities
