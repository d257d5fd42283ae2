"""When a picture was taken, and what a page shows until it is there."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE images
            ADD COLUMN taken_at timestamp,
            ADD COLUMN placeholder text;
        COMMENT ON COLUMN images.taken_at IS
            'By the camera''s clock, which knows no zone; for the owner alone';
        COMMENT ON COLUMN images.placeholder IS 'A ThumbHash in base64';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        "ALTER TABLE images DROP COLUMN taken_at, DROP COLUMN placeholder"
    )
