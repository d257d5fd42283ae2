"""One log of accepted changes, in the place of outbox and inbox.

The two stay for one release, for the code before this: triggers tell the log what it does.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHANGES = """
CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id uuid NOT NULL,
    user_id bigint NOT NULL,
    image_id bigint NOT NULL,
    sequence integer NOT NULL CHECK (sequence > 0),
    type text NOT NULL CHECK (type IN (
        'image.upload.requested', 'image.update.requested', 'image.delete.requested')),
    data jsonb NOT NULL,
    correlation_id text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),

    published_at timestamptz,
    due_at timestamptz NOT NULL DEFAULT now(),
    begun_for uuid,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    settled_at timestamptz,
    outcome text CHECK (outcome IN ('applied', 'failed')),
    reason text,
    outcome_id uuid,
    outcome_type text,
    outcome_data jsonb,
    outcome_published_at timestamptz,

    CONSTRAINT changes_change_id_unique UNIQUE (change_id),
    CONSTRAINT changes_of_image_unique UNIQUE (image_id, sequence),
    CHECK ((settled_at IS NULL) = (outcome IS NULL)),
    CHECK (failures BETWEEN 0 AND attempts)
);
COMMENT ON TABLE changes IS 'Every accepted change; the columns up to accepted_at never change';
COMMENT ON COLUMN changes.change_id IS 'The id of the event that asks for it';
COMMENT ON COLUMN changes.due_at IS
    'Nobody else may begin it before: it is in work until then, or waits for another attempt';
COMMENT ON COLUMN changes.begun_for IS
    'The id of the message for which it was begun: when that comes again, its consumer is gone';
COMMENT ON COLUMN changes.attempts IS 'How many were begun';
COMMENT ON COLUMN changes.failures IS
    'How many ended in order and without success; those missing from attempts ended their process';

-- Whose turn it is: the users who wait, and of each the changes in the order in which they are due.
CREATE INDEX changes_waiting ON changes (user_id, due_at)
    WHERE outcome IS NULL AND attempts = failures;
-- In work, or of a consumer that is gone: few.
CREATE INDEX changes_begun ON changes (user_id, due_at)
    WHERE outcome IS NULL AND attempts > failures;
CREATE INDEX changes_begun_for ON changes (begun_for)
    WHERE outcome IS NULL AND begun_for IS NOT NULL;
CREATE INDEX changes_unsettled ON changes (id) WHERE settled_at IS NULL;
CREATE INDEX changes_unpublished ON changes (id) WHERE published_at IS NULL;
CREATE INDEX changes_outcome_unpublished ON changes (id)
    WHERE outcome_id IS NOT NULL AND outcome_published_at IS NULL;
CREATE INDEX changes_by_acceptance ON changes (accepted_at);
CREATE INDEX changes_by_settlement ON changes (settled_at) WHERE settled_at IS NOT NULL;
"""

# What was accepted before, was published, and is not applied: only the broker knows what it says.
_IN_BROKER = """
CREATE TABLE changes_in_broker (
    image_id bigint NOT NULL,
    sequence integer NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (image_id, sequence)
);
COMMENT ON TABLE changes_in_broker IS
    'Accepted before the log was there: believed from their messages, once';
"""

# Until the bridge below is there, nobody accepts, publishes or applies what the copy would miss.
_HOLD_STILL = "LOCK TABLE images, outbox, inbox IN SHARE ROW EXCLUSIVE MODE"

# A removal says nothing but whose image it is, so it need not wait for its message: that may be
# lost, and the bytes must go.
_CARRY_OVER = """
INSERT INTO changes_in_broker (image_id, sequence)
SELECT i.id, s.sequence
FROM images AS i, generate_series(i.applied_sequence + 1, i.accepted_sequence) AS s (sequence)
WHERE i.applied_sequence < i.accepted_sequence
  AND NOT EXISTS (SELECT FROM outbox AS o
                  WHERE o.image_id = i.id AND o.sequence = s.sequence
                    AND right(o.type, 10) = '.requested');

INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     accepted_at, published_at)
SELECT b.event_id, i.user_id, i.id, b.sequence, b.type, b.data, b.correlation_id, b.accepted_at,
       b.published_at
FROM (SELECT o.event_id, o.image_id, o.sequence, o.type, o.data, o.correlation_id,
             o.created_at AS accepted_at, NULL::timestamptz AS published_at
      FROM outbox AS o WHERE right(o.type, 10) = '.requested'
      UNION ALL
      SELECT gen_random_uuid(), d.id, d.accepted_sequence, 'image.delete.requested',
             jsonb_build_object('user_id', d.user_id), '', d.deleted_at, d.deleted_at
      FROM images AS d
      WHERE d.deleted_at IS NOT NULL AND d.applied_sequence < d.accepted_sequence) AS b
JOIN images AS i ON i.id = b.image_id
WHERE b.sequence > i.applied_sequence
ORDER BY b.accepted_at, b.sequence
ON CONFLICT DO NOTHING;
"""

# The code before this one writes into outbox and inbox as long as it runs: while a deployment
# replaces it, and after one that is rolled back.
_BRIDGE = """
CREATE FUNCTION log_accepted_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                         accepted_at)
    SELECT NEW.event_id, i.user_id, NEW.image_id, NEW.sequence, NEW.type, NEW.data,
           NEW.correlation_id, NEW.created_at
    FROM images AS i WHERE i.id = NEW.image_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;
CREATE TRIGGER outbox_accepted AFTER INSERT ON outbox
    FOR EACH ROW WHEN (right(NEW.type, 10) = '.requested')
    EXECUTE FUNCTION log_accepted_change();

CREATE FUNCTION log_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE changes SET published_at = now()
    WHERE change_id = OLD.event_id AND published_at IS NULL;
    RETURN NULL;
END;
$$;
CREATE TRIGGER outbox_published AFTER DELETE ON outbox
    FOR EACH ROW WHEN (right(OLD.type, 10) = '.requested')
    EXECUTE FUNCTION log_published_change();

-- Its outcomes go through the outbox; what it applied or gave up shows in the image. What the code
-- of this release settles is settled when this comes.
CREATE FUNCTION log_settled_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE changes
        SET settled_at = now(), published_at = coalesce(published_at, now()), outcome = 'applied'
        WHERE image_id = OLD.id AND outcome IS NULL;
    ELSE
        UPDATE changes
        SET settled_at = now(), published_at = coalesce(published_at, now()),
            outcome = CASE WHEN NEW.error IS NULL THEN 'applied' ELSE 'failed' END,
            reason = NEW.error
        WHERE image_id = NEW.id AND sequence <= NEW.applied_sequence AND outcome IS NULL;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER images_applied AFTER UPDATE ON images
    FOR EACH ROW WHEN (NEW.applied_sequence > OLD.applied_sequence)
    EXECUTE FUNCTION log_settled_changes();
CREATE TRIGGER images_gone AFTER DELETE ON images
    FOR EACH ROW EXECUTE FUNCTION log_settled_changes();
"""


def upgrade() -> None:
    for statements in (_CHANGES, _IN_BROKER, _HOLD_STILL, _CARRY_OVER, _BRIDGE):
        # The driver's own way in: SQLAlchemy would take the colons for parameters.
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        DROP TRIGGER images_gone ON images;
        DROP TRIGGER images_applied ON images;
        DROP TRIGGER outbox_published ON outbox;
        DROP TRIGGER outbox_accepted ON outbox;
        DROP FUNCTION log_settled_changes();
        DROP FUNCTION log_published_change();
        DROP FUNCTION log_accepted_change();
        INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id, created_at)
        SELECT change_id, type, image_id, sequence, data, correlation_id, accepted_at
        FROM changes WHERE settled_at IS NULL OR published_at IS NULL ORDER BY id
        ON CONFLICT DO NOTHING;
        INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id, created_at)
        SELECT outcome_id, outcome_type, image_id, sequence, outcome_data, correlation_id,
               settled_at
        FROM changes WHERE outcome_id IS NOT NULL AND outcome_published_at IS NULL ORDER BY id;
        INSERT INTO inbox (event_id, applied_at)
        SELECT change_id, settled_at FROM changes
        WHERE settled_at > now() - interval '30 days'
        ON CONFLICT DO NOTHING;
        DROP TABLE changes, changes_in_broker;
    """)
