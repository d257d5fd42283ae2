"""POST /auth/login: signs an account in."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core.accounts import users
from image_api.core.accounts.sessions import Tokens
from image_api.web import cookies, http, problems

app = http.resolver(form_fields=("username", "password"))
records, sessions = wiring.user_records(), wiring.sessions()


@app.post(
    "/auth/login",
    operation_id="login",
    summary="Sign in",
    description="Takes JSON or the OAuth2 password form. The same answer, after the same time, "
    "whether the name or the password is wrong.",
    tags=["Accounts"],
    responses=problems.documented(Tokens, 400, 401, 403, 413, 429, 503, headers=cookies.HEADERS),
)
def login(credentials: Annotated[users.Credentials, Body()]) -> Response[Any]:
    tokens = users.sign_in(records, sessions, credentials, http.client_address(app))
    return cookies.tokens_response(app, tokens, as_cookie=credentials.cookie)


lambda_handler = http.lambda_handler(app)
