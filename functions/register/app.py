"""POST /auth/register: creates an account and signs it in."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import settings, wiring
from image_api.core import accounts
from image_api.web import http

app = http.resolver()
records = wiring.user_records()
settings.tokens()


@app.post(
    "/auth/register",
    summary="Register",
    description="Creates an account and signs it in. An address can do so only so often.",
    tags=["Accounts"],
    responses=http.documented(accounts.Session, 400, 413, 429, 503),
)
def register(registration: Annotated[accounts.Registration, Body()]) -> accounts.Session:
    return accounts.register(records, registration, http.client_address(app))


lambda_handler = http.lambda_handler(app)
