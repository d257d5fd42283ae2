"""Titles found by their parts, what the janitor saw without a row, and the trace of a change."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# No extension is needed, which not every Postgres has. The terms of a title are all its parts of
# one to three characters, and who may find it: one index has both.
_TITLES = """
CREATE FUNCTION title_terms(folded text, user_id bigint, visibility text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    c text[] := string_to_array(folded, NULL);
    terms text[] := c || ARRAY['user ' || user_id, visibility];
BEGIN
    FOR i IN 1 .. cardinality(c) - 1 LOOP
        terms := terms || (c[i] || c[i + 1]);
    END LOOP;
    FOR i IN 1 .. cardinality(c) - 2 LOOP
        terms := terms || (c[i] || c[i + 1] || c[i + 2]);
    END LOOP;
    RETURN terms;
END;
$$;

-- A table of its own: an image's row is written anew with each change, and its title seldom.
CREATE TABLE searchable_titles (
    image_id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    visibility text NOT NULL,
    folded text NOT NULL
);
COMMENT ON TABLE searchable_titles IS 'Of each image that is not deleted; kept by triggers';
COMMENT ON COLUMN searchable_titles.folded IS 'The title without regard to case';
"""

_FILL = """
INSERT INTO searchable_titles (image_id, user_id, visibility, folded)
SELECT i.id, i.user_id, i.visibility, lower(i.title) FROM images AS i WHERE i.deleted_at IS NULL;
"""

_INDEXES = """
-- Without fastupdate: who searches would have to read through what is not sorted in yet.
CREATE INDEX searchable_titles_by_term ON searchable_titles
    USING gin (title_terms(folded, user_id, visibility)) WITH (fastupdate = off);
CREATE INDEX searchable_titles_shared ON searchable_titles (image_id) WHERE visibility = 'shared';
CREATE INDEX searchable_titles_of_user ON searchable_titles (user_id, image_id);
"""

# The first trigger keeps everybody from writing images until the end. What was written meanwhile is
# made good.
_TRIGGERS = """
CREATE FUNCTION keep_searchable_titles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NULL THEN
        INSERT INTO searchable_titles (image_id, user_id, visibility, folded)
        VALUES (NEW.id, NEW.user_id, NEW.visibility, lower(NEW.title))
        ON CONFLICT (image_id)
        DO UPDATE SET visibility = excluded.visibility, folded = excluded.folded;
    ELSE
        DELETE FROM searchable_titles WHERE image_id = NEW.id;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER images_title_added AFTER INSERT ON images
    FOR EACH ROW EXECUTE FUNCTION keep_searchable_titles();
CREATE TRIGGER images_title_changed AFTER UPDATE ON images
    FOR EACH ROW WHEN (OLD.title <> NEW.title OR OLD.visibility <> NEW.visibility
                       OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION keep_searchable_titles();

DELETE FROM searchable_titles AS t
WHERE NOT EXISTS (SELECT FROM images AS i
                  WHERE i.id = t.image_id AND i.deleted_at IS NULL
                    AND i.visibility = t.visibility AND lower(i.title) = t.folded);
INSERT INTO searchable_titles (image_id, user_id, visibility, folded)
SELECT i.id, i.user_id, i.visibility, lower(i.title) FROM images AS i WHERE i.deleted_at IS NULL
ON CONFLICT DO NOTHING;
ALTER TABLE searchable_titles ADD CONSTRAINT searchable_titles_of_images
    FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE;

CREATE INDEX sign_in_failures_by_age
    ON sign_in_failures (greatest(window_started_at, blocked_until));
CREATE INDEX images_of_user_by_status ON images (user_id, status, id)
    WHERE deleted_at IS NULL AND status <> 'ready';
"""

_OPERATIONS = """
CREATE TABLE objects_without_row (
    key text COLLATE "C" PRIMARY KEY,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE objects_without_row IS
    'Files that no row speaks of: the janitor deletes those that it has seen so for a day';
CREATE INDEX objects_without_row_by_age ON objects_without_row (first_seen_at);

ALTER TABLE changes
    ADD COLUMN traceparent text NOT NULL DEFAULT '',
    ADD COLUMN client_correlation_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN changes.traceparent IS 'Of the request (W3C Trace Context); never changes';
COMMENT ON COLUMN changes.client_correlation_id IS
    'What the client calls its request, which need not be its alone; never changes';
"""


def upgrade() -> None:
    for statements in (_TITLES, _FILL, _INDEXES, _TRIGGERS, _OPERATIONS):
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE changes DROP COLUMN traceparent, DROP COLUMN client_correlation_id;
        DROP TABLE objects_without_row;
        DROP TRIGGER images_title_changed ON images;
        DROP TRIGGER images_title_added ON images;
        DROP FUNCTION keep_searchable_titles();
        DROP INDEX images_of_user_by_status;
        DROP INDEX sign_in_failures_by_age;
        DROP TABLE searchable_titles;
        DROP FUNCTION title_terms(text, bigint, text);
    """)
