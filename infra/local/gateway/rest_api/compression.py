"""Payload compression, as API Gateway does it where the API has a MinimumCompressionSize.

Answers are compressed for clients that accept it, and compressed bodies are inflated before the
function sees them. Without it, neither is touched.
"""

import gzip
import zlib

from aiohttp import web

_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
# Where a client likes two codings alike.
_ORDER = ("gzip", "deflate")


class UnsupportedCoding(Exception):
    """A body is in a coding that API Gateway does not know, or in none that can be read."""


def compressed(response: web.Response, accept_encoding: str, minimum_bytes: int) -> web.Response:
    """The answer, in a coding that the client accepts if it is worth it."""
    body = response.body
    if not isinstance(body, bytes) or len(body) < minimum_bytes:
        return response
    coding = _accepted(accept_encoding)
    if coding is None or "Content-Encoding" in response.headers:
        return response
    response.body = gzip.compress(body, 6, mtime=0) if coding == "gzip" else zlib.compress(body, 6)
    response.headers["Content-Encoding"] = coding
    return response


def inflated(body: bytes, content_encoding: str, limit_bytes: int) -> bytes | None:
    """None for more than the limit. Raises UnsupportedCoding."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _WINDOW_BITS:
        raise UnsupportedCoding
    inflater = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        data = inflater.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise UnsupportedCoding from error
    if len(data) > limit_bytes:
        return None
    if not inflater.eof:
        raise UnsupportedCoding
    return data


def _accepted(accept_encoding: str) -> str | None:
    """The coding that the client likes best (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, _, parameters = part.partition(";")
        weights[name.strip().lower()] = _weight(parameters)
    best, best_weight = None, 0.0
    for coding in _ORDER:
        weight = weights.get(coding, weights.get("*", 0.0))
        if weight > best_weight:
            best, best_weight = coding, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
