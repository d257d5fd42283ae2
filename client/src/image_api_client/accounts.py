"""Signing in and staying so, and what can be done with an account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from image_api_client import errors
from image_api_client.flows import Call, Flow, sent
from image_api_client.models import Account
from image_api_client.retries import Patience, answered
from image_api_client.sessions import Session, Tokens

_NOT_SIGNED_IN = "Not signed in: sign in first"
_SIGNED_OUT = "Signed out: sign in again"


class Api:
    """The API as one session sees it: signed in where a call has to be, and patient."""

    def __init__(self, session: Session, patience: Patience) -> None:
        self.session = session
        self._patience = patience

    def send(self, call: Call) -> Flow[httpx.Response]:
        return (yield from answered(call, self._with_token, self._patience))

    def fetch(self, call: Call) -> Flow[Any]:
        """The JSON of the answer."""
        response = yield from self.send(call)
        return response.json()

    def _with_token(self, call: Call) -> Flow[httpx.Response]:
        if not call.is_signed_in:
            return (yield from sent(call))
        tokens = self.session.tokens
        if tokens is None:
            raise errors.NotSignedIn(_NOT_SIGNED_IN)
        if self.session.ends_soon(tokens):
            tokens = yield from self._renewed(tokens)
        response = yield from sent(_signed(call, tokens))
        if response.status_code == 401 and tokens.refresh_token is not None:
            tokens = yield from self._renewed(tokens)
            response = yield from sent(_signed(call, tokens))
        return response

    def _renewed(self, ended: Tokens) -> Flow[Tokens]:
        """Whoever shares the store may have been faster. Two that are equally fast are given the
        same successor by the server.
        """
        tokens = self.session.reload()
        if tokens is None:
            raise errors.NotSignedIn(_SIGNED_OUT)
        if tokens.access_token != ended.access_token:
            return tokens
        if ended.refresh_token is None:
            return ended
        call = Call(
            "POST",
            "/auth/refresh",
            json={"refresh_token": ended.refresh_token},
            is_signed_in=False,
        )
        try:
            response = yield from answered(call, sent, self._patience)
        except errors.Unauthorized as error:
            self.session.end()
            raise errors.NotSignedIn(_SIGNED_OUT) from error
        return self.session.begin(response.json())


def register(api: Api, username: str, password: str) -> Flow[None]:
    yield from _enter(api, "/auth/register", username, password, may_repeat=False)


def sign_in(api: Api, username: str, password: str) -> Flow[None]:
    yield from _enter(api, "/auth/login", username, password, may_repeat=True)


def sign_out(api: Api) -> Flow[None]:
    """Here in any case, and there if the server can be reached."""
    tokens = api.session.tokens
    api.session.end()
    if tokens is not None and tokens.refresh_token is not None:
        call = Call(
            "POST",
            "/auth/logout",
            json={"refresh_token": tokens.refresh_token},
            is_signed_in=False,
        )
        yield from api.send(call)


def account(api: Api) -> Flow[Account]:
    answer = yield from api.fetch(Call("GET", "/auth/me"))
    return Account.model_validate(answer)


def change_password(api: Api, current_password: str, new_password: str) -> Flow[None]:
    """Every other session of the account ends; this one goes on."""
    answer = yield from api.fetch(
        Call(
            "PUT",
            "/auth/password",
            json={"current_password": current_password, "new_password": new_password},
            may_repeat=False,
        )
    )
    api.session.begin(answer)


def delete_account(api: Api, password: str) -> Flow[None]:
    yield from api.send(
        Call("POST", "/auth/delete_account", json={"password": password}, may_repeat=False)
    )
    api.session.end()


def _enter(api: Api, path: str, username: str, password: str, *, may_repeat: bool) -> Flow[None]:
    answer = yield from api.fetch(
        Call(
            "POST",
            path,
            json={"username": username, "password": password},
            is_signed_in=False,
            may_repeat=may_repeat,
        )
    )
    api.session.begin(answer)


def _signed(call: Call, tokens: Tokens) -> Call:
    headers = {**call.headers, "Authorization": f"Bearer {tokens.access_token}"}
    return replace(call, headers=headers)
