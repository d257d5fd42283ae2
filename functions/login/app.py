"""POST /auth/login: signs an account in."""

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
    "/auth/login",
    summary="Sign in",
    description="Takes JSON or the OAuth2 password form. The same answer, after the same time, "
    "whether the name or the password is wrong.",
    tags=["Accounts"],
    responses=http.documented(accounts.Session, 400, 401, 413, 429, 503),
)
def login(credentials: Annotated[accounts.Credentials, Body()]) -> accounts.Session:
    return accounts.sign_in(records, credentials, http.client_address(app))


lambda_handler = http.lambda_handler(app)
