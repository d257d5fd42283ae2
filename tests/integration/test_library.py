"""Descriptions, tags, versions and the trash, in real Postgres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.change_log import events
from image_api.core.change_log.changes import StoredRendition
from image_api.core.library import images
from image_api.core.library.images import Caller
from image_api.core.library.listing import Filters, ListQuery
from image_api.errors import PreconditionFailed
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from tests.integration.accepting import another_image
from tests.integration.publishing import change_log_of

ODD_TAGS = ["NULL", "null", "", '"', "\\", "a,b", "{c}", "'", "\t", "Köln", "🚀", " x "]


class Silent:
    def publish_event(self, event: events.Event) -> None:
        """Nobody listens."""

    def publish_events(self, batch: Sequence[events.Event], _seconds: float) -> list[events.Event]:
        return list(batch)


class Library:
    """What Ada does to one image of hers, and what its consumer does."""

    def __init__(self, database: Database, ada: int, bob: int) -> None:
        self.ada, self.bob = Caller(ada, "request"), Caller(bob, "request")
        self.records = PostgresImageRecords(database)
        self.log = change_log_of(database, Silent())
        self.image_id = self.records.accept_upload(self.ada, another_image()).image_id

    def change(self, **changes: Any) -> int:
        event = self.records.accept_update(self.ada, self.image_id, changes)
        assert event is not None
        return event.sequence

    def apply(self, *, fails: bool = False) -> dict[str, Any]:
        """The next change; what its outcome says."""
        work = self.log.begin(events.new_id(), 0, crashed=False)
        assert work is not None
        assert work.image is not None
        if fails:
            outcome = self.log.fail(work, events.UPDATE_FAILED, "It cannot be done")
        else:
            key = work.image.original_key
            moving = StoredRendition("image", key, "image/gif", 9, 8, 7, True, 1)
            made = [] if work.image.rendered else [moving]
            outcome = self.log.complete(work, "image.x.completed", made)
        assert outcome is not None
        return outcome.data

    def seen(self, caller: Caller | None = None) -> dict[str, Any] | None:
        """By Ada, unless somebody else is named."""
        return self.records.find((caller or self.ada).user_id, self.image_id)

    def shown(self) -> dict[str, Any]:
        image = self.seen()
        assert image is not None
        return image

    def listed(self, caller: Caller, **filters: Any) -> list[int]:
        page = self.records.page(caller.user_id, ListQuery(Filters(**filters)))
        assert page.total == len(page.images), filters
        return [image["id"] for image in page.images]

    def lists(self) -> list[list[int]]:
        return [
            self.listed(caller, **filters)
            for caller in (self.ada, self.bob)
            for filters in (
                *({}, {"title": "photo"}, {"status": "ready"}),
                {"owner_id": caller.user_id},
                {"owner_id": caller.user_id, "title": "photo"},
            )
        ]


@pytest.fixture
def library(database: Database, add_user: Callable[[str], int]) -> Library:
    return Library(database, add_user("Ada"), add_user("Bob"))


def test_an_image_tells_who_it_belongs_to_and_what_it_is(library: Library) -> None:
    image = library.shown()
    images.ImageView.model_validate(image)
    assert image == image | {
        "username": "Ada",
        "width": 640,
        "height": 480,
        "description": "",
        "tags": [],
        "animated": False,
        "trashed_at": None,
        "version": 1,
    }
    library.apply()
    assert library.shown() == library.shown() | {"animated": True, "width": 8, "height": 7}


def test_an_image_from_before_is_shown_with_every_field(library: Library, sql: Connection) -> None:
    sql.run("UPDATE images SET frames = NULL, original_bytes = NULL, rendered_at = NULL")
    images.ImageView.model_validate(library.shown())
    assert library.shown()["animated"] is False


def test_what_an_upload_says_is_kept_as_it_was_said(library: Library) -> None:
    image = another_image()
    image.tags.extend(ODD_TAGS)
    said = library.records.accept_upload(library.ada, image)
    found = library.records.find(library.ada.user_id, said.image_id)
    assert found is not None
    assert found["tags"] == said.data["tags"] == ODD_TAGS


def test_changes_of_description_and_tags_are_applied_in_their_order(library: Library) -> None:
    library.apply()
    assert library.change(description="first", tags=ODD_TAGS) == 2
    assert library.change(description="", tags=["b"]) == 3
    assert library.change(title="other") == 4
    assert library.shown() == library.shown() | {"description": "", "tags": [], "version": 4}
    said = library.apply()
    assert said == said | {"description": "first", "tags": ODD_TAGS}
    assert library.shown() == library.shown() | {"description": "first", "tags": ODD_TAGS}
    library.apply()
    library.apply()
    assert library.shown() == library.shown() | {
        "description": "",
        "tags": ["b"],
        "title": "other",
        "version": 4,
        "status": "ready",
    }


@pytest.mark.parametrize("versions", [[], [1], [3, 4]])
def test_a_change_of_another_version_is_refused_and_changes_nothing(
    library: Library, versions: list[int], sql: Connection
) -> None:
    library.change(title="second")
    with pytest.raises(PreconditionFailed):
        library.records.accept_update(library.ada, library.image_id, {"title": "x"}, versions)
    with pytest.raises(PreconditionFailed):
        library.records.accept_delete(library.ada, library.image_id, versions)
    # Whoever may not even know of it learns nothing of its version.
    assert library.records.accept_delete(library.bob, library.image_id, versions) is None
    assert library.records.accept_update(library.bob, library.image_id, {}, versions) is None
    assert sql.run("SELECT count(*) FROM changes") == [[2]]
    assert library.records.accept_update(library.ada, library.image_id, {}, [9, 2]) is not None
    assert library.records.accept_delete(library.ada, library.image_id, [3]) is not None


def test_what_is_trashed_is_gone_with_the_answer_but_for_its_owner(library: Library) -> None:
    library.apply()
    one = library.image_id
    before, everywhere = library.shown(), library.lists()
    assert everywhere == [[one]] * 5 + [[one]] * 3 + [[]] * 2
    library.change(trashed=True)
    assert library.seen(library.bob) is None
    assert library.lists() == [[]] * 10
    trashed = library.shown()
    assert trashed["trashed_at"] is not None
    assert trashed["visibility"] == "shared"
    assert library.apply()["trashed_at"] == trashed["trashed_at"]
    library.change(trashed=False)
    assert library.seen(library.bob) is None
    assert library.lists() == [[]] * 10
    assert library.apply()["trashed_at"] is None
    assert library.lists() == everywhere
    changing = {"updated_at", "version", "rendition_url"}
    assert {k: v for k, v in library.shown().items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }


def test_what_is_trashed_moves_once_and_private_images_as_well(
    library: Library, sql: Connection
) -> None:
    def exposed() -> str | None:
        return sql.run("SELECT exposed_key FROM images")[0][0]  # type: ignore[no-any-return]

    library.apply()
    library.change(visibility="private")
    hidden = exposed()
    assert hidden is not None
    library.log.unexpose(library.image_id, hidden)
    library.apply()
    library.change(trashed=True)
    assert exposed() == hidden
    library.log.unexpose(library.image_id, hidden)
    library.apply()
    library.change(trashed=True, title="again")
    assert exposed() is None


@pytest.mark.parametrize("fails", [False, True])
def test_no_earlier_change_brings_back_what_was_trashed_again(
    library: Library, *, fails: bool
) -> None:
    library.apply()
    for trashed in (True, False, True, False):
        library.change(trashed=trashed)
    library.apply()
    library.apply(fails=fails)
    assert library.shown()["trashed_at"] is not None
    library.apply()
    assert library.seen(library.bob) is None
    library.apply(fails=fails)
    assert library.shown()["trashed_at"] is None
    assert library.seen(library.bob) is not None


@pytest.mark.parametrize(
    ("meanwhile", "visibility", "bob_sees_it"),
    [
        ([{"visibility": "private"}], "private", False),
        ([{"visibility": "private"}, {"visibility": "shared"}], "shared", True),
        ([{"title": "x"}, {"trashed": True}], "shared", True),
        ([{"trashed": True, "visibility": "private"}], "private", False),
    ],
)
def test_visibility_that_changes_in_the_trash_is_that_of_the_image_when_it_comes_back(
    library: Library, meanwhile: list[dict[str, Any]], visibility: str, *, bob_sees_it: bool
) -> None:
    library.apply()
    for changes in ({"trashed": True}, *meanwhile):
        library.change(**changes)
        library.apply()
        assert library.seen(library.bob) is None
        assert library.lists() == [[]] * 10
    assert library.shown()["visibility"] == visibility
    library.change(trashed=False)
    library.apply()
    assert library.shown() == library.shown() | {"visibility": visibility, "trashed_at": None}
    assert (library.seen(library.bob) is not None) == bob_sees_it


def test_what_is_restored_and_hidden_at_once_is_private(library: Library) -> None:
    library.apply()
    library.change(trashed=True)
    library.change(trashed=False, visibility="private")
    library.apply()
    library.apply()
    assert library.shown() == library.shown() | {"visibility": "private", "trashed_at": None}
    assert library.seen(library.bob) is None


def test_the_release_before_shows_nobody_else_what_is_in_the_trash(
    library: Library, sql: Connection
) -> None:
    library.apply()
    library.change(trashed=True)
    sql.run("UPDATE images SET visibility = 'private'")
    assert library.shown() == library.shown() | {"visibility": "private", "trashed_at": None}
    library.change(title="x")
    library.apply()
    library.apply()
    assert library.seen(library.bob) is None
    assert library.shown()["visibility"] == "private"
