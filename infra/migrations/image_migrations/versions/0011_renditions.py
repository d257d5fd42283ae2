"""Renditions on demand, and the links to them."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_RENDITIONS = """
CREATE TABLE requested_renditions (
    image_id bigint NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    width integer NOT NULL CHECK (width > 0),
    ratio text NOT NULL,
    format text NOT NULL,
    source_key text COLLATE "C" NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    claim_id uuid,
    claimed_at timestamptz,
    making_until timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    error text,
    object_key text COLLATE "C",
    PRIMARY KEY (image_id, width, ratio, format)
) WITH (fillfactor = 80);
COMMENT ON TABLE requested_renditions IS
    'Made at the first request for one, of what was served then; gone when that is another file';
COMMENT ON COLUMN requested_renditions.width IS
    'As it is asked for, and never more than the picture has; what is stored may be smaller';
COMMENT ON COLUMN requested_renditions.asked_at IS 'Last, to ten minutes: hits write nothing';
COMMENT ON COLUMN requested_renditions.claim_id IS 'Of who makes it now, until `making_until`';
COMMENT ON COLUMN requested_renditions.failures IS
    'In succession; after three it is not tried again for an hour after `making_until`';
COMMENT ON COLUMN requested_renditions.object_key IS 'Once it is made';
CREATE INDEX requested_renditions_by_key ON requested_renditions (object_key)
    WHERE object_key IS NOT NULL;
CREATE INDEX requested_renditions_not_made ON requested_renditions (making_until)
    WHERE object_key IS NULL;

CREATE TABLE forgotten_objects (
    object_key text COLLATE "C" PRIMARY KEY,
    delete_after timestamptz NOT NULL DEFAULT now() + interval '2 hours'
);
COMMENT ON TABLE forgotten_objects IS
    'Of rows that are gone: deleted when no signed URL of one is good any more';
CREATE INDEX forgotten_objects_by_age ON forgotten_objects (delete_after);

CREATE TABLE new_renditions (
    key bytea PRIMARY KEY,
    window_started_at timestamptz NOT NULL DEFAULT now(),
    begun integer NOT NULL DEFAULT 1
);
COMMENT ON COLUMN new_renditions.key IS 'SHA-256 of an account''s id or of an address';
CREATE INDEX new_renditions_by_age ON new_renditions (window_started_at);

CREATE FUNCTION forget_rendition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO forgotten_objects (object_key) VALUES (OLD.object_key) ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;
CREATE TRIGGER requested_renditions_gone AFTER DELETE ON requested_renditions
    FOR EACH ROW WHEN (OLD.object_key IS NOT NULL) EXECUTE FUNCTION forget_rendition();
CREATE TRIGGER requested_renditions_replaced AFTER UPDATE ON requested_renditions
    FOR EACH ROW
    WHEN (OLD.object_key IS NOT NULL AND OLD.object_key IS DISTINCT FROM NEW.object_key)
    EXECUTE FUNCTION forget_rendition();

CREATE FUNCTION forget_renditions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM requested_renditions WHERE image_id = NEW.id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER images_served_otherwise AFTER UPDATE ON images
    FOR EACH ROW WHEN (OLD.object_key <> NEW.object_key) EXECUTE FUNCTION forget_renditions();
"""

# Whatever narrows who may see an image ends its links with the same statement.
_LINKS = """
ALTER TABLE images
    ADD COLUMN link_generation integer NOT NULL DEFAULT 0,
    ADD COLUMN public_secret text;
COMMENT ON COLUMN images.link_generation IS 'How often the links of the image were withdrawn';
COMMENT ON COLUMN images.public_secret IS
    'What its link holds if it is public, which is kept as shared; each time another one';

CREATE FUNCTION withdraw_links() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    seen_before text := CASE OLD.visibility WHEN 'trashed' THEN OLD.visibility_aside
                                            ELSE OLD.visibility END;
    seen text := CASE NEW.visibility WHEN 'trashed' THEN NEW.visibility_aside
                                     ELSE NEW.visibility END;
BEGIN
    IF seen = 'private' THEN
        NEW.public_secret := NULL;
    END IF;
    IF (seen = 'private' AND seen_before <> 'private')
        OR (NEW.visibility = 'trashed' AND OLD.visibility <> 'trashed')
        OR (NEW.public_secret IS NULL AND OLD.public_secret IS NOT NULL) THEN
        NEW.link_generation := OLD.link_generation + 1;
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER images_seen_by_others BEFORE UPDATE ON images
    FOR EACH ROW
    WHEN (OLD.visibility <> NEW.visibility
          OR OLD.visibility_aside IS DISTINCT FROM NEW.visibility_aside
          OR OLD.public_secret IS DISTINCT FROM NEW.public_secret)
    EXECUTE FUNCTION withdraw_links();
"""


def upgrade() -> None:
    for statements in (_RENDITIONS, _LINKS):
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        DROP TRIGGER images_seen_by_others ON images;
        DROP FUNCTION withdraw_links();
        ALTER TABLE images DROP COLUMN link_generation, DROP COLUMN public_secret;
        DROP TRIGGER images_served_otherwise ON images;
        DROP FUNCTION forget_renditions();
        DROP TABLE requested_renditions;
        DROP FUNCTION forget_rendition();
        DROP TABLE new_renditions, forgotten_objects;
    """)
