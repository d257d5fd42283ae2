"""Reads every value that RabbitMQ can hold in a message's headers, and writes it back.

pika cuts the fraction off a number, cannot write one that has a fraction, and loses its connection
over a time beyond the year 9999, which is what a program writes that counts milliseconds. It offers
no way to say how values are read, so its two functions for that are replaced for the whole process.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pika import data

from infra.local.triggers.rabbitmq_event import FarTime

_read_value: Callable[[bytes, int], tuple[Any, int]] = data.decode_value
_write_value: Callable[[list[bytes], Any], int] = data.encode_value

_NUMBERS = {b"f": struct.Struct(">f"), b"d": struct.Struct(">d")}
_TIME = struct.Struct(">Q")


def install() -> None:
    """From now on pika reads and writes values as this module does."""
    data.decode_value = _decode_value
    data.encode_value = _encode_value


def _decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    kind, start = encoded[offset : offset + 1], offset + 1
    if number := _NUMBERS.get(kind):
        return number.unpack_from(encoded, start)[0], start + number.size
    if kind == b"T":
        (seconds,) = _TIME.unpack_from(encoded, start)
        return _time(seconds), start + _TIME.size
    return _read_value(encoded, offset)


def _encode_value(pieces: list[bytes], value: Any) -> int:
    if isinstance(value, float):
        pieces.append(b"d" + _NUMBERS[b"d"].pack(value))
    elif isinstance(value, FarTime):
        pieces.append(b"T" + _TIME.pack(value))
    else:
        return _write_value(pieces, value)
    return len(pieces[-1])


def _time(seconds: int) -> datetime | FarTime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return FarTime(seconds)
