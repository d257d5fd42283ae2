"""The table `searchable_titles`: images by a part of their title, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from image_api.postgres.closed_accounts import owner_stays

# Counting further would cost more than the page.
MOST_COUNTED = 10_000
# A part that half of the newest titles have is common: then titles are read from the newest on.
_SAMPLE, _COMMON, _READ_AT_MOST = 200, 100, 20_000


@dataclass(frozen=True, slots=True)
class TitleSearch:
    """`steps` of a WITH; `image_ids`: those of a page, before `:before_id`; `count`: of all that
    match, right up to MOST_COUNTED.
    """

    steps: str
    image_ids: str
    count: str


def title_search(scopes: dict[str, str], *, ready_only: bool) -> TitleSearch:
    """`scopes`: whose titles, as a condition on `t` and as the terms that say the same.

    Each scope is read in one of two ways, by what its newest titles say and not by what the planner
    believes: a rare part by the index of terms, which costs as much as it finds; a common part from
    the newest title on, which is short until there are enough.
    """
    matches = f"strpos(t.folded, (SELECT n.folded FROM needle AS n)) > 0 AND {owner_stays('t')}"
    if ready_only:
        matches += " AND (SELECT i.status FROM images AS i WHERE i.id = t.image_id) = 'ready'"
    steps = [
        """needle AS MATERIALIZED (
    SELECT n.folded, ARRAY(
        SELECT substr(n.folded, s.start, n.size)
        FROM generate_series(1, char_length(n.folded) - n.size + 1) AS s (start)) AS parts
    FROM (SELECT lower(:title::text) AS folded, least(3, char_length(lower(:title::text))) AS size
         ) AS n
)"""
    ]
    pages = []
    for number, (scope, terms) in enumerate(scopes.items()):
        steps.append(f"""sampled_{number} AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE {matches}) >= {_COMMON} AS is_common
    FROM (SELECT t.image_id, t.user_id, t.folded FROM searchable_titles AS t WHERE {scope}
          ORDER BY t.image_id DESC LIMIT {_SAMPLE}) AS t
), newest_{number} AS MATERIALIZED (
    SELECT count(*) AS images
    FROM (SELECT FROM (
              SELECT t.image_id, t.user_id, t.folded FROM searchable_titles AS t
              WHERE {scope} AND (SELECT s.is_common FROM sampled_{number} AS s)
              ORDER BY t.image_id DESC LIMIT {_READ_AT_MOST}) AS t
          WHERE {matches} LIMIT {MOST_COUNTED + 1}) AS m
), found_{number} AS MATERIALIZED (
    SELECT t.image_id FROM searchable_titles AS t
    WHERE (SELECT w.images FROM newest_{number} AS w) <= {MOST_COUNTED}
      AND title_terms(t.folded, t.user_id, t.visibility)
          @> ((SELECT n.parts FROM needle AS n) || {terms})
      AND {matches}
    LIMIT {MOST_COUNTED + 1}
), counted_{number} AS MATERIALIZED (
    SELECT greatest(w.images, (SELECT count(*) FROM found_{number})) AS images
    FROM newest_{number} AS w
)""")
        few = f"(SELECT c.images FROM counted_{number} AS c) <= {MOST_COUNTED}"
        pages += [
            f"(SELECT f.image_id FROM found_{number} AS f "
            f"WHERE {few} AND f.image_id < :before_id "
            "ORDER BY f.image_id DESC LIMIT :scan_limit)",
            f"(SELECT t.image_id FROM searchable_titles AS t "
            f"WHERE NOT ({few}) AND {scope} AND t.image_id < :before_id AND {matches} "
            "ORDER BY t.image_id DESC LIMIT :scan_limit)",
        ]
    counts = " + ".join(
        f"(SELECT c.images FROM counted_{number} AS c)" for number in range(len(scopes))
    )
    return TitleSearch(", ".join(steps), " UNION ALL ".join(pages), counts)
