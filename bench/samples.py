"""What the bench sends and fills tables with, and the floors below its figures."""

from __future__ import annotations

import base64
import io
import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pg8000.native
from argon2 import PasswordHasher
from PIL import Image

from bench.load import Figures
from image_api.core.accounts import passwords

HASH = "argon2id of one password (floor)"
PHOTOS = Path(__file__).parent.parent / "tests" / "photos"

# Statement triggers count these rows as they count any others. Their originals are not there, and
# count as measured, so that nothing looks for them.
_FILL = """
INSERT INTO images (user_id, title, visibility, status, original_key, object_key, content_type,
                    size_bytes, original_bytes, width, height, frames, rendered_at,
                    applied_sequence)
SELECT u.id, 'photo ' || n || '.jpg', 'shared', 'ready',
       'storage/bench-' || :batch || '-' || n || '/original.jpg',
       'storage/bench-' || :batch || '-' || n || '/original.jpg',
       'image/jpeg', 204800, 204800, 1920, 1080, 1, now(), 1
FROM users AS u, generate_series(1, :rows::integer) AS n
WHERE u.username = :username
"""
_WAITING = """
WITH image AS (
    INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type,
                        size_bytes, width, height)
    SELECT u.id, 'waiting', 'shared', :key, :key, 'image/jpeg', :size_bytes, 1, 1
    FROM users AS u WHERE u.username = :username
    RETURNING id, user_id
)
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     published_at)
SELECT :change_id::uuid, i.user_id, i.id, 1, 'image.upload.requested', '{}', 'bench', now()
FROM image AS i
RETURNING image_id
"""
# As if they had been accepted one after the other, a while ago, with the broker away.
_WAITING_TITLES = """
WITH changed AS (
    UPDATE images SET accepted_sequence = accepted_sequence + 1, status = 'processing'
    WHERE id IN (
        SELECT i.id FROM images AS i JOIN users AS u ON u.id = i.user_id
        WHERE u.username = :username AND i.deleted_at IS NULL
          AND i.applied_sequence = i.accepted_sequence
        ORDER BY i.id LIMIT :count)
    RETURNING id, user_id, accepted_sequence
)
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     accepted_at, due_at)
SELECT gen_random_uuid(), c.user_id, c.id, c.accepted_sequence, 'image.update.requested',
       '{"changes": {"title": "bench"}}', 'bench', now() - interval '1 minute', clock_timestamp()
FROM changed AS c
"""
_UNSETTLED = "SELECT EXISTS (SELECT FROM changes AS c WHERE c.settled_at IS NULL)"
_FILL_RENDITIONS = """
INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, width, height,
                        animated)
SELECT i.id, 'thumbnail', replace(i.original_key, 'original.jpg', '1/thumbnail.webp'),
       'image/webp', 8192, 320, 180, false
FROM images AS i
WHERE NOT EXISTS (SELECT FROM renditions AS r WHERE r.image_id = i.id AND r.name = 'thumbnail')
"""


# What lists search and are sorted by is added at the end, which is many times faster than one by
# one.
_BEGIN_FILL = """
SET statement_timeout = 0;
ALTER TABLE images DISABLE TRIGGER images_title_added;
ALTER TABLE images DISABLE TRIGGER images_listed_added;
"""
_END_FILL = """
ALTER TABLE images ENABLE TRIGGER images_title_added;
ALTER TABLE images ENABLE TRIGGER images_listed_added;
INSERT INTO searchable_titles (image_id, user_id, visibility, folded)
SELECT i.id, i.user_id, i.visibility, lower(i.title) FROM images AS i WHERE i.deleted_at IS NULL
ON CONFLICT DO NOTHING;
INSERT INTO listed_images
SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l WHERE i.deleted_at IS NULL
ON CONFLICT DO NOTHING;
"""


@cache
def _large() -> Image.Image:
    with Image.open(PHOTOS / "hubble_deep_field.jpg") as photo:
        return photo.convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS)


def jpeg_12_megapixels(**options: Any) -> bytes:
    """With whatever Pillow's writer is to add."""
    return _jpeg(_large(), 85, **options)


def png_1_megapixel() -> bytes:
    buffer = io.BytesIO()
    _large().resize((1155, 866)).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg_of_size(size_bytes: int) -> bytes:
    """A JPEG of about this size: the photo, at the quality and scale that come near."""
    scale = 1.0 if size_bytes > 1_000_000 else 0.25
    photo = _large().resize((int(4000 * scale), int(3000 * scale)))
    candidates = (_jpeg(photo, quality) for quality in range(40, 97, 4))
    return min(candidates, key=lambda data: abs(len(data) - size_bytes))


def form(photo: bytes) -> tuple[bytes, str]:
    boundary = "bench-boundary"
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="image"; filename="bench.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return (
        head.encode() + photo + f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
    )


def fill(database_url: str, username: str, rows: int) -> None:
    """Adds rows of images that are ready, until there are `rows`."""
    connection = _connect(database_url)
    present = connection.run("SELECT count(*) FROM images")[0][0]
    if present < rows:
        batch = str(time.time_ns())
        indexes = connection.run(
            "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) "
            "FROM pg_index AS i WHERE NOT i.indisprimary "
            "AND i.indrelid IN ('searchable_titles'::regclass, 'listed_images'::regclass)"
        )
        connection.run(f"DROP INDEX {', '.join(name for name, _ in indexes)}")
        connection.run(_BEGIN_FILL)
        connection.run(_FILL, batch=batch, rows=rows - present, username=username)
        connection.run(_FILL_RENDITIONS)
        connection.run(_END_FILL)
        for _, definition in indexes:
            connection.run(definition)
        connection.run("ANALYZE images, renditions, searchable_titles, listed_images")
    connection.close()


def waiting_batches(
    environment: dict[str, str],
    database_url: str,
    username: str,
    photo: bytes,
    extension: str,
    count: int,
    batch_size: int,
) -> list[dict[str, Any]]:
    """`count` stored originals with their rows, and the events that ask for their processing, as
    Lambda gets them from RabbitMQ.
    """
    client = _storage_client(environment)
    connection = _connect(database_url)
    messages = []
    for _ in range(count):
        key = f"storage/{uuid.uuid4().hex}/original.{extension}"
        client.put_object(Bucket=environment["IMAGES_BUCKET"], Key=key, Body=photo)
        change_id = str(uuid.uuid4())
        row = connection.run(
            _WAITING, key=key, size_bytes=len(photo), username=username, change_id=change_id
        )
        event = {
            "specversion": "1.0",
            "id": change_id,
            "type": "image.upload.requested",
            "time": "2026-01-01T00:00:00Z",
            "data": {"image_id": row[0][0], "sequence": 1},
        }
        data = base64.b64encode(json.dumps(event).encode()).decode()
        messages.append(
            {"basicProperties": {"messageId": event["id"]}, "redelivered": False, "data": data}
        )
    connection.close()
    return [
        {"rmqMessagesByQueue": {"image_events::/": messages[start : start + batch_size]}}
        for start in range(0, count, batch_size)
    ]


def accept_titles(database_url: str, username: str, count: int) -> None:
    """Changes of title that wait, of as many images."""
    connection = _connect(database_url)
    connection.run(_WAITING_TITLES, username=username, count=count)
    connection.close()


def has_waiting_changes(database_url: str) -> bool:
    connection = _connect(database_url)
    try:
        return bool(connection.run(_UNSETTLED)[0][0])
    finally:
        connection.close()


def own_images(database_url: str, username: str, count: int) -> list[int]:
    connection = _connect(database_url)
    rows = connection.run(
        "SELECT i.id FROM images AS i JOIN users AS u ON u.id = i.user_id "
        "WHERE u.username = :username ORDER BY i.id LIMIT :count",
        username=username,
        count=count,
    )
    connection.close()
    return [row[0] for row in rows]


def floors(
    environment: dict[str, str], photo_100kb: bytes, photo_3mb: bytes
) -> Iterator[tuple[str, Figures]]:
    """A password's hash, a bare query over pg8000 and bare puts over boto3: no gateway, no
    function.
    """
    password, stored = passwords.new_password()
    verify = partial(PasswordHasher().verify, stored, password)
    yield HASH, _timed(verify, 100)
    connection = _connect(environment["DATABASE_URL"].replace("{purpose}", "images"))
    statement = connection.prepare("SELECT id FROM images WHERE id = :id")
    yield "pg8000, prepared point query (floor)", _timed(lambda: statement.run(id=1), 500)
    connection.close()
    client = _storage_client(environment)
    bucket = environment["IMAGES_BUCKET"]
    for name, body in (("100 KB", photo_100kb), ("3 MB", photo_3mb)):
        put = partial(client.put_object, Bucket=bucket, Key="bench", Body=body)
        yield f"boto3, put of {name} (floor)", _timed(put, 30)


def _storage_client(environment: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def _timed(action: Callable[[], object], count: int) -> Figures:
    times_ms = []
    for _ in range(count):
        started_at = time.perf_counter()
        action()
        times_ms.append((time.perf_counter() - started_at) * 1000)
    ordered = sorted(times_ms)
    return Figures(
        statistics.median(ordered),
        ordered[int(len(ordered) * 0.99)],
        1000 / statistics.mean(ordered),
        count,
    )


def _jpeg(photo: Image.Image, quality: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def _connect(database_url: str) -> pg8000.native.Connection:
    parts = urlsplit(database_url)
    return pg8000.native.Connection(
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname or "localhost",
        port=parts.port or 5432,
        database=parts.path.lstrip("/"),
        ssl_context=False,
    )
