"""What was answered to a request that carried an Idempotency-Key."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        CREATE TABLE idempotency_keys (
            user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            key text NOT NULL,
            request_hash bytea NOT NULL,
            claim_id uuid NOT NULL,
            claimed_at timestamptz NOT NULL DEFAULT now(),
            leased_until timestamptz NOT NULL,
            image_id bigint,
            PRIMARY KEY (user_id, key),
            CONSTRAINT idempotency_keys_claim_id_unique UNIQUE (claim_id)
        );
        COMMENT ON COLUMN idempotency_keys.leased_until IS
            'Until then a request without an answer counts as running';
        COMMENT ON COLUMN idempotency_keys.image_id IS
            'The answer, written in the transaction that accepts the change';
        CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at);
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE idempotency_keys")
