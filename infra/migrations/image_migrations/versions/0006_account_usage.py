"""What accounts use, where they signed in, and what hiding and refusing in time need to know."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_IMAGES = """
ALTER TABLE images
    ADD COLUMN frames integer CHECK (frames > 0),
    ADD COLUMN original_bytes bigint CHECK (original_bytes > 0),
    ADD COLUMN stored_bytes bigint CHECK (stored_bytes > 0),
    ADD COLUMN hidden_sequence integer NOT NULL DEFAULT 0,
    ADD COLUMN exposed_key text COLLATE "C";
COMMENT ON COLUMN images.frames IS 'Of the original; unknown for what was uploaded before';
COMMENT ON COLUMN images.original_bytes IS 'Unknown for what was uploaded before';
COMMENT ON COLUMN images.stored_bytes IS
    'Original and renditions; unknown for what was rendered before';
COMMENT ON COLUMN images.hidden_sequence IS
    'The last accepted change that hides it: no earlier one shows it again';
COMMENT ON COLUMN images.exposed_key IS
    'The original''s key when it was hidden, until whatever lies beside that has moved';
"""

# How many changes of an image wait is the distance of its two numbers: so one table is counted,
# by one trigger, and rows are locked in one order: the image, the account, the totals (triggers of
# one table fire in the order of their names).
_USAGE = """
CREATE TABLE account_usage (
    user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    images bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    unfinished_changes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON COLUMN account_usage.images IS 'Those that are not deleted, like their bytes';

CREATE FUNCTION open_account_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO account_usage (user_id) VALUES (NEW.id);
    RETURN NULL;
END;
$$;
CREATE TRIGGER users_added AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION open_account_usage();

CREATE FUNCTION count_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO account_usage AS u (user_id, images, bytes, unfinished_changes)
        SELECT c.user_id,
               coalesce(sum(c.sign) FILTER (WHERE c.deleted_at IS NULL), 0) AS images,
               coalesce(sum(c.sign * coalesce(c.stored_bytes, c.size_bytes))
                        FILTER (WHERE c.deleted_at IS NULL), 0) AS bytes,
               sum(c.sign * (c.accepted_sequence - c.applied_sequence)) AS unfinished_changes
        FROM (SELECT 1 AS sign, a.* FROM added AS a) AS c
        GROUP BY c.user_id
        ORDER BY c.user_id
        ON CONFLICT (user_id) DO UPDATE SET
            images = u.images + excluded.images, bytes = u.bytes + excluded.bytes,
            unfinished_changes = u.unfinished_changes + excluded.unfinished_changes
        WHERE (excluded.images, excluded.bytes, excluded.unfinished_changes) <> (0, 0, 0);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO account_usage AS u (user_id, images, bytes, unfinished_changes)
        SELECT c.user_id,
               coalesce(sum(c.sign) FILTER (WHERE c.deleted_at IS NULL), 0) AS images,
               coalesce(sum(c.sign * coalesce(c.stored_bytes, c.size_bytes))
                        FILTER (WHERE c.deleted_at IS NULL), 0) AS bytes,
               sum(c.sign * (c.accepted_sequence - c.applied_sequence)) AS unfinished_changes
        FROM (SELECT -1 AS sign, r.* FROM removed AS r) AS c
        GROUP BY c.user_id
        ORDER BY c.user_id
        ON CONFLICT (user_id) DO UPDATE SET
            images = u.images + excluded.images, bytes = u.bytes + excluded.bytes,
            unfinished_changes = u.unfinished_changes + excluded.unfinished_changes
        WHERE (excluded.images, excluded.bytes, excluded.unfinished_changes) <> (0, 0, 0);
    ELSE
        INSERT INTO account_usage AS u (user_id, images, bytes, unfinished_changes)
        SELECT c.user_id,
               coalesce(sum(c.sign) FILTER (WHERE c.deleted_at IS NULL), 0) AS images,
               coalesce(sum(c.sign * coalesce(c.stored_bytes, c.size_bytes))
                        FILTER (WHERE c.deleted_at IS NULL), 0) AS bytes,
               sum(c.sign * (c.accepted_sequence - c.applied_sequence)) AS unfinished_changes
        FROM (SELECT 1 AS sign, a.* FROM added AS a
              UNION ALL SELECT -1, r.* FROM removed AS r) AS c
        GROUP BY c.user_id
        ORDER BY c.user_id
        ON CONFLICT (user_id) DO UPDATE SET
            images = u.images + excluded.images, bytes = u.bytes + excluded.bytes,
            unfinished_changes = u.unfinished_changes + excluded.unfinished_changes
        WHERE (excluded.images, excluded.bytes, excluded.unfinished_changes) <> (0, 0, 0);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER images_account_added AFTER INSERT ON images
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_usage();
CREATE TRIGGER images_account_changed AFTER UPDATE ON images
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_usage();
CREATE TRIGGER images_account_removed AFTER DELETE ON images
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_usage();

INSERT INTO account_usage (user_id, images, bytes, unfinished_changes)
SELECT u.id,
       count(i.id) FILTER (WHERE i.deleted_at IS NULL),
       coalesce(sum(i.size_bytes) FILTER (WHERE i.deleted_at IS NULL), 0),
       coalesce(sum(i.accepted_sequence - i.applied_sequence), 0)
FROM users AS u LEFT JOIN images AS i ON i.user_id = u.id
GROUP BY u.id;
"""

_DIRECT_UPLOADS = """
CREATE TABLE direct_uploads (
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    upload_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, upload_id)
);
COMMENT ON TABLE direct_uploads IS 'Forms that were handed out and not made use of yet';
CREATE INDEX direct_uploads_by_age ON direct_uploads (expires_at);
"""

_SIGN_IN_NETWORKS = """
CREATE TABLE sign_in_networks (
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    network bytea NOT NULL,
    signed_in_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, network)
);
COMMENT ON COLUMN sign_in_networks.network IS
    'SHA-256 of a network from which this user has signed in';
CREATE INDEX sign_in_networks_by_age ON sign_in_networks (signed_in_at);
"""


def upgrade() -> None:
    for statements in (_IMAGES, _USAGE, _DIRECT_UPLOADS, _SIGN_IN_NETWORKS):
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        DROP TABLE sign_in_networks, direct_uploads;
        DROP TRIGGER images_account_removed ON images;
        DROP TRIGGER images_account_changed ON images;
        DROP TRIGGER images_account_added ON images;
        DROP TRIGGER users_added ON users;
        DROP FUNCTION count_usage();
        DROP FUNCTION open_account_usage();
        DROP TABLE account_usage;
        ALTER TABLE images DROP COLUMN frames, DROP COLUMN original_bytes,
            DROP COLUMN stored_bytes, DROP COLUMN hidden_sequence, DROP COLUMN exposed_key;
    """)
