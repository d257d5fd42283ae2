"""How the programs of this folder begin and end."""

import asyncio
import logging
import resource
import signal
import sys
from collections.abc import Callable

# More than anything here needs; RabbitMQ and others set aside memory for as many as they may have.
_MOST_OPEN_FILES = 65_536


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


def allow_many_connections() -> None:
    """For this process and those it starts: a login begins with 1,024 open files, of which each
    connection is one, and a server that has no more hangs up on its next client.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_OPEN_FILES)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


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
