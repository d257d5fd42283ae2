"""Dead letters that are owed: of changes that were given up, until the broker has them."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        CREATE TABLE owed_letters (
            change_id uuid PRIMARY KEY REFERENCES changes (change_id) ON DELETE CASCADE,
            reason text NOT NULL,
            attempts integer NOT NULL,
            due_at timestamptz NOT NULL
        );
        CREATE INDEX owed_letters_due ON owed_letters (due_at);
        COMMENT ON TABLE owed_letters IS
            'Written with the verdict that gives a change up; gone when the broker has its letter';
        COMMENT ON COLUMN owed_letters.due_at IS
            'When the relay sends it, unless whoever gave the change up has sent it before';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE owed_letters;")
