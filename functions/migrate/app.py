"""On every deployment: brings the database schema and the broker's users and queues up to date."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

import image_migrations
from image_api import settings, wiring
from image_api.observability import failures_logged
from image_api.web import custom_resource


def migrate() -> dict[str, str]:
    settings.load_all()
    revision = image_migrations.upgrade(settings.database_admin_url())
    image_migrations.grant(settings.database_admin_url(), settings.database_urls())
    wiring.make_broker_users()
    wiring.broker().declare_topology()
    return {"Revision": revision}


@failures_logged
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return custom_resource.answer(event, migrate, can_go_back=True)
