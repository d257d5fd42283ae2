"""Descriptions, tags and the trash, and which version a request was answered."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE images
            ADD COLUMN description text NOT NULL DEFAULT ''
                CHECK (char_length(description) <= 2000),
            ADD COLUMN tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 32),
            ADD COLUMN tag_keys text[] NOT NULL DEFAULT '{}',
            ADD COLUMN trashed_at timestamptz,
            ADD COLUMN trashed_sequence integer NOT NULL DEFAULT 0,
            ADD COLUMN visibility_aside text
                CHECK (visibility_aside IN ('shared', 'private', 'public')),
            DROP CONSTRAINT images_visibility_check,
            ADD CONSTRAINT images_visibility_check
                CHECK (visibility IN ('shared', 'private', 'public', 'trashed')),
            ADD CONSTRAINT images_trashed_check
                CHECK (visibility <> 'trashed'
                       OR visibility_aside IS NOT NULL AND trashed_at IS NOT NULL);
        -- So that the release before this one, and every index of what others see, passes over it.
        COMMENT ON COLUMN images.visibility IS
            'As of now: also trashed, and then its own is kept aside';
        COMMENT ON COLUMN images.tag_keys IS 'The tags without regard to case';
        COMMENT ON COLUMN images.trashed_sequence IS
            'The last accepted change that puts it into the trash: no earlier one brings it back';

        ALTER TABLE idempotency_keys ADD COLUMN version integer;
        COMMENT ON COLUMN idempotency_keys.version IS 'Of the image, in the answer';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE idempotency_keys DROP COLUMN version;
        UPDATE images SET visibility = 'private' WHERE visibility NOT IN ('shared', 'private');
        ALTER TABLE images
            DROP COLUMN description,
            DROP COLUMN tags,
            DROP COLUMN tag_keys,
            DROP COLUMN visibility_aside,
            DROP COLUMN trashed_at,
            DROP COLUMN trashed_sequence,
            DROP CONSTRAINT IF EXISTS images_trashed_check,
            DROP CONSTRAINT images_visibility_check,
            ADD CONSTRAINT images_visibility_check CHECK (visibility IN ('shared', 'private'));
    """)
