"""Accounts that operators lock."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE users ADD COLUMN locked_at timestamptz;
        COMMENT ON COLUMN users.locked_at IS
            'Since when nobody signs in, because an operator said so; null: anybody who may';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE users DROP COLUMN locked_at;")
