"""Changes that a renderer is busy with, and which renderer made what is stored."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE changes
            ADD COLUMN renderer_failures integer NOT NULL DEFAULT 0,
            ADD COLUMN rendering_folder text,
            ADD COLUMN rendering_until timestamptz,
            ADD CHECK ((rendering_folder IS NULL) = (rendering_until IS NULL));
        COMMENT ON COLUMN changes.renderer_failures IS
            'Of the failures those that a renderer caused: it crashed, hung or lied';
        COMMENT ON COLUMN changes.rendering_folder IS
            'Where a renderer that was not waited for leaves its results';
        COMMENT ON COLUMN changes.rendering_until IS 'When it must have ended';
        CREATE INDEX changes_rendering ON changes (user_id)
            WHERE outcome IS NULL AND rendering_until IS NOT NULL;
        -- What may begin although its user has no renderer free.
        CREATE INDEX changes_without_renderer ON changes (user_id, due_at)
            WHERE outcome IS NULL
              AND (type = 'image.delete.requested' OR rendering_until IS NOT NULL);

        ALTER TABLE renditions
            ADD COLUMN renderer_version integer NOT NULL DEFAULT 0,
            ADD COLUMN considered_version integer NOT NULL DEFAULT 0,
            ADD COLUMN rerender_attempts integer NOT NULL DEFAULT 0;
        COMMENT ON COLUMN renditions.renderer_version IS 'Which version of the renderer made it';
        COMMENT ON COLUMN renditions.considered_version IS
            'Up to which version of the renderer it was rendered anew, or that was given up';
        COMMENT ON COLUMN renditions.rerender_attempts IS 'Since then, begun and not succeeded';
        CREATE INDEX renditions_outdated ON renditions (considered_version, image_id)
            WHERE name = 'image';

        ALTER TABLE images
            ADD COLUMN asked_width integer,
            ADD COLUMN asked_height integer,
            ADD COLUMN asked_fit text CHECK (asked_fit IN ('cover', 'contain', 'stretch'));
        COMMENT ON COLUMN images.asked_width IS
            'The size that was asked for last and made; of images from before this column unknown '
            'where the log of changes does not say it';

        UPDATE images AS i
        SET asked_width = split_part(c.resolution, 'x', 1)::integer,
            asked_height = split_part(c.resolution, 'x', 2)::integer,
            asked_fit = coalesce(c.fit, 'cover')
        FROM (SELECT DISTINCT ON (image_id) image_id, data #>> '{changes,resolution}' AS resolution,
                     data #>> '{changes,fit}' AS fit
              FROM changes
              WHERE outcome = 'applied'
                AND data #>> '{changes,resolution}' ~ '^[0-9]{1,6}x[0-9]{1,6}$'
                AND coalesce(data #>> '{changes,fit}', 'cover') IN ('cover', 'contain', 'stretch')
              ORDER BY image_id, sequence DESC) AS c
        WHERE i.id = c.image_id
          AND c.resolution = i.width || 'x' || i.height;
    """)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("""
        ALTER TABLE changes
            DROP COLUMN renderer_failures,
            DROP COLUMN rendering_folder,
            DROP COLUMN rendering_until;
        ALTER TABLE renditions
            DROP COLUMN renderer_version,
            DROP COLUMN considered_version,
            DROP COLUMN rerender_attempts;
        ALTER TABLE images
            DROP COLUMN asked_width,
            DROP COLUMN asked_height,
            DROP COLUMN asked_fit;
    """)
