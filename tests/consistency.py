"""What must agree in the database once everything that was accepted is settled."""

from __future__ import annotations

from pg8000.native import Connection

_CONTRADICTIONS = {
    "account_usage": """
        SELECT u.user_id, u.images, u.bytes, u.unfinished_changes FROM account_usage AS u
        EXCEPT
        SELECT u.user_id, count(i.id) FILTER (WHERE i.deleted_at IS NULL),
               coalesce(sum(coalesce(i.stored_bytes, i.size_bytes))
                        FILTER (WHERE i.deleted_at IS NULL), 0),
               0
        FROM account_usage AS u LEFT JOIN images AS i USING (user_id) GROUP BY u.user_id
    """,
    "image_totals": """
        SELECT coalesce(t.owner, c.owner) AS owner, t.images, c.images
        FROM (SELECT user_id AS owner, visibility, status, sum(images) AS images
              FROM image_totals GROUP BY 1, 2, 3 HAVING sum(images) <> 0) AS t
        FULL JOIN (SELECT o.owner, i.visibility, i.status, count(*) AS images
                   FROM images AS i, LATERAL (VALUES (i.user_id), (0)) AS o (owner)
                   WHERE i.deleted_at IS NULL AND (o.owner <> 0 OR i.visibility = 'shared')
                   GROUP BY 1, 2, 3) AS c USING (owner, visibility, status)
        WHERE t.images IS DISTINCT FROM c.images
    """,
    "tag_totals": """
        SELECT coalesce(t.owner, c.owner) AS owner, tag_key, t.images, c.images
        FROM (SELECT user_id AS owner, tag_key, images FROM tag_totals) AS t
        FULL JOIN (SELECT o.owner, k.tag_key, count(*) AS images
                   FROM images AS i, LATERAL unnest(i.tag_keys) AS k (tag_key),
                        LATERAL (VALUES (i.user_id), (0)) AS o (owner)
                   WHERE i.deleted_at IS NULL AND i.visibility <> 'trashed'
                     AND (o.owner <> 0 OR i.visibility = 'shared')
                   GROUP BY 1, 2) AS c USING (owner, tag_key)
        WHERE t.images IS DISTINCT FROM c.images
    """,
    "listed_images": """
        (SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l WHERE i.deleted_at IS NULL
         EXCEPT SELECT * FROM listed_images)
        UNION ALL
        (SELECT * FROM listed_images
         EXCEPT SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l WHERE i.deleted_at IS NULL)
    """,
    "images.applied_sequence": """
        SELECT id, accepted_sequence, applied_sequence FROM images
        WHERE accepted_sequence <> applied_sequence
    """,
    "changes.sequence": """
        SELECT c.image_id, min(c.sequence), max(c.sequence), count(*) FROM changes AS c
        LEFT JOIN images AS i ON i.id = c.image_id
        GROUP BY c.image_id, i.accepted_sequence
        HAVING (min(c.sequence), count(*)) <> (1, max(c.sequence))
            OR max(c.sequence) <> i.accepted_sequence
    """,
    "images.deleted_at": "SELECT id FROM images WHERE deleted_at IS NOT NULL",
    "changes.image_id": """
        SELECT c.image_id, c.type, c.outcome FROM changes AS c
        WHERE NOT EXISTS (SELECT FROM images AS i WHERE i.id = c.image_id)
          AND NOT EXISTS (SELECT FROM changes AS d
                          WHERE d.image_id = c.image_id AND d.type = 'image.delete.requested'
                            AND d.outcome = 'applied')
    """,
}


def contradictions(database: Connection) -> list[str]:
    """Where what is counted is not what there is, or a number is missing."""
    return [
        f"{what}: {row}"
        for what, statement in _CONTRADICTIONS.items()
        for row in database.run(statement)
    ]
