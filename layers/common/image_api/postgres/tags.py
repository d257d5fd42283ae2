"""The table `tag_totals`, which triggers keep."""

from __future__ import annotations

from image_api.core.library.tagging import FoundTags, Position
from image_api.errors import Unauthenticated
from image_api.postgres.closed_accounts import owner_stays
from image_api.postgres.database import Database
from image_api.postgres.token_checks import IS_SIGNED_IN, NO_LONGER_SIGNED_IN

_USER_EXISTS = f"SELECT {IS_SIGNED_IN}"
# What is left of accounts that were deleted is on its way out, and nobody's to see.
_GONE = """(SELECT coalesce(sum(g.shown), 0)::bigint FROM closed_accounts AS c
            JOIN tag_totals AS g ON g.user_id = c.user_id AND g.tag_key = t.tag_key)"""
_AFTER = """{images} <= :after_images::bigint
             AND ({images} < :after_images::bigint OR t.tag_key > :after_key::text)"""


def _page(counted: str, of: str) -> str:
    """By the index that is in this order."""
    return f"""
SELECT t.tag_key, t.tag, t.{counted}, t.{counted}
FROM tag_totals AS t
WHERE t.user_id = {of} AND {owner_stays("t")} AND t.{counted} > 0
  AND {_AFTER.format(images=f"t.{counted}")}
ORDER BY t.{counted} DESC, t.tag_key LIMIT :row_limit
"""


_OWN = _page("images", ":user_id")
_OF_ANOTHER = _page("shown", ":owner_id")

# Whoever has private images has tags of their own, which count with everybody's: the most used
# 10,000 of them. All other tags are everybody's, in their order.
_SEEN = f"""
WITH own AS MATERIALIZED (
    SELECT o.tag_key, o.tag,
           o.images - o.shown + coalesce(
               (SELECT e.images FROM tag_totals AS e
                WHERE e.user_id = 0 AND e.tag_key = o.tag_key), 0) AS images
    FROM tag_totals AS o
    WHERE o.user_id = :user_id AND o.images > o.shown
    ORDER BY o.images DESC, o.tag_key LIMIT 10000
)
(SELECT t.tag_key, t.tag, t.images, t.images - {_GONE} AS seen FROM own AS t
 WHERE {_AFTER.format(images="t.images")}
 ORDER BY t.images DESC, t.tag_key LIMIT :row_limit)
UNION ALL
(SELECT t.tag_key, t.tag, t.images, t.images - {_GONE} FROM tag_totals AS t
 WHERE t.user_id = 0 AND t.images > {_GONE} AND {_AFTER.format(images="t.images")}
   AND NOT EXISTS (SELECT FROM own AS o WHERE o.tag_key = t.tag_key)
 ORDER BY t.images DESC, t.tag_key LIMIT :row_limit)
ORDER BY images DESC, tag_key LIMIT :row_limit
"""

_BEFORE_ALL = Position(2**63 - 1, "")


class PostgresTagRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def tags(
        self, user_id: int, owner_id: int | None, limit: int, after: Position | None
    ) -> FoundTags:
        if not self._database.only_row(_USER_EXISTS, user_id=user_id)[0]:
            raise Unauthenticated(NO_LONGER_SIGNED_IN)
        statement = _SEEN if owner_id is None else _OWN if owner_id == user_id else _OF_ANOTHER
        after = after or _BEFORE_ALL
        rows = self._database.rows(
            statement,
            user_id=user_id,
            owner_id=owner_id,
            after_images=after.images,
            after_key=after.tag_key,
            row_limit=limit + 1,
        )
        shown = rows[:limit]
        return FoundTags(
            [{"tag": tag, "images": seen} for _, tag, _, seen in shown],
            Position(shown[-1][2], shown[-1][0]) if len(rows) > limit else None,
        )
