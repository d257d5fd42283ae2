"""Changes in the log, by the statements with which the API accepts them, and looks at them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from pg8000.native import Connection

from image_api.core.change_log.events import Event
from image_api.core.library.images import Caller
from image_api.core.library.uploads import NewImage
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords

_numbers = count(1)


def another_image(size_bytes: int = 1234) -> NewImage:
    key = f"storage/{next(_numbers):032x}/original.png"
    return NewImage("photo.png", "shared", key, "image/png", size_bytes, 640, 480)


class Accepting:
    """Users make themselves known by their first change."""

    def __init__(self, database: Database, add_user: Callable[[str], int]) -> None:
        self._records = PostgresImageRecords(database)
        self._add_user = add_user
        self._users: dict[str, int] = {}
        self._numbers = count(1)

    def upload(self, user: str = "Ada") -> Event:
        number = next(self._numbers)
        key = f"storage/{number:04}/original.png"
        image = NewImage("photo.png", "shared", key, "image/png", 1234, 640, 480)
        return self._records.accept_upload(self._caller(user), image)

    def update(self, image_id: int, user: str = "Ada", **changes: Any) -> Event:
        event = self._records.accept_update(self._caller(user), image_id, changes)
        assert event is not None
        return event

    def delete(self, image_id: int, user: str = "Ada") -> Event:
        event = self._records.accept_delete(self._caller(user), image_id)
        assert event is not None
        return event

    def user_id(self, user: str) -> int:
        return self._caller(user).user_id

    def _caller(self, user: str) -> Caller:
        if user not in self._users:
            self._users[user] = self._add_user(user)
        return Caller(self._users[user], "request-1")


def changes(sql: Connection, columns: str) -> list[list[Any]]:
    """Of all changes, in the order in which they were accepted."""
    rows: list[list[Any]] = sql.run(f"SELECT {columns} FROM changes ORDER BY id")
    return rows


def age(sql: Connection, seconds: int) -> None:
    """Everything in the log happened so much earlier."""
    sql.run(
        "UPDATE changes SET accepted_at = accepted_at - make_interval(secs => :s), "
        "published_at = published_at - make_interval(secs => :s), "
        "due_at = due_at - make_interval(secs => :s), "
        "settled_at = settled_at - make_interval(secs => :s)",
        s=seconds,
    )
    sql.run("UPDATE owed_letters SET due_at = due_at - make_interval(secs => :s)", s=seconds)
