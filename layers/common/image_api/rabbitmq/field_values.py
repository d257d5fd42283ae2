"""Reads every value that RabbitMQ can hold in a message's headers.

pika gives its connection up over a time beyond the year 9999, which is what a program writes that
counts milliseconds: one such letter would hide all others. It offers no way to say how values are
read, so its function for that is replaced for the whole process. (A number that is none, which it
cannot read either, RabbitMQ takes from nobody.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pika import data

_read_value: Callable[[bytes, int], tuple[Any, int]] = data.decode_value

_TIME = struct.Struct(">Q")


def install() -> None:
    """From now on pika reads values as this module does."""
    data.decode_value = _decode_value


def _decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    if encoded[offset : offset + 1] != b"T":
        return _read_value(encoded, offset)
    try:
        return _read_value(encoded, offset)
    except (ValueError, OverflowError):
        # A whole number, as the property `timestamp` has it.
        (seconds,) = _TIME.unpack_from(encoded, offset + 1)
        return seconds, offset + 1 + _TIME.size
