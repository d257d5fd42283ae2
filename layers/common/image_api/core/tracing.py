"""W3C Trace Context: one trace from a request through the broker to its outcome."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

# A later version says at least as much.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_ROOT = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})", re.ASCII)
_MAX_CHARACTERS = 512


class Origin(NamedTuple):
    """By what the log lines of everything are found that comes of one request."""

    correlation_id: str = ""
    traceparent: str = ""


NO_ORIGIN = Origin()


def traceparent_of(sent: str | None, xray_header: str | None) -> str:
    """What the client sent, or else a trace of its own: X-Ray's where the gateway began one."""
    if sent and len(sent) <= _MAX_CHARACTERS and (found := _TRACEPARENT.fullmatch(sent)):
        # A version that is not known is passed on as the one that is.
        return sent if sent.startswith("00-") and not found[2] else f"00-{sent[3:55]}"
    root = _ROOT.search(xray_header or "")
    trace_id = root[1] + root[2] if root else secrets.token_hex(16)
    is_sampled = "Sampled=0" not in (xray_header or "")
    return f"00-{trace_id}-{secrets.token_hex(8)}-{'01' if is_sampled else '00'}"


def trace_id_of(traceparent: str) -> str | None:
    """None where there is no trace, as for what was accepted by code that knew none."""
    return traceparent[3:35] or None
