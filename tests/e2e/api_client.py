"""A client of the API, who speaks HTTP and knows nothing of what is behind it."""

from __future__ import annotations

import itertools
from typing import Any, Self
from uuid import uuid4

import requests
from requests.adapters import HTTPAdapter

from tests.waiting import eventually

PASSWORD = "analytical!engine"
# Attempts to sign in are counted for each address: every client has one of its own.
_addresses = (f"127.1.{high}.{low}" for high, low in itertools.product(range(256), range(1, 255)))

Image = dict[str, Any]


class _FromAddress(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        super().init_poolmanager(
            connections, maxsize, block, source_address=(self._address, 0), **options
        )


class ApiClient:
    """Somebody with an address of their own; signed in once `token` is set."""

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url
        self.token: str | None = None
        self.username = f"user-{uuid4().hex}"
        self._session = requests.Session()
        # No proxy and no .netrc of whoever runs the tests.
        self._session.trust_env = False
        self.address = next(_addresses)
        self._session.mount("http://", _FromAddress(self.address))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self._session.request(
            method,
            path if path.startswith("http") else self.api_url + path,
            headers={**authorization, **(headers or {})},
            **{"allow_redirects": False, **options},
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def register(self, username: str | None = None, password: str = PASSWORD) -> requests.Response:
        return self.request(
            "POST",
            "/auth/register",
            json={"username": username or self.username, "password": password},
        )

    def sign_up(self, password: str = PASSWORD) -> Self:
        """Registered, and signed in from now on."""
        answer = self.register(password=password)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return self

    def sign_in(self, username: str | None = None, password: str = PASSWORD) -> requests.Response:
        return self.request(
            "POST",
            "/auth/login",
            json={"username": username or self.username, "password": password},
        )

    def upload(
        self,
        data: bytes,
        filename: str = "rocket.jpg",
        *,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> requests.Response:
        return self.request(
            "POST",
            "/image/upload_image",
            files={"image": (filename, data)},
            data=fields,
            headers=headers,
        )

    def uploaded(self, data: bytes, filename: str = "rocket.jpg", **fields: Any) -> Image:
        """The image, once it is ready."""
        answer = self.upload(data, filename, **fields)
        assert answer.status_code == 200, answer.text
        return self.settled(answer.json()["id"])

    def image(self, image_id: int) -> requests.Response:
        return self.get(f"/image/{image_id}")

    def images(self, **query: Any) -> requests.Response:
        return self.get("/image/get_all_images", params=query)

    def update(
        self, image_id: int | str, *, headers: dict[str, str] | None = None, **changes: Any
    ) -> requests.Response:
        return self.request("PUT", f"/image/update/{image_id}", json=changes, headers=headers)

    def updated(self, image_id: int, **changes: Any) -> Image:
        """The image, once the change is applied."""
        answer = self.update(image_id, **changes)
        assert answer.status_code == 200, answer.text
        return self.settled(image_id)

    def delete(
        self, image_id: int | str, *, headers: dict[str, str] | None = None
    ) -> requests.Response:
        return self.request("DELETE", f"/image/delete/{image_id}", headers=headers)

    def settled(self, image_id: int, status: str = "ready") -> Image:
        """The image, once nothing of it is processing any more."""

        def look() -> Image | None:
            answer = self.image(image_id)
            assert answer.status_code == 200, answer.text
            image: Image = answer.json()
            return image if image["status"] != "processing" else None

        image = eventually(look, f"image {image_id} is processed")
        assert image["status"] == status, image
        return image

    def rendition(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        """Asked for again while it is under way, as the answer says."""

        def look() -> list[requests.Response]:
            answer = self.request(method, path, **options)
            return [] if answer.status_code == 503 else [answer]

        return eventually(look, "the rendition is made")[0]

    def healthy(self) -> requests.Response:
        """What is said once everything is up: what stands still for a moment is down for it."""

        def look() -> list[requests.Response]:
            answer = self.get("/health")
            return [answer] if answer.status_code == 200 else []

        return eventually(look, "everything is up")[0]

    def download(self, url: str) -> requests.Response:
        """A signed link, opened like a browser does: without the token."""
        answer = self._session.get(url)
        assert answer.status_code == 200, answer.text
        return answer


def field_messages(answer: requests.Response) -> dict[str, str]:
    """What a validation error says about each field."""
    body = answer.json()
    assert answer.status_code == 400 and body["detail"] == "Validation error", answer.text
    assert body["code"] == "validation_error"
    return {problem["field"]: problem["message"] for problem in body["errors"]}
