"""Every minute: measures what waits, publishes what is not known to be published or overdue, sends
the dead letters that are owed, and forgets what is old in the time that is left.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import settings, wiring
from image_api.core import metrics
from image_api.core.accounts import closing
from image_api.core.change_log import dead_letters, relay
from image_api.core.upkeep import expiry
from image_api.observability import failures_logged

records, users = wiring.relay_records(), wiring.user_records()
letters = wiring.letter_records()
images, renditions = wiring.image_records(), wiring.rendition_records()
sessions, closed_accounts = wiring.session_records(), wiring.closed_accounts()
broker = wiring.broker()


@failures_logged
def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    # What waits for it comes first: a database that is slow may leave time for nothing else.
    with ExitStack() as afterwards:
        afterwards.callback(_keep_house, context)
        afterwards.callback(_send_owed_letters, context)
        metrics.measure(records, broker)
        return relay.relay_all(records, broker, context.get_remaining_time_in_millis)


def _send_owed_letters(context: LambdaContext) -> None:
    dead_letters.send_owed(
        letters, broker, settings.broker().queue, context.get_remaining_time_in_millis
    )


def _keep_house(context: LambdaContext) -> None:
    expiry.forget_old(
        {
            "sign_in_failures": users.forget_old_failures,
            "sign_in_networks": users.forget_old_networks,
            "used_refresh_tokens": sessions.forget_used,
            "refresh_families": sessions.forget_expired,
            "direct_uploads": images.forget_old_offers,
            "idempotency_keys": images.forget_old_keys,
            "requested_renditions": renditions.forget_unmade,
            "new_renditions": renditions.forget_counts,
            "changes": partial(records.forget_old, settings.changes_kept_days()),
        },
        context.get_remaining_time_in_millis,
    )
    if context.get_remaining_time_in_millis() > closing.MIN_REMAINING_MILLISECONDS:
        closing.remove_closed(closed_accounts)
