"""Ports between being found free and being listened on."""

import random
import socket

import pytest

from infra.services.ports import hold_free_port, port_of


def test_a_port_that_is_held_is_given_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with hold_free_port() as first, hold_free_port() as second:
        held, free = port_of(first), port_of(second)
        second.close()
        monkeypatch.setattr(random, "sample", lambda *_: [held, free])
        with hold_free_port() as third:
            assert port_of(third) == free


def test_a_server_may_listen_on_a_port_that_is_held() -> None:
    with hold_free_port() as held:
        address = ("127.0.0.1", port_of(held))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with socket.create_server(address), socket.create_connection(address):
            pass
