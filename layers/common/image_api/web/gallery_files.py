"""The gallery's files, as browsers get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from image_api.web.content_security import own_scripts

if TYPE_CHECKING:
    from image_api.core.library.images import Visibility

_CONTENT_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
# Their names say what they hold.
_FOR_EVER = "public, max-age=31536000, immutable"


class Gallery:
    """`storage_origins`: where images are loaded from and large files are sent to.

    `visibility`: of new images, for whoever adds some and chooses none. `trash_days`: after so many
    an image in the trash is deleted; 0: never.
    """

    def __init__(
        self,
        folder: Path,
        storage_origins: tuple[str, ...],
        visibility: Visibility,
        trash_days: int,
    ) -> None:
        page = (folder / "index.html").read_text(encoding="utf-8")
        self._index = page.replace("{{visibility}}", visibility).replace(
            "{{trash_days}}", str(trash_days)
        )
        self._files = {
            path.name: path.read_text(encoding="utf-8")
            for path in folder.iterdir()
            if path.suffix in _CONTENT_TYPES
        }
        storage = " ".join(storage_origins)
        self._preconnect = f"<{storage_origins[0]}>; rel=preconnect"
        self._policy = (
            f"default-src 'none'; script-src 'self' {own_scripts(self._index)}; "
            "style-src 'self'; "
            f"img-src 'self' data: blob: {storage}; connect-src 'self' {storage}; "
            "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
        )

    def index(self, base_path: str) -> Response[str]:
        """`base_path`: of the API, `/` or `/v1/`. All that the page names is below it, whether it
        was asked for with the last slash or without.
        """
        page = self._index.replace("{{base}}", base_path)
        headers: dict[str, str | list[str]] = {
            "Content-Security-Policy": self._policy,
            "Cache-Control": "no-cache",
            # Where the pictures are.
            "Link": self._preconnect,
        }
        return Response(200, "text/html; charset=utf-8", page, headers)

    def file(self, name: str) -> Response[Any]:
        """Raises NotFoundError: an old page asks for files of its time."""
        if name not in self._files:
            raise NotFoundError
        content_type = _CONTENT_TYPES[Path(name).suffix]
        return Response(200, content_type, self._files[name], {"Cache-Control": _FOR_EVER})
