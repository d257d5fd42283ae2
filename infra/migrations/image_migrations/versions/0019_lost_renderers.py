"""Renderers that nobody hears of, and which may store something all the same."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE changes ADD COLUMN storing_until timestamptz;
        COMMENT ON COLUMN changes.storing_until IS
            'Until when a renderer may store something whose connection broke';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE changes DROP COLUMN storing_until;")
