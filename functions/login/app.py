"""POST /auth/login: signs an account in."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core import accounts
from image_api.web import http, problems

app = http.resolver(form_fields=("username", "password"))
records, tokens = wiring.user_records(), wiring.tokens()


@app.post(
    "/auth/login",
    operation_id="login",
    summary="Sign in",
    description="Takes JSON or the OAuth2 password form. The same answer, after the same time, "
    "whether the name or the password is wrong.",
    tags=["Accounts"],
    responses=problems.documented(accounts.AccessToken, 400, 401, 413, 429, 503),
)
def login(credentials: Annotated[accounts.Credentials, Body()]) -> accounts.AccessToken:
    return accounts.sign_in(records, tokens, credentials, http.client_address(app))


lambda_handler = http.lambda_handler(app)
