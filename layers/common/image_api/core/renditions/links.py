"""Links to renditions, which work without signing in: in pages, in messages, in `<img>`.

Those of a public image are the same for ever; all others expire, and are the same for a while, so
that browsers find again what they have.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from image_api.core.caching import WindowedCache
from image_api.errors import Unauthenticated

TTL_SECONDS = 3600
# So long a link stays the same: it is good for three quarters of an hour at least.
_WINDOW_SECONDS = 900
# What the secret that signs tokens signs for this purpose is a secret of its own.
_PURPOSE = b"image-management-api: links to renditions"
_MAC_BYTES = 16
_SIGNED = struct.Struct(">II")
_FORGED = "The link is not valid or has expired: ask for the image again"
_PUBLIC = re.compile(r"[0-9a-f]{32}", re.ASCII)


class LinkFacts(NamedTuple):
    """What a link depends on, as the image's row has it. `generation` counts how often those
    before were revoked; `public_secret`: of a public image.
    """

    generation: int
    public_secret: str | None


@dataclass(frozen=True, slots=True)
class LinkToken:
    """What a link claims, its signature checked; whether it holds for the image is the row's to
    say.
    """

    generation: int | None = None
    public_secret: str | None = None


class LinkSigner:
    """Signs and verifies with secrets that are derived from those of tokens."""

    def __init__(
        self,
        secret: str,
        previous_secret: str | None,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._now_seconds = now_seconds
        self.renew(secret, previous_secret)

    def renew(self, secret: str, previous_secret: str | None) -> None:
        self._keys = [
            hmac.digest(each.encode(), _PURPOSE, "sha256")
            for each in (secret, previous_secret)
            if each
        ]
        self._tokens = WindowedCache[str]()

    def token(self, image_id: int, facts: LinkFacts) -> str:
        """As it stands in a URL: nothing of it needs quoting."""
        if facts.public_secret is not None:
            return facts.public_secret
        window = int(self._now_seconds()) // _WINDOW_SECONDS * _WINDOW_SECONDS
        made_of = (image_id, facts.generation)
        found = self._tokens.find(window, made_of)
        if found is not None:
            return found
        signed = _SIGNED.pack(facts.generation, window + TTL_SECONDS)
        mac = _mac(self._keys[0], image_id, signed)
        made = base64.urlsafe_b64encode(signed + mac).decode()
        return self._tokens.keep(window, made_of, made)

    def verify(self, image_id: int, token: str) -> LinkToken:
        """Raises Unauthenticated."""
        if _PUBLIC.fullmatch(token):
            return LinkToken(public_secret=token)
        try:
            decoded = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
            signed, mac = decoded[: _SIGNED.size], decoded[_SIGNED.size :]
            generation, expires_at = _SIGNED.unpack(signed)
        except (binascii.Error, ValueError, struct.error) as error:
            raise Unauthenticated(_FORGED) from error
        is_ours = any(hmac.compare_digest(_mac(key, image_id, signed), mac) for key in self._keys)
        if not is_ours or expires_at <= self._now_seconds():
            raise Unauthenticated(_FORGED)
        return LinkToken(generation=generation)


class ObjectSigner(Protocol):
    def signed(self, key: str) -> str: ...


class ImageLinks:
    """What an image's row names, as URLs that a browser can open. `base_url`: of this API for the
    client that asks, without a slash at the end.
    """

    def __init__(self, objects: ObjectSigner, tokens: LinkSigner, base_url: str) -> None:
        self._objects = objects
        self._tokens = tokens
        self._base_url = base_url

    def signed(self, key: str) -> str:
        return self._objects.signed(key)

    def rendition(self, image_id: int, facts: LinkFacts) -> str:
        token = self._tokens.token(image_id, facts)
        return f"{self._base_url}/image/{image_id}/rendition?token={token}"


def _mac(key: bytes, image_id: int, signed: bytes) -> bytes:
    return hmac.digest(key, b"%d " % image_id + signed, "sha256")[:_MAC_BYTES]
