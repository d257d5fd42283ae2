"""Images from before there were tags, previews and links are shown with all that images have."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest

import image_migrations
from image_api.core.library import images
from image_api.core.library.images import ImageView
from image_api.core.library.listing import Filters, ListQuery, Sort
from image_api.core.renditions.on_demand import Asked, Viewer
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.renditions import PostgresRenditionRecords
from image_api.settings import RenditionLimits
from tests.fakes import FakeUrlSigner
from tests.integration.real_services import connect

# The first release with its last schema, and the last one before this.
RELEASES = ("0002", "0007")
RENDITIONS = ("image", "preview", "thumbnail")


@dataclass(frozen=True)
class Kind:
    status: str = "ready"
    error: str | None = None
    visibility: str = "shared"
    content_type: str = "image/png"
    is_rendered: bool = True
    renditions: tuple[str, ...] = RENDITIONS
    animated: bool = False
    accepted: int = 1
    applied: int = 1


NEW = Kind("processing", is_rendered=False, renditions=(), applied=0)
KINDS = {
    "ready": Kind(),
    "private": Kind(visibility="private"),
    "moving": Kind(content_type="image/gif", animated=True),
    "small, and served as it came": Kind(renditions=("image",)),
    "waiting": NEW,
    "failed": replace(NEW, status="failed", error="It is damaged", applied=1),
    "in the middle of a change": Kind("processing", accepted=3, applied=2),
    "after a change that failed": Kind("ready", error="It is too large", accepted=2, applied=2),
}


def add_all(url: str) -> dict[str, int]:
    """The ids by kind."""
    with closing(connect(url)) as sql:
        sql.run("INSERT INTO users (username, username_key, password_hash) VALUES ('ada', 'a', 1)")
        ids = {}
        for name, kind in KINDS.items():
            ((ids[name],),) = sql.run(
                "INSERT INTO images (user_id, title, visibility, original_key, object_key, "
                "content_type, size_bytes, width, height, status, error, rendered_at, "
                "accepted_sequence, applied_sequence) "
                "SELECT id, :title, :visibility, :title, :title, :type, 7, 40, 30, :status, "
                ":error, CASE WHEN :is_rendered THEN now() END, :accepted, :applied FROM users "
                "RETURNING id",
                title=name,
                visibility=kind.visibility,
                type=kind.content_type,
                status=kind.status,
                error=kind.error,
                is_rendered=kind.is_rendered,
                accepted=kind.accepted,
                applied=kind.applied,
            )
            for rendition in kind.renditions:
                sql.run(
                    "INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, "
                    "width, height, animated) "
                    "VALUES (:id, :name, :key, :type, 7, 40, 30, :animated)",
                    id=ids[name],
                    name=rendition,
                    key=f"{name}/{rendition}",
                    type=kind.content_type,
                    animated=kind.animated and rendition == "image",
                )
    return ids


def shown(name: str, kind: Kind) -> dict[str, Any]:
    """What is new of it; of a URL whether there is one."""
    return {
        "username": "ada",
        "width": 40,
        "height": 30,
        "description": "",
        "tags": [],
        "animated": kind.animated,
        "placeholder": None,
        "taken_at": None,
        "trashed_at": None,
        "version": kind.accepted,
        "url": kind.is_rendered,
        "thumbnail_url": "thumbnail" in kind.renditions,
        "preview_url": "preview" in kind.renditions,
        "rendition_url": kind.is_rendered,
        # And what was there before.
        "title": name,
        "status": kind.status,
        "error": kind.error,
        "visibility": kind.visibility,
        "content_type": kind.content_type,
        "resolution": "40x30",
        "size": 7,
    }


@pytest.fixture(params=RELEASES)
def ids(empty_database_url: str, request: pytest.FixtureRequest) -> dict[str, int]:
    """Of images of each kind that a release before has left."""
    image_migrations.upgrade(empty_database_url, request.param)
    added = add_all(empty_database_url)
    image_migrations.upgrade(empty_database_url)
    return added


def test_an_image_of_each_old_kind_is_shown_with_every_field(
    empty_database_url: str, ids: dict[str, int]
) -> None:
    with closing(Database(empty_database_url)) as database:
        records, links = PostgresImageRecords(database), FakeUrlSigner()
        ((ada,),) = database.rows("SELECT id FROM users")
        listed = {image["id"]: image for image in records.page(ada, ListQuery()).images}
        for name, kind in KINDS.items():
            found = records.find(ada, ids[name])
            assert found == listed[ids[name]], name
            image = images.get(records, links, ada, ids[name])
            ImageView.model_validate(image, strict=True)
            assert image.keys() == ImageView.model_fields.keys()
            seen = {
                field: image[field] is not None if field.endswith("url") else image[field]
                for field in shown(name, kind)
            }
            assert seen == shown(name, kind), name


def test_images_of_old_kinds_are_found_and_have_renditions(
    empty_database_url: str, ids: dict[str, int]
) -> None:
    with closing(Database(empty_database_url)) as database:
        records = PostgresImageRecords(database)
        ((ada,),) = database.rows("SELECT id FROM users")
        for sort in get_args(Sort):
            page = records.page(ada, ListQuery(Filters(owner_id=ada), sort))
            assert {image["id"] for image in page.images} == set(ids.values())
        words = records.page(ada, ListQuery(Filters(q="middle CHANGE")))
        assert [image["id"] for image in words.images] == [ids["in the middle of a change"]]
        on_demand = PostgresRenditionRecords(database, RenditionLimits(64, 120))
        for name, kind in KINDS.items():
            asked = Asked(64, None, ("webp", "webp"))
            found = on_demand.find(Viewer("192.0.2.1", ada), ids[name], asked)
            assert found is not None
            # Never larger than the picture.
            assert (found.key.width, found.is_rendered) == (40, kind.is_rendered)
