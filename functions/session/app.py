"""POST /auth/refresh and /auth/logout: continues a session, and ends it."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core.accounts.sessions import SentRefreshToken, SignedOut, Tokens
from image_api.web import cookies, http, problems

app = http.resolver()
sessions = wiring.sessions()


@app.post(
    "/auth/refresh",
    summary="Get new tokens",
    operation_id="refreshTokens",
    description="The refresh token is used up; its successor is in the answer. Within 30 seconds "
    "it gives the same successor again, for a second tab or an answer that was lost. After that it "
    "is taken for a stolen one, and whoever has signed in with it has to do so again.",
    tags=["Accounts"],
    responses=problems.documented(Tokens, 400, 401, 413, 503, headers=cookies.HEADERS),
)
def refresh(sent: Annotated[SentRefreshToken, Body()]) -> Response[Any]:
    tokens = sessions.refresh(cookies.refresh_token_of(app, sent))
    return cookies.tokens_response(app, tokens, as_cookie=sent.cookie)


@app.post(
    "/auth/logout",
    summary="Sign out",
    operation_id="logout",
    description="The refresh token stops working, as do those before it. An access token works "
    "until it expires.",
    tags=["Accounts"],
    responses=problems.documented(SignedOut, 400, 413, 503, headers=cookies.ENDED),
)
def log_out(sent: Annotated[SentRefreshToken, Body()]) -> Response[Any]:
    sessions.end(cookies.refresh_token_of(app, sent))
    return cookies.signed_out_response(app, SignedOut())


lambda_handler = http.lambda_handler(app)
