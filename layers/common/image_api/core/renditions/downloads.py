"""What a browser saves a picture as, and the untouched file for whoever uploaded it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from image_api.errors import ImageNotFound

ORIGINAL_TTL_SECONDS = 300

# By what a title may end in beside an extension of its own format.
_ALIASES = {"jpg": ("jpg", "jpeg", "jpe", "jfif"), "tiff": ("tiff", "tif")}
_IMAGE_EXTENSIONS = {
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "avif", "tiff", "tif", "bmp",
    "heic", "heif", "hif",
}  # fmt: skip


class Original(NamedTuple):
    key: str
    title: str


class OriginalRecords(Protocol):
    def original(self, user_id: int, image_id: int) -> Original | None:
        """None unless it is the user's own. Raises Unauthenticated when the user is gone."""


class DownloadLinks(Protocol):
    def signed_download(self, key: str, filename: str) -> str:
        """A URL under which a browser saves the object by that name."""


def original_url(
    records: OriginalRecords, links: DownloadLinks, user_id: int, image_id: int
) -> str:
    """The bytes as they were uploaded, whatever became of them. Raises ImageNotFound."""
    original = records.original(user_id, image_id)
    if original is None:
        raise ImageNotFound
    extension = original.key.rpartition(".")[2]
    return links.signed_download(original.key, filename(original.title, extension))


def filename(title: str, extension: str) -> str:
    """The title, with the extension of what the file is in place of another format's."""
    stem, dot, suffix = title.rpartition(".")
    if not dot or not stem or suffix.lower() not in _IMAGE_EXTENSIONS:
        return f"{title}.{extension}"
    if suffix.lower() in _ALIASES.get(extension, (extension,)):
        return title
    return f"{stem}.{extension}"
