"""Who waits for an image, so that there are never too many."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        CREATE TABLE waiting_requests (
            place integer PRIMARY KEY CHECK (place > 0),
            user_id bigint NOT NULL,
            lease_id uuid NOT NULL,
            leased_until timestamptz NOT NULL
        ) WITH (fillfactor = 50);
        COMMENT ON TABLE waiting_requests IS
            'Requests that wait for an image to be processed, each on a place of its own';
        COMMENT ON COLUMN waiting_requests.leased_until IS
            'When whoever took it must have answered: then the place is free';
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE waiting_requests;")
