"""How the programs of this folder begin and end."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable


class Explained(Exception):
    """An error that whoever runs the program can act on: its text is all they need to see."""


def run(work: Callable[[], int]) -> int:
    """The program's exit status: 1, with the reasons on standard error, for what is explained."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    # What matters of these is said in our own words.
    for name in ("pika", "samtranslator"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return work()
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        reasons = _reasons(error)
        if not reasons:
            raise
        print(*reasons, sep="\n", file=sys.stderr)
        return 1


def on_stop_signal(stop: Callable[[], None]) -> None:
    """Has the running event loop call `stop` for every Ctrl-C and every request to terminate."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def in_words(error: BaseException) -> str:
    """What to tell of it: its own text where it was made for that."""
    return "; ".join(_reasons(error)) or f"{type(error).__name__}: {error}"


def _reasons(error: BaseException) -> list[str]:
    """What to tell, when every part of the error is explained."""
    if isinstance(error, BaseExceptionGroup):
        parts = [_reasons(part) for part in error.exceptions]
        return [reason for part in parts for reason in part] if all(parts) else []
    return [str(error)] if isinstance(error, Explained) else []
