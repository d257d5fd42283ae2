"""A request that is sent again with its key is answered again, and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from image_api.core.library.images import Caller
from image_api.errors import ServiceUnavailable

# How long a key is remembered.
KEPT_SECONDS = 24 * 60 * 60


class Answer(NamedTuple):
    """What of an answer is not the same for all: which image, and which of its changes this is."""

    image_id: int
    version: int
    # Of many images, each by its id as a text.
    results: dict[str, Any] | None = None


class KeyRecords(Protocol):
    def claim_key(
        self, user_id: int, key: str, request_hash: bytes, claim_id: str, kept_seconds: int
    ) -> Answer | None:
        """The first answer, or None when this request is the first.

        Raises KeyReused, RequestInProgress or Unauthenticated.
        """

    def answer_claims(self, claim_ids: Sequence[str], answer: Answer) -> None:
        """Those that still hold and have no answer."""

    def release_key(self, claim_id: str) -> None:
        """Unless it was answered."""


def once(
    records: KeyRecords,
    caller: Caller,
    request_hash: Callable[[], bytes],
    accept: Callable[[Caller], Answer],
    *,
    key: str | None = None,
    kept_seconds: int = KEPT_SECONDS,
) -> Answer:
    """What `accept` answers, or what it answered the first time.

    `accept` gets the caller with the claim, which the accepted change answers in its own
    transaction. A refusal is not remembered. `key` is the client's own unless given, and
    `request_hash` is asked for where there is one.
    """
    key = key or caller.idempotency_key
    if key is None:
        return accept(caller)
    claim_id = str(uuid4())
    first = records.claim_key(caller.user_id, key, request_hash(), claim_id, kept_seconds)
    if first is not None:
        if caller.claim_ids:
            # Whoever asks with another key than the first one is answered with that key as well.
            records.answer_claims(caller.claim_ids, first)
        return first
    try:
        return accept(replace(caller, claim_ids=(*caller.claim_ids, claim_id)))
    except BaseException:
        with suppress(ServiceUnavailable):
            records.release_key(claim_id)
        raise


def fingerprint(*fields: object, data: bytes = b"") -> bytes:
    """The same for the same fields and bytes, however they were sent."""
    text = json.dumps(fields, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode() + b"\0" + hashlib.sha256(data).digest()).digest()
