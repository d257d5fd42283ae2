"""Users, images, renditions, outbox and inbox."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FUNCTIONS = """
CREATE FUNCTION rfc3339(moment timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
"""

_USERS = """
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL CHECK (char_length(username) BETWEEN 1 AND 64),
    username_key text NOT NULL CHECK (username_key <> ''),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_username_key_unique UNIQUE (username_key)
);
COMMENT ON COLUMN users.username_key IS 'The name without case: what must be unique';

CREATE TABLE sign_in_failures (
    key bytea PRIMARY KEY,
    allowed integer NOT NULL,
    failures integer NOT NULL,
    window_started_at timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
COMMENT ON COLUMN sign_in_failures.key IS 'SHA-256 of a kind and a name or an address';
"""

_IMAGES = """
CREATE TABLE images (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    title text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 255),
    visibility text NOT NULL CHECK (visibility IN ('shared', 'private')),
    status text NOT NULL DEFAULT 'processing'
        CHECK (status IN ('processing', 'ready', 'failed')),
    error text,
    original_key text COLLATE "C" NOT NULL,
    object_key text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    rendered_at timestamptz,
    deleted_at timestamptz,
    accepted_sequence integer NOT NULL DEFAULT 1,
    applied_sequence integer NOT NULL DEFAULT 0,
    CHECK (applied_sequence <= accepted_sequence),
    CONSTRAINT images_original_key_unique UNIQUE (original_key)
);
COMMENT ON COLUMN images.object_key IS
    'What is served; the original itself until, and where, nothing had to be removed from it';
COMMENT ON COLUMN images.rendered_at IS 'When it became ready for the first time';
COMMENT ON COLUMN images.accepted_sequence IS 'How many changes were accepted';
COMMENT ON COLUMN images.applied_sequence IS 'How many of them were applied, in order';

-- The pages of the list: newest first, from any id on.
CREATE INDEX images_shared ON images (id)
    WHERE deleted_at IS NULL AND visibility = 'shared';
CREATE INDEX images_of_user ON images (user_id, visibility, id) WHERE deleted_at IS NULL;
CREATE INDEX images_of_user_in_order ON images (user_id, id) WHERE deleted_at IS NULL;
CREATE INDEX images_shared_by_status ON images (status, id)
    WHERE deleted_at IS NULL AND visibility = 'shared' AND status <> 'ready';

CREATE TABLE renditions (
    image_id bigint NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    name text NOT NULL CHECK (name IN ('image', 'preview', 'thumbnail')),
    object_key text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    animated boolean NOT NULL,
    PRIMARY KEY (image_id, name)
);
-- The janitor compares keys with the storage's own list, which is in the order of bytes.
CREATE INDEX renditions_by_key ON renditions (object_key);
CREATE INDEX images_being_deleted ON images (deleted_at) WHERE deleted_at IS NOT NULL;
"""

# How many images there are, by what the list can filter on: counting them takes 54 ms a million.
# user_id 0 stands for everybody (shared images only); its rows are spread over slots, so that
# users do not wait for each other. Rows are locked in one order, so that nobody deadlocks.
_TOTALS = """
CREATE TABLE image_totals (
    user_id bigint NOT NULL,
    visibility text NOT NULL,
    status text NOT NULL,
    slot smallint NOT NULL,
    images bigint NOT NULL,
    PRIMARY KEY (user_id, visibility, status, slot)
);

CREATE FUNCTION count_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO image_totals AS t (user_id, visibility, status, slot, images)
        SELECT s.user_id, a.visibility, a.status, s.slot, count(*)
        FROM added AS a,
             LATERAL (VALUES (a.user_id, 0), (0, a.user_id % 16)) AS s (user_id, slot)
        WHERE a.deleted_at IS NULL AND (s.user_id <> 0 OR a.visibility = 'shared')
        GROUP BY s.user_id, a.visibility, a.status, s.slot
        ORDER BY s.user_id, a.visibility, a.status, s.slot
        ON CONFLICT (user_id, visibility, status, slot)
        DO UPDATE SET images = t.images + excluded.images;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO image_totals AS t (user_id, visibility, status, slot, images)
        SELECT s.user_id, r.visibility, r.status, s.slot, -count(*)
        FROM removed AS r,
             LATERAL (VALUES (r.user_id, 0), (0, r.user_id % 16)) AS s (user_id, slot)
        WHERE r.deleted_at IS NULL AND (s.user_id <> 0 OR r.visibility = 'shared')
        GROUP BY s.user_id, r.visibility, r.status, s.slot
        ORDER BY s.user_id, r.visibility, r.status, s.slot
        ON CONFLICT (user_id, visibility, status, slot)
        DO UPDATE SET images = t.images + excluded.images;
    ELSE
        INSERT INTO image_totals AS t (user_id, visibility, status, slot, images)
        SELECT s.user_id, c.visibility, c.status, s.slot, sum(c.change)
        FROM (SELECT a.user_id, a.visibility, a.status, 1 AS change
              FROM added AS a WHERE a.deleted_at IS NULL
              UNION ALL
              SELECT r.user_id, r.visibility, r.status, -1
              FROM removed AS r WHERE r.deleted_at IS NULL) AS c,
             LATERAL (VALUES (c.user_id, 0), (0, c.user_id % 16)) AS s (user_id, slot)
        WHERE s.user_id <> 0 OR c.visibility = 'shared'
        GROUP BY s.user_id, c.visibility, c.status, s.slot
        HAVING sum(c.change) <> 0
        ORDER BY s.user_id, c.visibility, c.status, s.slot
        ON CONFLICT (user_id, visibility, status, slot)
        DO UPDATE SET images = t.images + excluded.images;
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER images_added AFTER INSERT ON images
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_images();
CREATE TRIGGER images_changed AFTER UPDATE ON images
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_images();
CREATE TRIGGER images_removed AFTER DELETE ON images
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_images();
"""

_EVENTS = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    type text NOT NULL,
    image_id bigint NOT NULL,
    sequence integer NOT NULL,
    data jsonb NOT NULL,
    correlation_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_event_id_unique UNIQUE (event_id)
);
COMMENT ON TABLE outbox IS 'Events that were accepted and are not known to be published';

CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE inbox IS 'Events whose effect is in the same transaction as their row here';
CREATE INDEX inbox_by_age ON inbox (applied_at);
"""


def upgrade() -> None:
    for statements in (_FUNCTIONS, _USERS, _IMAGES, _TOTALS, _EVENTS):
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        DROP TABLE inbox, outbox, renditions, images, image_totals, sign_in_failures, users;
        DROP FUNCTION count_images();
        DROP FUNCTION rfc3339(timestamptz);
    """)
