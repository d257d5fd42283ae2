"""An index of the images that wait, so that the oldest is found without reading the others."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        "CREATE INDEX images_unfinished ON images (updated_at)"
        " WHERE applied_sequence < accepted_sequence"
    )


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP INDEX images_unfinished")
