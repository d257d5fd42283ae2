"""What lists are sorted and filtered by, the totals of tags, and answers about many images."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# A table of its own: an image's row is written anew with each change, and what it is listed by
# seldom. Everything about a row of it stands in one function.
_LISTED = r"""
CREATE FUNCTION words_of(searched text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT left(w.word, 64)), '{}')
    FROM regexp_split_to_table(
        lower(searched),
        '[\s!-/:-@\[-`{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f\ufeff-\uff0f]+') AS w (word)
    WHERE w.word <> ''
$$;

CREATE TABLE listed_images (
    image_id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    visibility text NOT NULL,
    audience bigint,
    created_at timestamptz NOT NULL,
    title_key text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    content_type text NOT NULL,
    terms text[] NOT NULL
);
COMMENT ON TABLE listed_images IS 'Of each image that is not deleted; kept by triggers';
COMMENT ON COLUMN listed_images.audience IS
    'Who finds it in lists: a user, or everybody, 0 if it is shared and -1 if it is public';
COMMENT ON COLUMN listed_images.title_key IS 'The title without regard to case';
COMMENT ON COLUMN listed_images.terms IS
    'What it is found by: a letter that says what, and the audience (a), the user (u), the '
    'visibility (v), the type (t), a tag (#), or a word of title, description and tags (w)';

CREATE FUNCTION listed_row(i images) RETURNS listed_images
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT i.id, i.user_id, v.visibility, a.audience, i.created_at, lower(i.title), i.size_bytes,
           i.content_type,
           ARRAY['a' || a.audience, 'u' || i.user_id, 'v' || v.visibility, 't' || i.content_type]
           || ARRAY(SELECT '#' || t.tag_key FROM unnest(i.tag_keys) AS t (tag_key))
           || ARRAY(SELECT 'w' || w.word FROM unnest(words_of(
                  i.title || ' ' || i.description || ' ' || array_to_string(i.tags, ' ')
              )) AS w (word))
    FROM (SELECT CASE WHEN i.visibility = 'shared' AND i.public_secret IS NOT NULL
                      THEN 'public' ELSE i.visibility END AS visibility) AS v,
         LATERAL (SELECT CASE v.visibility WHEN 'shared' THEN 0 WHEN 'public' THEN -1
                              WHEN 'private' THEN i.user_id END AS audience) AS a
$$;
"""

_FILL = """
INSERT INTO listed_images
SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l WHERE i.deleted_at IS NULL;
"""

# Each order for whom everybody's images are, whose they are, and of which type.
_INDEXES = """
CREATE INDEX listed_by_creation ON listed_images (audience, created_at, image_id)
    WHERE audience IS NOT NULL;
CREATE INDEX listed_by_title ON listed_images (audience, title_key, image_id)
    WHERE audience IS NOT NULL;
CREATE INDEX listed_by_size ON listed_images (audience, size_bytes, image_id)
    WHERE audience IS NOT NULL;
-- What is private has its user for an audience.
CREATE INDEX listed_of_user_by_creation ON listed_images (user_id, visibility, created_at, image_id)
    WHERE visibility <> 'private';
CREATE INDEX listed_of_user_by_title ON listed_images (user_id, visibility, title_key, image_id)
    WHERE visibility <> 'private';
CREATE INDEX listed_of_user_by_size ON listed_images (user_id, visibility, size_bytes, image_id)
    WHERE visibility <> 'private';
CREATE INDEX listed_of_type_by_creation
    ON listed_images (audience, content_type, created_at, image_id) WHERE audience IS NOT NULL;
CREATE INDEX listed_of_type_by_title
    ON listed_images (audience, content_type, title_key, image_id) WHERE audience IS NOT NULL;
CREATE INDEX listed_of_type_by_size
    ON listed_images (audience, content_type, size_bytes, image_id) WHERE audience IS NOT NULL;
-- Without fastupdate: who searches would have to read through what is not sorted in yet.
CREATE INDEX listed_by_term ON listed_images USING gin (terms) WITH (fastupdate = off);

CREATE INDEX images_trashed ON images (trashed_at)
    WHERE deleted_at IS NULL AND visibility = 'trashed';
CREATE INDEX images_not_ready ON images (visibility, status, id)
    WHERE deleted_at IS NULL AND status <> 'ready';
"""

# The first trigger keeps everybody from writing images until the end. What was written meanwhile is
# made good.
_TRIGGERS = """
CREATE FUNCTION keep_listed_images() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        DELETE FROM listed_images WHERE image_id = NEW.id;
    ELSE
        INSERT INTO listed_images SELECT l.* FROM listed_row(NEW) AS l
        ON CONFLICT (image_id) DO UPDATE SET
            (visibility, audience, title_key, size_bytes, content_type, terms)
            = (excluded.visibility, excluded.audience, excluded.title_key, excluded.size_bytes,
               excluded.content_type, excluded.terms);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER images_listed_added AFTER INSERT ON images
    FOR EACH ROW EXECUTE FUNCTION keep_listed_images();
CREATE TRIGGER images_listed_changed AFTER UPDATE ON images
    FOR EACH ROW WHEN ((OLD.visibility, OLD.title, OLD.size_bytes, OLD.content_type,
                        OLD.description, OLD.tags, OLD.public_secret IS NULL,
                        OLD.deleted_at IS NULL)
                       IS DISTINCT FROM
                       (NEW.visibility, NEW.title, NEW.size_bytes, NEW.content_type,
                        NEW.description, NEW.tags, NEW.public_secret IS NULL,
                        NEW.deleted_at IS NULL))
    EXECUTE FUNCTION keep_listed_images();

DELETE FROM listed_images AS l
WHERE NOT EXISTS (SELECT FROM images AS i
                  WHERE i.id = l.image_id AND i.deleted_at IS NULL
                    AND i.updated_at < now() - interval '1 minute');
INSERT INTO listed_images
SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l
WHERE i.deleted_at IS NULL AND NOT EXISTS (SELECT FROM listed_images AS k WHERE k.image_id = i.id);
ALTER TABLE listed_images ADD CONSTRAINT listed_images_of_images
    FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE;
"""

# User 0 stands for everybody. Rows are locked in one order, so that nobody deadlocks.
_TAG_TOTALS = """
CREATE TABLE tag_totals (
    user_id bigint NOT NULL,
    tag_key text COLLATE "C" NOT NULL,
    tag text NOT NULL,
    images bigint NOT NULL,
    shown bigint NOT NULL,
    PRIMARY KEY (user_id, tag_key)
);
COMMENT ON COLUMN tag_totals.images IS 'Of the user; those in the trash do not count';
COMMENT ON COLUMN tag_totals.shown IS 'Those of them that others see';
CREATE INDEX tag_totals_by_images ON tag_totals (user_id, images DESC, tag_key);
CREATE INDEX tag_totals_by_shown ON tag_totals (user_id, shown DESC, tag_key) WHERE shown > 0;
"""


def _count(changed: str) -> str:
    return f"""
        INSERT INTO tag_totals AS t (user_id, tag_key, tag, images, shown)
        SELECT s.user_id, k.tag_key, min(k.tag), sum(c.sign * s.counts), sum(c.sign * v.shown)
        FROM ({changed}) AS c,
             LATERAL (SELECT (c.visibility = 'shared')::integer AS shown) AS v,
             LATERAL (VALUES (c.user_id, 1), (0, v.shown)) AS s (user_id, counts),
             LATERAL unnest(c.tags, c.tag_keys) AS k (tag, tag_key)
        WHERE c.deleted_at IS NULL AND c.visibility <> 'trashed' AND s.counts > 0
        GROUP BY s.user_id, k.tag_key
        HAVING (sum(c.sign * s.counts), sum(c.sign * v.shown)) <> (0, 0)
        ORDER BY s.user_id, k.tag_key
        ON CONFLICT (user_id, tag_key) DO UPDATE SET
            images = t.images + excluded.images, shown = t.shown + excluded.shown;"""


_FORGET_UNUSED = """
        DELETE FROM tag_totals AS t
        USING (SELECT r.user_id, unnest(r.tag_keys) AS tag_key FROM removed AS r) AS k
        WHERE t.user_id IN (k.user_id, 0) AND t.tag_key = k.tag_key AND t.images = 0;"""

_COUNT_TAGS = f"""
CREATE FUNCTION count_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN{_count("SELECT 1 AS sign, a.* FROM added AS a")}
    ELSIF TG_OP = 'DELETE' THEN{_count("SELECT -1 AS sign, r.* FROM removed AS r")}
{_FORGET_UNUSED}
    ELSE{
    _count('''SELECT 1 AS sign, a.* FROM added AS a
              UNION ALL SELECT -1, r.* FROM removed AS r''')
}
{_FORGET_UNUSED}
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER images_tags_added AFTER INSERT ON images
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_tags();
CREATE TRIGGER images_tags_changed AFTER UPDATE ON images
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_tags();
CREATE TRIGGER images_tags_removed AFTER DELETE ON images
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_tags();

INSERT INTO tag_totals (user_id, tag_key, tag, images, shown)
SELECT s.user_id, k.tag_key, min(k.tag), count(*),
       count(*) FILTER (WHERE i.visibility = 'shared')
FROM images AS i,
     LATERAL unnest(i.tags, i.tag_keys) AS k (tag, tag_key),
     LATERAL (VALUES (i.user_id), (0)) AS s (user_id)
WHERE i.deleted_at IS NULL AND i.visibility <> 'trashed'
  AND (s.user_id <> 0 OR i.visibility = 'shared')
GROUP BY s.user_id, k.tag_key;
"""

_BATCHES = """
ALTER TABLE idempotency_keys ADD COLUMN results jsonb;
COMMENT ON COLUMN idempotency_keys.results IS
    'Of a request about many images: by image its version, or what refused it';
"""

_STATEMENTS = (*(_LISTED, _FILL, _INDEXES, _TRIGGERS, _TAG_TOTALS, _COUNT_TAGS, _BATCHES),)


def upgrade() -> None:
    for statements in _STATEMENTS:
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE idempotency_keys DROP COLUMN results;
        DROP TRIGGER images_tags_removed ON images;
        DROP TRIGGER images_tags_changed ON images;
        DROP TRIGGER images_tags_added ON images;
        DROP FUNCTION count_tags();
        DROP TABLE tag_totals;
        DROP TRIGGER images_listed_changed ON images;
        DROP TRIGGER images_listed_added ON images;
        DROP FUNCTION keep_listed_images();
        DROP INDEX images_not_ready;
        DROP INDEX images_trashed;
        DROP FUNCTION listed_row(images);
        DROP TABLE listed_images;
        DROP FUNCTION words_of(text);
    """)
