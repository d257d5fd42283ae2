"""Sessions, accounts that are deleted, and keys of names without what nobody sees."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


_SESSIONS = """
ALTER TABLE users ADD COLUMN token_generation integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.token_generation IS
    'Tokens of another are good no longer';

CREATE TABLE refresh_families (
    family_id uuid PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_generation integer NOT NULL,
    current_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE refresh_families IS
    'What comes of one sign-in: of its refresh tokens, all of which name it, one is good';
COMMENT ON COLUMN refresh_families.current_hash IS 'SHA-256 of that one';
CREATE INDEX refresh_families_of_user ON refresh_families (user_id);
CREATE INDEX refresh_families_by_age ON refresh_families (expires_at);

CREATE TABLE used_refresh_tokens (
    token_hash bytea PRIMARY KEY,
    family_id uuid NOT NULL REFERENCES refresh_families (family_id) ON DELETE CASCADE,
    used_at timestamptz NOT NULL DEFAULT now(),
    sealed_successor bytea NOT NULL
);
COMMENT ON TABLE used_refresh_tokens IS
    'Only of the last seconds: those of before are known by the family that they name';
COMMENT ON COLUMN used_refresh_tokens.sealed_successor IS
    'Readable to who holds the token itself';
CREATE INDEX used_refresh_tokens_of_family ON used_refresh_tokens (family_id);
CREATE INDEX used_refresh_tokens_by_age ON used_refresh_tokens (used_at);
"""

# As core.characters has them.
_IGNORED = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
_CLASS = "[" + "".join(rf"\U{first:08X}-\U{last:08X}" for first, last in _IGNORED) + "]"

# Of several names with one key the oldest gets it, unless it is somebody's already; the others keep
# theirs, which signing in still finds.
_NAMES = f"""
UPDATE users AS u SET username_key = n.key
FROM (SELECT DISTINCT ON (k.key) k.id, k.key
      FROM (SELECT o.id, btrim(normalize(regexp_replace(o.username_key, E'{_CLASS}', '', 'g'),
                                         NFKC), E' \\u1680') AS key
            FROM users AS o WHERE o.username_key ~ E'{_CLASS}') AS k
      ORDER BY k.key, k.id) AS n
WHERE u.id = n.id AND n.key <> ''
  AND NOT EXISTS (SELECT FROM users AS taken WHERE taken.username_key = n.key);
"""

_CLOSED_ACCOUNTS = """
CREATE TABLE closed_accounts (
    user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    correlation_id text NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT now(),
    looked_at timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE closed_accounts IS
    'Deleted, and something is left of them; their images are nobody''s to see';
CREATE INDEX closed_accounts_by_turn ON closed_accounts (looked_at);"""

# What names somebody in the log goes with the account.
_LOG = """
CREATE INDEX changes_of_user ON changes (user_id, id) WHERE type <> 'image.delete.requested';
"""


def upgrade() -> None:
    # In the order in which others can do least meanwhile.
    for statements in (_LOG, _NAMES, _CLOSED_ACCOUNTS, _SESSIONS):
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        DROP INDEX changes_of_user;
        DROP TABLE closed_accounts;
        DROP TABLE used_refresh_tokens, refresh_families;
        ALTER TABLE users DROP COLUMN token_generation;
    """)
