"""Connections of the tests' own to a broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.adapters.blocking_connection import BlockingChannel


@contextmanager
def open_channel(url: str) -> Iterator[BlockingChannel]:
    """A channel on a connection of its own, without a time-out at either end: the broker may be
    slow to let in, and the test may look away for long."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0
    parameters.socket_timeout = None
    parameters.stack_timeout = None
    with pika.BlockingConnection(parameters) as connection:
        yield connection.channel()
