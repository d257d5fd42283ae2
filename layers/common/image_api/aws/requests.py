"""Single requests to AWS, signed by botocore's own signer: a boto3 client takes longer to load than
all else that a function does at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from image_api.aws.credentials import AwsCredentials

if TYPE_CHECKING:
    import urllib3

CONNECT_TIMEOUT_SECONDS = 2.0


class SignedRequests:
    """To one service. Threads may share it; connections are kept."""

    def __init__(
        self,
        service: str,
        region: str,
        credentials: Callable[[], AwsCredentials],
        *,
        connections: int,
    ) -> None:
        self._service = service
        self._region = region
        self._credentials = credentials
        self._connections = connections

    def send(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float,
        retries: int = 0,
    ) -> urllib3.BaseHTTPResponse:
        """Raises urllib3.exceptions.HTTPError. A retry follows a lost connection or a 5xx."""
        from urllib3 import Retry, Timeout

        retry = Retry(
            total=retries,
            redirect=0,
            allowed_methods=None,
            status_forcelist=(500, 502, 503, 504),
            backoff_factor=0.1,
            raise_on_redirect=False,
            raise_on_status=False,
        )
        return self._pool.request(
            method,
            url,
            body=body,
            headers=self._signed_headers(method, url, body, headers or {}),
            timeout=Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=timeout_seconds),
            # False: what goes wrong is raised as it is, and says how.
            retries=retry if retries else False,
        )

    def _signed_headers(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> dict[str, str]:
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method, url, dict(headers), body)
        self._signer().add_auth(request)
        return dict(request.headers.items())

    def _signer(self) -> Any:
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.credentials import Credentials

        own = self._credentials()
        credentials = Credentials(own.access_key_id, own.secret_access_key, own.session_token)
        signer = S3SigV4Auth if self._service == "s3" else SigV4Auth
        return signer(credentials, self._service, self._region)

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        import urllib3

        return urllib3.PoolManager(maxsize=self._connections)

    def close(self) -> None:
        self._pool.clear()
