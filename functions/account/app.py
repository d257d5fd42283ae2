"""GET /auth/me, PUT /auth/password and POST /auth/delete_account: one's own account."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import settings, wiring
from image_api.core.accounts import profile, users
from image_api.core.accounts.sessions import Tokens
from image_api.web import cookies, http, problems

app = http.resolver(tokens=wiring.tokens())
records, limits = wiring.user_records(), settings.shown_limits()


@app.get(
    "/auth/me",
    summary="Show your account",
    operation_id="getAccount",
    description="Who you are, what you store, and how much you may.",
    tags=["Accounts"],
    responses=problems.documented(profile.Profile, 401, 503),
)
def me() -> Response[Any]:
    return http.json_response(profile.of_account(records, http.user_id(app), limits).model_dump())


@app.put(
    "/auth/password",
    summary="Change your password",
    operation_id="changePassword",
    description="Every other token of the account, access tokens too, ends at once.",
    tags=["Accounts"],
    responses=problems.documented(Tokens, 400, 401, 413, 429, 503, headers=cookies.HEADERS),
)
def change_password(change: Annotated[users.PasswordChange, Body()]) -> Response[Any]:
    tokens = users.change_password(
        records, wiring.sessions(), http.user_id(app), change, http.client_address(app)
    )
    return cookies.tokens_response(app, tokens, as_cookie=change.cookie)


@app.post(
    "/auth/delete_account",
    summary="Delete your account",
    operation_id="deleteAccount",
    description="At once you are signed out and your images are in no list. Their files follow.",
    tags=["Accounts"],
    responses=problems.documented(users.AccountDeleted, 400, 401, 413, 429, 503),
)
def delete_account(sent: Annotated[users.AccountDeletion, Body()]) -> users.AccountDeleted:
    return users.delete_account(
        records, http.user_id(app), sent, http.client_address(app), http.correlation_id(app)
    )


lambda_handler = http.lambda_handler(app)
