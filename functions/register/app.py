"""POST /auth/register: creates an account and signs it in."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core import accounts
from image_api.web import http, problems

app = http.resolver()
records, tokens = wiring.user_records(), wiring.tokens()


@app.post(
    "/auth/register",
    operation_id="registerUser",
    summary="Register",
    description="Creates an account and signs it in. An address can do so only so often.",
    tags=["Accounts"],
    responses=problems.documented(accounts.AccessToken, 400, 413, 429, 503),
)
def register(registration: Annotated[accounts.Registration, Body()]) -> accounts.AccessToken:
    return accounts.register(records, tokens, registration, http.client_address(app))


lambda_handler = http.lambda_handler(app)
