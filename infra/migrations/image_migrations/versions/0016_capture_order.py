"""Lists of one's own images in the order in which they were taken."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _kept(row: str, changed: str) -> str:
    """What keeps `listed_images`, which also has `row`, and is changed in `changed`."""
    return rf"""
CREATE OR REPLACE FUNCTION listed_row(i images) RETURNS listed_images
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT i.id, i.user_id, v.visibility, a.audience, i.created_at, lower(i.title), i.size_bytes,
           i.content_type,
           ARRAY['a' || a.audience, 'u' || i.user_id, 'v' || v.visibility, 't' || i.content_type]
           || ARRAY(SELECT '#' || t.tag_key FROM unnest(i.tag_keys) AS t (tag_key))
           || ARRAY(SELECT 'w' || w.word FROM unnest(words_of(
                  i.title || ' ' || i.description || ' ' || array_to_string(i.tags, ' ')
              )) AS w (word)){row}
    FROM (SELECT CASE WHEN i.visibility = 'shared' AND i.public_secret IS NOT NULL
                      THEN 'public' ELSE i.visibility END AS visibility) AS v,
         LATERAL (SELECT CASE v.visibility WHEN 'shared' THEN 0 WHEN 'public' THEN -1
                              WHEN 'private' THEN i.user_id END AS audience) AS a
$$;

CREATE OR REPLACE FUNCTION keep_listed_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        DELETE FROM listed_images WHERE image_id = NEW.id;
    ELSE
        INSERT INTO listed_images SELECT l.* FROM listed_row(NEW) AS l
        ON CONFLICT (image_id) DO UPDATE SET
            (visibility, audience, title_key, size_bytes, content_type, terms{changed})
            = (excluded.visibility, excluded.audience, excluded.title_key, excluded.size_bytes,
               excluded.content_type, excluded.terms{changed.replace(", ", ", excluded.")});
    END IF;
    RETURN NULL;
END;
$$;
"""


def upgrade() -> None:
    # The images first, and without keeping readers from them: who changes an image locks the two
    # tables in this order, and who reads a list in the other one.
    op.get_bind().exec_driver_sql(f"""
CREATE TRIGGER images_listed_captured AFTER UPDATE ON images
    FOR EACH ROW WHEN (OLD.taken_at IS DISTINCT FROM NEW.taken_at)
    EXECUTE FUNCTION keep_listed_images();
ALTER TABLE listed_images ADD COLUMN taken_at timestamp NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN listed_images.taken_at IS
    'By the camera''s clock; before everything where nobody knows';
{_kept(", coalesce(i.taken_at, '-infinity')", ", taken_at")}
UPDATE listed_images AS l SET taken_at = i.taken_at
FROM images AS i WHERE i.id = l.image_id AND i.taken_at IS NOT NULL;
-- For its owner alone, whatever others may see.
CREATE INDEX listed_of_user_by_capture ON listed_images (user_id, visibility, taken_at, image_id);
""")


def downgrade() -> None:
    op.get_bind().exec_driver_sql(f"""
DROP TRIGGER IF EXISTS images_listed_captured ON images;
DROP INDEX listed_of_user_by_capture;
ALTER TABLE listed_images DROP COLUMN taken_at;
{_kept("", "")}
""")
