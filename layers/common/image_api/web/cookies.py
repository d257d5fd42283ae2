"""The refresh token as a cookie: no script of a page reads it, and no other site's page sends it.

Other pages of the same site (another port or subdomain) do send it. So it is read only where the
request's JSON asks for it, which no form can say, and not for a page of another origin.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import Response

from image_api.core.accounts.sessions import (
    REFRESH_TOKEN_TTL_SECONDS,
    SentRefreshToken,
    SignedOut,
    Tokens,
)
from image_api.web import http

_NAME = "refresh_token"
HEADERS = {"Set-Cookie": "The refresh token, where the request asks for it as a cookie"}
"""For `problems.documented`."""
ENDED = {"Set-Cookie": "Clears the cookie, if one was sent"}
"""Of signing out."""


def tokens_response(app: http.Resolver, tokens: Tokens, *, as_cookie: bool) -> Response[Any]:
    body = tokens.model_dump(exclude_none=True)
    if not as_cookie:
        return http.json_response(body)
    value = body.pop("refresh_token")
    return http.json_response(
        body, {"Set-Cookie": _cookie(app, value, max_age_seconds=REFRESH_TOKEN_TTL_SECONDS)}
    )


def signed_out_response(app: http.Resolver, body: SignedOut) -> Response[Any]:
    """Whoever sent a cookie has none any more."""
    headers = {}
    if _sent_cookie(app) is not None:
        headers["Set-Cookie"] = _cookie(app, "", max_age_seconds=0)
    return http.json_response(body.model_dump(), headers)


def refresh_token_of(app: http.Resolver, sent: SentRefreshToken) -> str:
    """From the body, or where that says so from the cookie; empty where there is none."""
    if sent.refresh_token is not None:
        return sent.refresh_token
    return (_sent_cookie(app) or "") if _is_from_own_page(app) else ""


def _cookie(app: http.Resolver, value: str, *, max_age_seconds: int) -> str:
    return (
        f"{_NAME}={value}; Max-Age={max_age_seconds}; Path={http.base_path(app)}/auth; "
        "HttpOnly; Secure; SameSite=Strict"
    )


def _sent_cookie(app: http.Resolver) -> str | None:
    for pair in (app.current_event.headers.get("cookie") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == _NAME:
            return str(value)
    return None


def _is_from_own_page(app: http.Resolver) -> bool:
    """Browsers say what a page's relation to us is, and older ones at least where it is from;
    whoever says neither is no page.
    """
    headers = app.current_event.headers
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")
