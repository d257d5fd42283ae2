"""S3 for whoever stores, reads and deletes a few objects at a time, without boto3."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree

from image_api.aws.requests import SignedRequests
from image_api.aws.signing import CACHE_CONTROL, bucket_url, content_disposition
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.settings import StorageSettings

if TYPE_CHECKING:
    import urllib3

_TIMEOUT_SECONDS = 5.0
_RETRIES = 1


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

    def delete_folder(self, prefix: str, keep: Collection[str] = ()) -> None:
        """Deletes whatever lies below `prefix`, with all that a bucket keeps of it when somebody
        deletes it otherwise, but for `keep`: keys, and folders with a slash at the end.
        """
        folders = tuple(kept for kept in keep if kept.endswith("/"))
        for key, version in self._versions(prefix):
            if key not in keep and not key.startswith(folders):
                self._delete_version(key, version)

    def delete_all_versions(self, key: str) -> None:
        """For good, whatever the bucket keeps."""
        for found, version in self._versions(key):
            if found == key:
                self._delete_version(key, version)

    def _delete_version(self, key: str, version: str) -> None:
        target = f"{quote(key)}?versionId={quote(version, safe='')}"
        _expect(self._send("DELETE", target), 204, "The storage did not delete every file")

    def _versions(self, prefix: str) -> list[tuple[str, str]]:
        """Keys and versions, those that only say that a key was deleted too. Where none are kept
        every object is the version `null`.
        """
        found: list[tuple[str, str]] = []
        query, after = f"?prefix={quote(prefix, safe='')}&versions=", ""
        while True:
            response = self._send("GET", query + after)
            _expect(response, 200, "The storage did not list the files")
            try:
                # Written by S3 itself.
                listing = ElementTree.fromstring(response.data)  # noqa: S314
            except ElementTree.ParseError as error:
                raise ServiceUnavailable("The storage did not list the files") from error
            found += [
                (each.findtext("{*}Key") or "", each.findtext("{*}VersionId") or "null")
                for kind in ("Version", "DeleteMarker")
                for each in listing.findall(f"{{*}}{kind}")
            ]
            if listing.findtext("{*}IsTruncated") != "true":
                return found
            key, version = (
                quote(listing.findtext(f"{{*}}Next{name}") or "", safe="")
                for name in ("KeyMarker", "VersionIdMarker")
            )
            after = f"&key-marker={key}&version-id-marker={version}"

    def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> urllib3.BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        try:
            return self._requests.send(
                method,
                self._url + target,
                body,
                headers,
                timeout_seconds=_TIMEOUT_SECONDS,
                retries=_RETRIES,
            )
        except HTTPError as error:
            raise ServiceUnavailable("The storage did not answer") from error


def _expect(response: urllib3.BaseHTTPResponse, status: int, otherwise: str) -> None:
    if response.status != status:
        raise ServiceUnavailable(otherwise)
