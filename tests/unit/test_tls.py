"""Amazon's issuers are asked first, the system's where these do not know the other end, and nobody
who is known to neither is believed.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from image_api import settings, tls
from image_api.aws.credentials import AwsCredentials
from image_api.errors import ConfigurationError
from image_api.secrets import SecretsManager
from tests.certificates import self_issued
from tests.secrets_server import SecretsServer

# As https://www.amazontrust.com/repository/ shows them.
FINGERPRINTS = {
    "Amazon Root CA 1": "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
    "Amazon Root CA 2": "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
    "Amazon Root CA 3": "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
    "Amazon Root CA 4": "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
    "Starfield Services Root Certificate Authority - G2": (
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5"
    ),
}


@pytest.fixture(autouse=True)
def own_store(environment: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Nobody has named one, and none is remembered."""
    environment.delenv("SSL_CERT_FILE", raising=False)
    environment.delenv("SSL_CERT_DIR", raising=False)
    tls._amazons.cache_clear()
    tls._systems.cache_clear()
    yield environment
    tls._amazons.cache_clear()
    tls._systems.cache_clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_issued(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_issued(tmp_path_factory.mktemp("stranger"))[0]


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[SecretsServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = SecretsServer(context)
    with server.serving():
        yield server


def is_believed(server: SecretsServer, *, host: str = "localhost") -> bool:
    url = server.endpoint_url.replace("localhost", host)
    manager = SecretsManager(
        url,
        "us-east-1",
        lambda: AwsCredentials("AKID", "secret", None),
        has_own_issuers=settings.has_own_issuers(),
    )
    try:
        return manager.read(server.put('{"password": "p"}')) == {"password": "p"}
    except ConfigurationError as error:
        if "SSLCertVerificationError" in str(error):
            return False
        raise
    finally:
        manager.close()


def test_amazons_issuers_are_those_that_it_shows_and_good_for_another_year() -> None:
    # By OpenSSL, which takes a serial number of 0, as one of them has.
    context = ssl.create_default_context(cafile=tls.AMAZON_ROOTS)
    digests = {sha256(root).hexdigest() for root in context.get_ca_certs(binary_form=True)}
    assert digests == set(FINGERPRINTS.values())
    # What a reader of the file sees there is what it is.
    written = re.findall(r"^# (.+), SHA-256 (\S+)$", tls.AMAZON_ROOTS.read_text(), re.MULTILINE)
    assert {name: value.replace(":", "").lower() for name, value in written} == FINGERPRINTS
    for root in context.get_ca_certs():
        assert ssl.cert_time_to_seconds(str(root["notAfter"])) > time.time() + 365 * 24 * 3600


def test_who_is_vouched_for_by_amazon_costs_no_look_at_the_systems_store(
    server: SecretsServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "AMAZON_ROOTS", certificate[0])
    assert is_believed(server)
    assert tls._systems.cache_info().currsize == 0


def test_who_is_known_to_the_system_alone_is_believed_too(
    server: SecretsServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    systems = ssl.create_default_context(cafile=certificate[0])
    monkeypatch.setattr(tls, "_systems", lambda: systems)
    assert is_believed(server)


def test_who_is_known_to_neither_is_not_believed(server: SecretsServer) -> None:
    assert not is_believed(server)


def test_a_store_that_somebody_names_is_the_only_one(
    server: SecretsServer,
    certificate: tuple[Path, Path],
    stranger: Path,
    own_store: pytest.MonkeyPatch,
) -> None:
    own_store.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert is_believed(server)
    tls._systems.cache_clear()
    own_store.setattr(tls, "AMAZON_ROOTS", certificate[0])
    own_store.setenv("SSL_CERT_FILE", str(stranger))
    assert not is_believed(server)


@pytest.mark.parametrize("store", ["AMAZON_ROOTS", "SSL_CERT_FILE"])
def test_a_certificate_of_another_name_is_not_believed_whoever_issued_it(
    server: SecretsServer,
    certificate: tuple[Path, Path],
    own_store: pytest.MonkeyPatch,
    store: str,
) -> None:
    if store == "AMAZON_ROOTS":
        own_store.setattr(tls, store, certificate[0])
    else:
        own_store.setenv(store, str(certificate[0]))
    # The same address, which the certificate does not name.
    assert not is_believed(server, host="127.1")
    assert is_believed(server)
