"""Says which part is up."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, Field

from image_api import __version__
from image_api.errors import ServiceUnavailable
from image_api.observability import logger

State = Literal["up", "down"]

RETRY_AFTER_SECONDS = 5


class Part(Protocol):
    def ping(self) -> None:
        """Raises ServiceUnavailable when the part does not answer."""


class Report(BaseModel):
    """The state of each part; `detail` names those that are down, and `reasons` says why."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
    code: Literal["service_unavailable"] | None = None
    reasons: dict[str, str] | None = None
    database: State
    broker: State
    storage: State
    version: Annotated[str, Field(description="Of the code that answers")]


def examine(database: Part, broker: Part, storage: Part) -> Report:
    reasons: dict[str, str] = {}
    states: dict[str, State] = {}
    for name, part in (("database", database), ("broker", broker), ("storage", storage)):
        try:
            part.ping()
            states[name] = "up"
        except ServiceUnavailable as error:
            states[name] = "down"
            reasons[name] = error.detail
            logger.warning("a part is down", part=name, reason=error.detail)
    return Report(
        status="unavailable" if reasons else "ok",
        detail=f"Down: {', '.join(reasons)}" if reasons else None,
        code="service_unavailable" if reasons else None,
        reasons=reasons or None,
        version=__version__,
        **states,
    )
