"""A trace is the client's, the gateway's, or begins here."""

from __future__ import annotations

import re

import pytest

from image_api.core.tracing import trace_id_of, traceparent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "0012345678901234"
SENT = f"00-{TRACE}-{SPAN}-01"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"


def test_the_clients_trace_goes_on_as_it_is() -> None:
    assert traceparent_of(SENT, XRAY) == SENT
    assert trace_id_of(SENT) == TRACE


@pytest.mark.parametrize("rest", ["", "-what-it-may-say"])
def test_of_a_later_version_what_is_known_goes_on(rest: str) -> None:
    assert traceparent_of(f"cc-{TRACE}-{SPAN}-01{rest}", None) == SENT


@pytest.mark.parametrize(
    "sent",
    [
        *(None, "", "x", SENT.upper(), SENT[:-1], SENT + "0", f" {SENT}", f"{SENT}\n"),
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(f"{SENT},{SENT}", f"cc-{TRACE}-{SPAN}-01-{'x' * 600}"),
    ],
)
def test_what_is_no_trace_is_replaced(sent: str | None) -> None:
    begun = traceparent_of(sent, None)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", begun)
    assert begun != traceparent_of(sent, None)


def test_the_trace_of_x_ray_is_the_same_in_the_form_of_the_w3c() -> None:
    begun = traceparent_of(None, XRAY)
    assert begun.startswith("00-5759e988bd862e3fe1be46a994272793-")
    assert begun.endswith("-00")


def test_a_change_of_code_that_knew_no_traces_has_none() -> None:
    assert trace_id_of("") is None
