"""How what is accepted becomes a row of the log."""

from __future__ import annotations

from image_api.core.change_log import events

# Of a request: its three names for it.
OF_REQUEST = ":correlation_id::text, :traceparent::text, :client_correlation_id::text"


def insert_changes(
    accepted: str, *, change_id: str, event_type: str, data: str, origin: str = OF_REQUEST
) -> str:
    """The last step of every statement that accepts something, so that both are there or neither:
    rows `c` (user_id, image_id, sequence) become changes.
    """
    return f"""
    INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                         traceparent, client_correlation_id)
    SELECT {change_id}, c.user_id, c.image_id, c.sequence, {event_type}, {data}, {origin}
    FROM {accepted}
    RETURNING change_id, image_id, sequence, rfc3339(accepted_at) AS accepted_at
"""


def insert_removals(accepted: str, correlation_id: str) -> str:
    """The same of what nobody asked for just now: these images are to be removed."""
    return insert_changes(
        accepted,
        change_id="gen_random_uuid()",
        event_type=f"'{events.DELETE_REQUESTED}'",
        data="jsonb_build_object('user_id', c.user_id)",
        origin=f"{correlation_id}, '', ''",
    )
