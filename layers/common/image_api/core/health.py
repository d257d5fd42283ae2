"""Says which part is up."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel

from image_api.errors import ServiceUnavailable

State = Literal["up", "down"]


class Part(Protocol):
    def ping(self) -> None:
        """Raises ServiceUnavailable when the part does not answer."""


class Report(BaseModel):
    """The state of each part; `detail` names those that are down."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
    code: Literal["service_unavailable"] | None = None
    database: State
    broker: State
    storage: State


def examine(database: Part, broker: Part, storage: Part) -> Report:
    states = {
        name: _state_of(part)
        for name, part in (("database", database), ("broker", broker), ("storage", storage))
    }
    down = [name for name, state in states.items() if state == "down"]
    return Report(
        status="unavailable" if down else "ok",
        detail=f"Down: {', '.join(down)}" if down else None,
        code="service_unavailable" if down else None,
        **states,
    )


def _state_of(part: Part) -> State:
    try:
        part.ping()
    except ServiceUnavailable:
        return "down"
    return "up"
