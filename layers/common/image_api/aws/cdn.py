"""URLs of CloudFront, signed with a key of our own: good until they say, whoever signed them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from image_api.aws.signing import attachment
from image_api.core.caching import WindowedCache
from image_api.errors import ConfigurationError
from image_api.settings import CdnSettings

_KEY_BITS = 2048
# CloudFront's own alphabet for what base64 has and a query should not.
_IN_QUERIES = bytes.maketrans(b"+=/", b"-_~")


class CdnUrlSigner:
    """Signs GET requests with a canned policy. As with `UrlSigner`, an image keeps its URL for a
    quarter of `ttl_seconds`, in all environments, and it is never valid for less than three.
    """

    def __init__(
        self,
        settings: CdnSettings,
        *,
        ttl_seconds: int = 3600,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigurationError."""
        self._ttl_seconds = ttl_seconds
        self._step_seconds = max(1, ttl_seconds // 4)
        self._now_seconds = now_seconds
        self.renew(settings)

    def renew(self, settings: CdnSettings) -> None:
        """Raises ConfigurationError."""
        self._base_url = settings.url.rstrip("/")
        self._key_id = settings.key_id
        self._key = _private_key(settings.private_key)
        self._urls = WindowedCache[str]()

    def signed(self, key: str) -> str:
        return self._remembered(key, None)

    def signed_download(self, key: str, filename: str) -> str:
        """Whoever opens it saves a file of that name."""
        return self._remembered(key, attachment(filename))

    def _remembered(self, key: str, disposition: str | None) -> str:
        """A signature takes most of a millisecond."""
        step = self._step_seconds
        expires_at = int(self._now_seconds()) // step * step + self._ttl_seconds
        return self._urls.get(
            expires_at, (key, disposition), lambda: self._signed_url(key, disposition, expires_at)
        )

    def _signed_url(self, key: str, disposition: str | None, expires_at: int) -> str:
        url = f"{self._base_url}/{quote(key, safe='/-_.~')}"
        if disposition is not None:
            url += f"?response-content-disposition={quote(disposition, safe='-_.~')}"
        policy = (
            f'{{"Statement":[{{"Resource":"{url}",'
            f'"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires_at}}}}}}}]}}'
        )
        # What CloudFront asks for; nobody chooses what is signed.
        signature = self._key.sign(policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
        encoded = base64.b64encode(signature).translate(_IN_QUERIES).decode()
        separator = "&" if disposition is not None else "?"
        return (
            f"{url}{separator}Expires={expires_at}&Signature={encoded}&Key-Pair-Id={self._key_id}"
        )


def _private_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The error may quote what it could not read.
        raise ConfigurationError("The CDN's private key is not an unencrypted PEM key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size != _KEY_BITS:
        raise ConfigurationError(f"The CDN's private key is not one of RSA with {_KEY_BITS} bits")
    return key
