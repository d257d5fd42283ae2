"""Whose word is taken on who is at the other end of a connection.

The system's store has some hundred and fifty issuers; reading it takes longer than any request that
a function sends at its start. AWS's own endpoints are vouched for by five.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

AMAZON_ROOTS = Path(__file__).with_name("amazon-roots.pem")

Connection = TypeVar("Connection")


def connected(
    connect: Callable[[ssl.SSLContext], Connection], *, has_own_issuers: bool
) -> Connection:
    """What `connect` makes with a context that believes Amazon's issuers alone, or where none of
    them has vouched for the other end (an emulator, a proxy on the way, some of China's endpoints),
    with one that believes the system's. Whichever it is verifies all of it, the name included.

    `has_own_issuers`: the environment names a store, and that one alone is believed.
    """
    if not has_own_issuers:
        try:
            return connect(_amazons())
        except ssl.SSLCertVerificationError:
            # The system decides, and says why not.
            pass
    return connect(_systems())


@cache
def _amazons() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=AMAZON_ROOTS)


@cache
def _systems() -> ssl.SSLContext:
    return ssl.create_default_context()
