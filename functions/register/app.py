"""POST /auth/register: creates an account and signs it in."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core.accounts import users
from image_api.core.accounts.sessions import Tokens
from image_api.web import cookies, http, problems

app = http.resolver()
records, sessions = wiring.user_records(), wiring.sessions()


@app.post(
    "/auth/register",
    operation_id="registerUser",
    summary="Register",
    description="Creates an account and signs it in. An address can do so only so often.",
    tags=["Accounts"],
    responses=problems.documented(Tokens, 400, 413, 429, 503, headers=cookies.HEADERS),
)
def register(registration: Annotated[users.Registration, Body()]) -> Response[Any]:
    tokens = users.register(records, sessions, registration, http.client_address(app))
    return cookies.tokens_response(app, tokens, as_cookie=registration.cookie)


lambda_handler = http.lambda_handler(app)
