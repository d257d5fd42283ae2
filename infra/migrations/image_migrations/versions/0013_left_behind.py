"""What was hidden and has not moved, originals not measured yet, and changes that are plain."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        CREATE INDEX images_exposed ON images (id)
            WHERE exposed_key IS NOT NULL AND deleted_at IS NULL
              AND applied_sequence = accepted_sequence;
        CREATE INDEX images_unmeasured ON images (id)
            WHERE frames IS NULL AND deleted_at IS NULL;
        -- What needs neither a renderer nor the storage: many of them are applied at once.
        CREATE INDEX changes_plain ON changes (user_id, due_at)
            WHERE outcome IS NULL AND attempts = failures
              AND type = 'image.update.requested'
              AND (data #- '{changes,title}') -> 'changes' = '{}'::jsonb;
        COMMENT ON COLUMN images.frames IS
            'Of the original, 1 where it cannot be read any more; of what was uploaded before this '
            'column unknown until it is measured';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP INDEX images_exposed, images_unmeasured, changes_plain;")
