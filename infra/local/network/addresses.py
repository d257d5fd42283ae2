"""Where services are that run already: looked at before anything is started."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from infra.local.settings import Settings, SettingsError

_LOOK_SECONDS = 5.0
# What a machine without IPv6 says of the other address of a name; it says nothing of the service.
_NO_SUCH_NETWORK = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)
# By variable: what its URL may begin with, and the port that it then stands for.
_SCHEMES: Mapping[str, Mapping[str, int]] = {
    "DATABASE_URL": {"postgresql": 5432, "postgres": 5432},
    "DATABASE_ADMIN_URL": {"postgresql": 5432, "postgres": 5432},
    "RABBITMQ_URL": {"amqp": 5672, "amqps": 5671},
    "RABBITMQ_MANAGEMENT_URL": {"http": 80, "https": 443},
    "AWS_ENDPOINT_URL": {"http": 80, "https": 443},
}


async def check_addresses(settings: Settings) -> None:
    """Raises SettingsError, which names the variables and never a password."""
    addresses = list(_addresses(settings))
    problems = await asyncio.gather(*(_problem(*address) for address in addresses))
    if found := [problem for problem in problems if problem]:
        raise SettingsError("\n".join(found))


def _addresses(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """Variable, host and port of each service that is not started here."""
    given = settings.variables
    for variable, schemes in _SCHEMES.items():
        if url := given.get(variable):
            yield variable, *_host_and_port(variable, url, schemes)
    if given.get("RABBITMQ_HOST") and not given.get("RABBITMQ_URL"):
        port = given.get("RABBITMQ_PORT", "5672")
        if not port.isdecimal() or not 0 < int(port) < 65_536:
            raise SettingsError(f"RABBITMQ_PORT is {port!r}, not a port (1 to 65535)")
        yield "RABBITMQ_HOST", given["RABBITMQ_HOST"], int(port)


def _host_and_port(variable: str, url: str, schemes: Mapping[str, int]) -> tuple[str, int]:
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # Its words may quote what stands where the port should be, such as half a password.
        raise SettingsError(
            f"{variable}: its host or port cannot be read (a password with / # ? or @ in it has to "
            "be percent-encoded)"
        ) from error
    # SQLAlchemy's way to name a driver.
    scheme = parts.scheme.partition("+")[0]
    if scheme not in schemes:
        raise SettingsError(f"{variable} does not begin with {expected}")
    if not parts.hostname:
        raise SettingsError(f"{variable} names no host: {expected}HOST")
    return parts.hostname, port or schemes[scheme]


async def _problem(variable: str, host: str, port: int) -> str | None:
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            refused = await _refusal(host, port)
    except (socket.gaierror, UnicodeError):
        # What cannot be a name, such as a..b, the idna codec refuses.
        return f"{variable}: there is no host {host}"
    except TimeoutError:
        return f"{variable}: nothing answers at {host}:{port} within {_LOOK_SECONDS:g} s"
    if refused is None:
        return None
    # asyncio puts the address into the message.
    reason = f" ({os.strerror(refused.errno)})" if refused.errno else ""
    return f"{variable}: nothing answers at {host}:{port}{reason}"


async def _refusal(host: str, port: int) -> OSError | None:
    """Why none of the addresses that a name stands for takes a connection."""
    loop = asyncio.get_running_loop()
    refusals = []
    for *_, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            _, writer = await asyncio.open_connection(*address[:2])
        except OSError as error:
            refusals.append(error)
        else:
            writer.close()
            return None
    return min(refusals, key=lambda refusal: refusal.errno in _NO_SUCH_NETWORK)
