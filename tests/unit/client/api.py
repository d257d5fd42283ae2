"""An API made of prepared answers, for both clients, and what was asked of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from image_api_client import AsyncClient, Client, MemoryTokenStore, Patience, Tokens, TokenStore
from tests.variables import ROOT

BASE_URL = "https://images.example/v1"
# No pauses but those that a server asks for.
EAGER = Patience(attempts=4, first_pause_seconds=0.0, longest_pause_seconds=0.0)

_DOCUMENT = json.loads((ROOT / "functions" / "docs" / "openapi.json").read_bytes())
(_EXAMPLE,) = _DOCUMENT["components"]["schemas"]["ImageView"]["examples"]

Answer = httpx.Response | Exception


class PreparedApi:
    """Answers in the order prepared; the last one is given again for ever."""

    def __init__(self, *answers: Answer | Callable[[httpx.Request], Answer]) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def client(
        self,
        tokens: TokenStore | None = None,
        patience: Patience = EAGER,
        sleep: Callable[[float], None] | None = None,
    ) -> Client:
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        return Client(
            BASE_URL, tokens=tokens or signed_in(), patience=patience, http=http, sleep=sleep
        )

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncClient]:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        async with AsyncClient(BASE_URL, tokens=signed_in(), patience=EAGER, http=http) as client:
            yield client

    def awaited(self, use: Callable[[AsyncClient], Any]) -> Any:
        """What the coroutine of `use` returns."""

        async def run() -> Any:
            async with self.async_client() as client:
                return await use(client)

        return asyncio.run(run())

    @property
    def paths(self) -> list[str]:
        return [request.url.path.removeprefix("/v1") for request in self.requests]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            answer = answer(request)
            assert isinstance(answer, httpx.Response)
            return answer
        if isinstance(answer, Exception):
            raise answer
        # One that was given before cannot be read again.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def signed_in(refresh_token: str | None = "refresh-1") -> MemoryTokenStore:
    return MemoryTokenStore(Tokens(access_token="access-1", refresh_token=refresh_token))


def problem(status: int, code: str, detail: str = "No", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail, "code": code}, headers=headers)


def tokens(number: int = 2, expires_in: int = 1800) -> httpx.Response:
    return httpx.Response(
        200,
        json={
            "access_token": f"access-{number}",
            "refresh_token": f"refresh-{number}",
            "token_type": "bearer",
            "expires_in": expires_in,
        },
    )


def image(image_id: int = 7, **fields: Any) -> dict[str, Any]:
    """As the API's own document shows one."""
    return {**_EXAMPLE, "id": image_id, **fields}


def shown(image_id: int = 7, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json=image(image_id, **fields))
