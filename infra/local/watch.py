"""Notices changes of the template and of the functions' code."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

# An editor's save is several changes within a few milliseconds.
_DEBOUNCE_MS = 200
_STEP_MS = 30


class _TemplateFilter(DefaultFilter):
    def __init__(self, template: Path) -> None:
        super().__init__()
        self._template = template

    def __call__(self, _change: Change, path: str) -> bool:
        return Path(path) == self._template


class Watcher:
    """Calls back, one call at a time, until its task is cancelled.

    While somebody else holds `busy`, changes wait.
    """

    def __init__(
        self,
        template: Path,
        on_template: Callable[[], Awaitable[None]],
        on_code: Callable[[Iterable[Path]], Awaitable[None]],
    ) -> None:
        self._template = template
        self._on_template = on_template
        self._on_code = on_code
        self.busy = asyncio.Lock()

    async def watch_template(self) -> None:
        """The folder is watched, because editors replace a file rather than write into it."""
        async for _ in _changes([self._template.parent], _TemplateFilter(self._template), False):
            async with self.busy:
                await self._on_template()

    async def watch_code(self, folders: Iterable[Path]) -> None:
        """Everything below these folders, but what Python and editors leave there."""
        async for paths in _changes(list(folders), DefaultFilter(), True):
            async with self.busy:
                await self._on_code(paths)


async def _changes(
    paths: list[Path], watch_filter: DefaultFilter, is_recursive: bool
) -> AsyncIterator[set[Path]]:
    async for changes in awatch(
        *paths,
        watch_filter=watch_filter,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        recursive=is_recursive,
        # Without this it would handle Ctrl-C itself.
        raise_interrupt=False,
    ):
        yield {Path(path) for _, path in changes}
