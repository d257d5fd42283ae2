"""Whose certificate is believed: of the API's connections to Postgres, and of the migrations'."""

from __future__ import annotations

import gc
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import image_migrations
from image_api import settings, tls
from image_api.errors import ServiceUnavailable
from image_api.postgres import database
from image_api.postgres.database import Database
from tests.certificates import self_issued

_SSL_REQUEST_BYTES = 8


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_issued(tmp_path_factory.mktemp("certificate"))


class TlsServer:
    """A Postgres as far as TLS goes: it hangs up when somebody has believed its certificate."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.was_believed = False
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        yield
        thread.join()
        self._socket.close()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(_SSL_REQUEST_BYTES)
            connection.sendall(b"S")
            try:
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    # What comes next is a name and a password, for whoever is believed.
                    self.was_believed = bool(encrypted.recv(1))
            except OSError:
                pass


def _api(url: str) -> None:
    with pytest.raises(ServiceUnavailable):
        Database(url).ping()


def _migrations(url: str) -> None:
    with pytest.raises(Exception, match=r".") as failed:
        image_migrations.upgrade(url)
    assert failed.type.__module__.startswith(("pg8000", "sqlalchemy", "ssl", "builtins"))
    del failed
    gc.collect()


def leaves_sockets(test: Callable[..., None]) -> Callable[..., None]:
    """Where a server hangs up, the migrations' driver leaves its socket to the garbage collector,
    whose warnings are an exception that nobody raised.
    """
    for warning in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
        test = pytest.mark.filterwarnings(f"ignore::{warning}")(test)
    return test


@leaves_sockets
@pytest.mark.parametrize("connect", [_api, _migrations])
@pytest.mark.parametrize(
    ("sslmode", "is_believed"), [("require", True), ("verify-ca", False), ("verify-full", False)]
)
def test_a_strangers_certificate_is_believed_only_where_none_is_checked(
    certificate: tuple[Path, Path],
    connect: Callable[[str], None],
    sslmode: str,
    is_believed: bool,
) -> None:
    server = TlsServer(certificate)
    with server.serving():
        connect(f"postgresql://ada:p@localhost:{server.port}/images?sslmode={sslmode}")
    assert server.was_believed is is_believed


@leaves_sockets
def test_a_proxy_of_rds_is_believed_by_amazons_issuers_alone(
    certificate: tuple[Path, Path], environment: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        environment.delenv(name, raising=False)
    environment.setattr(database, "_is_proxy", lambda host: host == "localhost")
    environment.setattr(tls, "AMAZON_ROOTS", certificate[0])
    environment.setattr(tls, "_systems", lambda: pytest.fail("the system's store was read"))
    tls._amazons.cache_clear()
    server = TlsServer(certificate)
    with server.serving():
        _api(f"postgresql://ada:p@localhost:{server.port}/images?sslmode=verify-full")
    tls._amazons.cache_clear()
    assert server.was_believed


@leaves_sockets
def test_migrations_believe_the_issuers_that_they_are_given(
    certificate: tuple[Path, Path],
) -> None:
    server = TlsServer(certificate)
    with server.serving():
        address = f"localhost:{server.port}/images"
        _migrations(
            f"postgresql://ada:p@{address}?sslmode=verify-full&sslrootcert={certificate[0]}"
        )
    assert server.was_believed


def test_the_issuers_of_rds_are_known_for_rds_itself_and_not_for_its_proxies() -> None:
    roots = ssl.create_default_context()
    before = len(roots.get_ca_certs())
    roots.load_verify_locations(settings.RDS_ROOTS)
    subjects = [str(found["subject"]) for found in roots.get_ca_certs()]
    names = [name for subject in subjects for name in re.findall(r"commonName', '([^']*)", subject)]
    of_rds = [name for name in names if name.startswith("Amazon RDS ")]
    assert len(subjects) - before == len(of_rds) > 80
    for region in ("us-east-1", "eu-central-1", "ap-southeast-2"):
        for kind in ("RSA2048", "RSA4096", "ECC384"):
            assert f"Amazon RDS {region} Root CA {kind} G1" in of_rds

    def knows_rds(host: str) -> bool:
        context = database._ssl_context("verify-full", host)
        assert isinstance(context, ssl.SSLContext)
        return len(context.get_ca_certs()) - before >= len(of_rds)

    for proxy in ("images.proxy-c1.us-east-1.rds", "images.endpoint.proxy-c1.us-east-1.rds"):
        assert database._is_proxy(f"{proxy}.amazonaws.com")
    for other in ("images.c1.us-east-1.rds.amazonaws.com", "images.proxy-c1.example.org"):
        assert not database._is_proxy(other)
    assert knows_rds("images.c1.us-east-1.rds.amazonaws.com")
    assert not knows_rds("images.proxy-c1.us-east-1.rds.amazonaws.com")
    assert not knows_rds("rds.amazonaws.com.example.org")
