"""S3 for whoever stores, reads and deletes a few objects at a time, without boto3."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree

from image_api.aws.requests import SignedRequests
from image_api.aws.signing import CACHE_CONTROL, bucket_url, content_disposition
from image_api.errors import ObjectMissing, ServiceUnavailable, StillDeleting
from image_api.settings import StorageSettings

if TYPE_CHECKING:
    import urllib3

_TIMEOUT_SECONDS = 5.0
_RETRIES = 1
# S3 deletes so many with one request, and needs its time for them.
_MOST_AT_ONCE = 1000
_DELETION_TIMEOUT_SECONDS = 10.0
# What of a folder is not begun within this is left for another time: others wait.
_FOLDER_SECONDS = 5.0


class StoredObjects:
    """Those of one bucket. Threads may share it. Every method raises ServiceUnavailable."""

    def __init__(self, requests: SignedRequests, settings: StorageSettings) -> None:
        self._requests = requests
        self._bucket = settings.bucket
        self._url = bucket_url(settings.bucket, settings.region, settings.endpoint_url)

    def put(self, key: str, data: bytes, content_type: str) -> None:
        headers = {
            "Content-Type": content_type,
            "Content-Disposition": content_disposition(key),
            "Cache-Control": CACHE_CONTROL,
        }
        response = self._send("PUT", quote(key), headers, data)
        _expect(response, 200, "The storage did not take the file; try again")

    def get(self, key: str) -> bytes:
        """Raises ObjectMissing."""
        response = self._send("GET", quote(key))
        if response.status == 404:
            raise ObjectMissing
        _expect(response, 200, "The storage did not hand out the file")
        return response.data

    def get_up_to(self, key: str, max_bytes: int) -> bytes:
        """All of it, or one byte more than `max_bytes`. Raises ObjectMissing."""
        response = self._send("GET", quote(key), {"Range": f"bytes=0-{max_bytes}"})
        if response.status == 404:
            raise ObjectMissing
        # An empty object has no first byte, which S3 says with a status of its own.
        if response.status == 416:
            return b""
        _expect(response, 206, "The storage did not hand out the file")
        return response.data

    def get_if_present(self, key: str) -> bytes | None:
        try:
            return self.get(key)
        except ObjectMissing:
            return None

    def copy(self, key: str, new_key: str) -> None:
        """Within the bucket, with what was said of it when it was stored; raises ObjectMissing."""
        source = quote(f"{self._bucket}/{key}")
        response = self._send("PUT", quote(new_key), {"x-amz-copy-source": source})
        if response.status == 404:
            raise ObjectMissing
        _expect(response, 200, "The storage did not copy the file")
        # S3 may have begun to answer before it failed.
        if b"<CopyObjectResult" not in response.data:
            raise ServiceUnavailable("The storage did not copy the file")

    def delete(self, keys: list[str]) -> None:
        """Ignores missing keys."""
        for key in keys:
            _expect(self._send("DELETE", quote(key)), 204, "The storage did not delete every file")

    def delete_folder(self, prefix: str) -> None:
        """Deletes whatever lies below `prefix`, with all that a bucket keeps of it when somebody
        deletes it otherwise. Raises StillDeleting.
        """
        ends_at = time.monotonic() + _FOLDER_SECONDS
        while True:
            # The first ones each time: those of before are gone, and a marker with them.
            versions, after = self._page(prefix)
            self.delete_versions(versions)
            if not after:
                return
            if time.monotonic() >= ends_at:
                raise StillDeleting

    def delete_all_versions(self, key: str) -> None:
        """For good, whatever the bucket keeps."""
        self.delete_versions([found for found in self.versions(key) if found[0] == key])

    def delete_versions(self, versions: list[tuple[str, str]]) -> None:
        """Keys and versions. Ignores missing ones."""
        for start in range(0, len(versions), _MOST_AT_ONCE):
            body = _deletion(versions[start : start + _MOST_AT_ONCE])
            # S3 insists on it.
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            headers = {
                "Content-Type": "application/xml",
                "Content-MD5": b64encode(digest).decode(),
            }
            response = self._send("POST", "?delete=", headers, body, _DELETION_TIMEOUT_SECONDS)
            _expect(response, 200, "The storage did not delete the files")
            answer = _parsed(response.data, "The storage did not delete the files")
            # It names those that are left, and no others.
            if answer.find("{*}Error") is not None or not answer.tag.endswith("DeleteResult"):
                raise ServiceUnavailable("The storage did not delete every file")

    def versions(self, prefix: str) -> list[tuple[str, str]]:
        """Keys and versions, those that only say that a key was deleted too. Where none are kept
        every object is the version `null`.
        """
        found, after = self._page(prefix)
        while after:
            more, after = self._page(prefix, after)
            found += more
        return found

    def _page(self, prefix: str, after: str = "") -> tuple[list[tuple[str, str]], str]:
        """Some of what `versions` says, and the query for more, or nothing."""
        query = f"?prefix={quote(prefix, safe='')}&versions="
        response = self._send("GET", query + after)
        _expect(response, 200, "The storage did not list the files")
        listing = _parsed(response.data, "The storage did not list the files")
        found = [
            (each.findtext("{*}Key") or "", each.findtext("{*}VersionId") or "null")
            for kind in ("Version", "DeleteMarker")
            for each in listing.findall(f"{{*}}{kind}")
        ]
        if listing.findtext("{*}IsTruncated") != "true":
            return found, ""
        key, version = (
            quote(listing.findtext(f"{{*}}Next{name}") or "", safe="")
            for name in ("KeyMarker", "VersionIdMarker")
        )
        return found, f"&key-marker={key}&version-id-marker={version}"

    def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        try:
            return self._requests.send(
                method,
                self._url + target,
                body,
                headers,
                timeout_seconds=timeout_seconds,
                retries=_RETRIES,
            )
        except HTTPError as error:
            raise ServiceUnavailable("The storage did not answer") from error


def _expect(response: urllib3.BaseHTTPResponse, status: int, otherwise: str) -> None:
    if response.status != status:
        raise ServiceUnavailable(otherwise)


def _deletion(versions: list[tuple[str, str]]) -> bytes:
    deletion = ElementTree.Element("Delete", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    ElementTree.SubElement(deletion, "Quiet").text = "true"
    for key, version in versions:
        each = ElementTree.SubElement(deletion, "Object")
        ElementTree.SubElement(each, "Key").text = key
        ElementTree.SubElement(each, "VersionId").text = version
    return ElementTree.tostring(deletion)


def _parsed(answer: bytes, otherwise: str) -> ElementTree.Element:
    try:
        # Written by S3 itself.
        return ElementTree.fromstring(answer)  # noqa: S314
    except ElementTree.ParseError as error:
        raise ServiceUnavailable(otherwise) from error
