"""Presigned S3 URLs and forms, made here because botocore takes 20 times as long for each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from image_api.aws.credentials import AwsCredentials, signing_key
from image_api.core.caching import WindowedCache
from image_api.settings import dns_suffix

if TYPE_CHECKING:
    # It measures pictures, and most who sign have none.
    from image_api.core.renditions.render_requests import Upload

_ALGORITHM = "AWS4-HMAC-SHA256"
# Keys are never used again for other bytes.
CACHE_CONTROL = "private, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What all URLs and forms signed at the same time by the same share."""

    credentials: AwsCredentials
    timestamp: str
    expires_at: str
    scope: str
    query: str
    key: bytes


class UrlSigner:
    """Signs GET requests for one bucket with Signature Version 4, in the query string, and forms.

    The time of signing is rounded down to a multiple of `ttl_seconds / 4`: an image keeps its
    URL for a while, so that browsers and CDNs may cache it, and it is never valid for less than
    three quarters of `ttl_seconds`.
    """

    def __init__(
        self,
        bucket: str,
        region: str,
        public_url: str | None,
        credentials: Callable[[], AwsCredentials],
        *,
        ttl_seconds: int = 3600,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """`public_url` is an emulator's (path-style addresses), or None on AWS."""
        self._bucket = bucket
        self._region = region
        self._credentials = credentials
        self._ttl_seconds = ttl_seconds
        self._step_seconds = max(1, ttl_seconds // 4)
        self._now_seconds = now_seconds
        self._signed_at = -1
        self._envelope: _Envelope | None = None
        self._urls = WindowedCache[str]()
        address = urlsplit(bucket_url(bucket, region, public_url))
        self._host = address.netloc
        self._origin, self._prefix = f"{address.scheme}://{address.netloc}", address.path

    def signed(self, key: str) -> str:
        return self._remembered(key, None)

    def signed_download(self, key: str, filename: str) -> str:
        """Whoever opens it saves a file of that name."""
        return self._remembered(key, attachment(filename))

    def _remembered(self, key: str, disposition: str | None) -> str:
        envelope = self._current_envelope()
        made_of = (key, disposition, envelope.key)
        url = self._urls.find(self._signed_at, made_of)
        if url is not None:
            return url
        return self._urls.keep(
            self._signed_at, made_of, self._signed_url(key, envelope, disposition)
        )

    def forms(self, uploads: Iterable[Upload]) -> tuple[str, dict[str, str], list[dict[str, str]]]:
        """Where to send forms, the fields that all of them share, and those of each.

        Whoever has one stores an object under its key and of its type, within its size.
        """
        envelope = self._current_envelope()
        shared = {
            "x-amz-algorithm": _ALGORITHM,
            "x-amz-credential": f"{envelope.credentials.access_key_id}/{envelope.scope}",
            "x-amz-date": envelope.timestamp,
            "Cache-Control": CACHE_CONTROL,
        }
        if envelope.credentials.session_token:
            shared["x-amz-security-token"] = envelope.credentials.session_token
        url = f"{self._origin}{self._prefix}"
        return url, shared, [self._form(upload, envelope, shared) for upload in uploads]

    def _form(self, upload: Upload, envelope: _Envelope, shared: dict[str, str]) -> dict[str, str]:
        own = {
            "key": upload.key,
            "Content-Type": upload.content_type,
            "Content-Disposition": content_disposition(upload.key),
        }
        fields = {"bucket": self._bucket, **shared, **own}
        conditions: list[object] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", 1, upload.max_bytes])
        document = json.dumps({"expiration": envelope.expires_at, "conditions": conditions})
        policy = base64.b64encode(document.encode())
        signature = hmac.digest(envelope.key, policy, "sha256").hex()
        return {**own, "policy": policy.decode(), "x-amz-signature": signature}

    def _current_envelope(self) -> _Envelope:
        signed_at = int(self._now_seconds()) // self._step_seconds * self._step_seconds
        credentials, envelope = self._credentials(), self._envelope
        if (
            envelope is None
            or signed_at != self._signed_at
            or credentials is not envelope.credentials
        ):
            envelope = self._envelope = self._envelope_at(signed_at, credentials)
            self._signed_at = signed_at
        return envelope

    def _signed_url(self, key: str, envelope: _Envelope, disposition: str | None) -> str:
        path = self._prefix + quote(key, safe="/-_.~")
        query = envelope.query
        if disposition is not None:
            # What is signed is in the order of its names, and small letters come last.
            query += f"&response-content-disposition={quote(disposition, safe='-_.~')}"
        request = f"GET\n{path}\n{query}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"{_ALGORITHM}\n{envelope.timestamp}\n{envelope.scope}\n{digest}"
        signature = hmac.digest(envelope.key, to_sign.encode(), "sha256").hex()
        return f"{self._origin}{path}?{query}&X-Amz-Signature={signature}"

    def _envelope_at(self, signed_at: int, credentials: AwsCredentials) -> _Envelope:
        moment = datetime.fromtimestamp(signed_at, UTC)
        timestamp = moment.strftime("%Y%m%dT%H%M%SZ")
        expires_at = (moment + timedelta(seconds=self._ttl_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        day = timestamp[:8]
        scope = f"{day}/{self._region}/s3/aws4_request"
        parameters = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
            "X-Amz-Date": timestamp,
            "X-Amz-Expires": str(self._ttl_seconds),
            "X-Amz-SignedHeaders": "host",
        }
        if credentials.session_token:
            parameters["X-Amz-Security-Token"] = credentials.session_token
        query = "&".join(
            f"{name}={quote(parameters[name], safe='-_.~')}" for name in sorted(parameters)
        )
        key = signing_key(credentials, day, self._region, "s3")
        return _Envelope(credentials, timestamp, expires_at, scope, query, key)


def bucket_url(bucket: str, region: str, endpoint_url: str | None) -> str:
    """With a slash at the end; `endpoint_url` is an emulator's (path-style addresses)."""
    if endpoint_url is None:
        return f"https://{bucket}.s3.{region}.{dns_suffix(region)}/"
    return f"{endpoint_url.rstrip('/')}/{bucket}/"


def attachment(filename: str) -> str:
    """The name in both forms of RFC 6266, of which old clients know but the first."""
    plain = "".join(
        character if " " <= character <= "~" and character not in '"\\%' else "_"
        for character in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='-_.~')}"


def content_disposition(key: str) -> str:
    return f'inline; filename="{key.rsplit("/", 1)[-1]}"'
