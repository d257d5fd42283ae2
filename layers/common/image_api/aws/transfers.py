"""Files over signed URLs and forms, for whoever has no rights of its own."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

import urllib3
from urllib3.exceptions import HTTPError

from image_api.core.renditions.render_requests import RESULTS_OF_A_PICTURE
from image_api.errors import ObjectMissing, ServiceUnavailable

# A storage that is silent on the way there and back leaves the renderer time to say so.
_RETRIES = urllib3.Retry(
    total=2,
    read=1,
    redirect=0,
    allowed_methods=None,
    status_forcelist=(500, 502, 503, 504),
    backoff_factor=0.2,
    raise_on_redirect=False,
    raise_on_status=False,
)
_TIMEOUT = urllib3.Timeout(connect=2.0, read=10.0)


class TransferRefused(Exception):
    """The storage does not take the file: it is larger than its form allows, or of another kind."""


class SignedTransfers:
    """Threads may share it; as many connections are kept as a picture has results."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(maxsize=RESULTS_OF_A_PICTURE)

    def get(self, url: str) -> bytes:
        """Raises ObjectMissing or ServiceUnavailable."""
        try:
            response = self._pool.request("GET", url, retries=_RETRIES, timeout=_TIMEOUT)
        except HTTPError:
            # It quotes the URL, and whoever reads that in a log could read the file.
            raise ServiceUnavailable("The storage did not answer") from None
        if response.status == 404:
            raise ObjectMissing
        if response.status != 200:
            raise ServiceUnavailable(f"The storage answered {response.status} to a signed URL")
        return response.data

    def post(self, url: str, fields: Mapping[str, str], data: bytes) -> None:
        """Sends a form with a file. Raises TransferRefused or ServiceUnavailable."""
        boundary = uuid4().hex
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        head += (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="file"\r\n'
            f"Content-Type: {fields['Content-Type']}\r\n\r\n"
        )
        # The file is sent as it lies in memory: a copy of a large one would count twice.
        parts = [head.encode(), data, f"\r\n--{boundary}--\r\n".encode()]
        try:
            response = self._pool.request(
                "POST",
                url,
                body=parts,
                headers={
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(sum(map(len, parts))),
                },
                retries=_RETRIES,
                timeout=_TIMEOUT,
            )
        except HTTPError:
            # It quotes the URL.
            raise ServiceUnavailable("The storage did not answer") from None
        if response.status >= 500:
            raise ServiceUnavailable(f"The storage answered {response.status} to a form")
        if response.status not in (200, 201, 204):
            raise TransferRefused(f"The storage answered {response.status} to a form")
