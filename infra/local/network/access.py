"""Who may speak to the ports of the local cloud: programs, and pages that its owner opens.

A page of somebody else's, in the owner's browser, reaches these ports too. It cannot hide where it
comes from: its requests say so in Origin and Sec-Fetch-Site, and what it gets by pointing a name of
its own at this machine says so in Host.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

# Names that no stranger can own, with all below them.
_OWN_DOMAINS = (".localhost", ".local", ".internal")


@lru_cache(256)
def is_own_host(host: str, allowed: frozenset[str] = frozenset()) -> bool:
    """Whether a Host header names a machine that no stranger can have pointed here: by address, by
    a name without a dot, or by one that is allowed."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if name.endswith(_OWN_DOMAINS) or name in allowed:
        return True
    return _is_address(name) or (bool(name) and "." not in name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_of_a_strange_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent it for a page that this machine does not serve itself."""
    origin = headers.get("Origin")
    if origin is not None:
        return not is_own_host(urlsplit(origin).netloc)
    return headers.get("Sec-Fetch-Site", "none") == "cross-site"


def unknown_host() -> web.Response:
    """421, as RFC 9110 has it for a server that does not answer for this name."""
    return _refusal(
        421,
        "This server does not answer for the name in the Host header. If it is yours, "
        "set API_ALLOWED_HOSTS",
    )


def strange_page() -> web.Response:
    """403, for what is made for programs alone."""
    return _refusal(403, "Pages of other sites may not send requests to this server")


def _refusal(status: int, detail: str) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps({"detail": detail, "message": detail}).encode(),
        content_type="application/json",
    )
