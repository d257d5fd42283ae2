"""The table `listed_images`: pages in any order, by any filters, and how many match.

A page is read in one of three ways. Where an index has the order and the filters, by that. Where
one finds what the filters select, that is found, up to MOST_COUNTED, and sorted; what is common is
read in its order instead, like whatever no index knows: up to READ_AT_MOST, and the page is the
shorter for it, and leads to where reading ended. Which of these it is is known only once it is
counted: a statement that finds more gives no page, but says of which scopes, and the next one reads
those in their order. (Both ways in one statement cost more than a second one, as the server sets up
each step whether it comes to it or not.)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from image_api.core.library.listing import ListQuery
from image_api.postgres.closed_accounts import owner_stays

# Counting further would cost more than the page.
MOST_COUNTED = 10_000
READ_AT_MOST = 20_000
# A filter that half of the newest images pass is common, and so is one that half of some of all do.
_SAMPLE, _COMMON = 200, 100
_SPREAD_OVER = 10
# So few that have the parts of a title are looked at one by one, whoever may see them.
_MOST_RARE = 500
# What finds, counts by it: what is too many for that has no page.
_COUNTED_AS_FOUND = ("title", "terms", "status", "created")
_NEW_MANY = "array_agg(c.number) FILTER (WHERE c.images > {} AND c.is_new)"
# Whoever asks in ever other ways makes no others forget theirs.
_REMEMBERED = 500

_EVERYBODY = {"shared": 0, "public": -1}
_COLUMNS = {
    "created_at": ("created_at", "timestamptz"),
    "title": ("title_key", "text"),
    "size": ("size_bytes", "bigint"),
    "taken_at": ("taken_at", "timestamp"),
}
# How a key is written into a cursor.
_WRITTEN = {
    "timestamptz": "rfc3339({})",
    "timestamp": """coalesce(to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS'), {0}::text)""",
}
_CONDITIONS = {
    "ids": "l.image_id = ANY(:ids::bigint[])",
    "title": "strpos(l.title_key, (SELECT n.folded FROM title AS n)) > 0",
    "terms": "l.terms @> (SELECT n.terms FROM needle AS n)",
    "content_type": "l.content_type = :content_type::text",
    "created_after": "l.created_at > :created_after::text::timestamptz",
    "created_before": "l.created_at < :created_before::text::timestamptz",
}
_CREATED = {"created_after", "created_before"}
_NEEDLE = """needle AS MATERIALIZED (
    SELECT ARRAY(SELECT '#' || t.tag_key
                 FROM json_array_elements_text(:tag_keys::json) AS t (tag_key))
           || ARRAY(SELECT 'w' || w.word FROM unnest(words_of(:q::text)) AS w (word)) AS terms
)"""
# The index reads each list of a part whole: the parts that other titles have least are enough.
_TITLE = """title AS MATERIALIZED (
    SELECT n.folded, ARRAY(
        SELECT p.part
        FROM (SELECT DISTINCT substr(n.folded, s.start, n.size) AS part
              FROM generate_series(1, char_length(n.folded) - n.size + 1) AS s (start)) AS p
        ORDER BY (SELECT count(*) FROM other_titles AS t WHERE strpos(t.folded, p.part) > 0)
        LIMIT 5) AS parts
    FROM (SELECT lower(:title::text) AS folded, least(3, char_length(lower(:title::text))) AS size
         ) AS n
)"""
_IS_RARE = "(SELECT r.is_rare FROM rarity AS r)"
_HAS_TITLE = "strpos(c.folded, (SELECT n.folded FROM title AS n)) > 0"
# One by one, and only as long as more are wanted; the planner would read the whole table.
_LISTED = """CROSS JOIN LATERAL (
        SELECT l.* FROM listed_images AS l WHERE l.image_id = c.image_id OFFSET 0) AS l"""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how a query is put; its values are parameters. `filters`: those that select
    among the images of the scopes.
    """

    owner: str
    visibility: str | None
    trashed: bool
    status: str | None
    filters: frozenset[str]
    sort: str
    continues: bool
    # Of the scopes, by their numbers: what is known to have more than is counted.
    many: frozenset[int] = frozenset()


class _Scope(NamedTuple):
    """Images of one visibility that the user may see, as a condition, as terms, as those that
    titles have, and as a condition on what is counted.
    """

    condition: str
    terms: str
    title_terms: str
    counted: str
    on_images: str
    is_audience: bool
    # The condition as the index of capture has it, where that is another one.
    by_owner: str | None = None
    # Of those that are counted, what belongs to accounts that were deleted.
    gone: str = "false"


def shape_of(user_id: int, query: ListQuery, many: frozenset[int] = frozenset()) -> Shape:
    wanted = query.filters
    given = {
        "ids": wanted.ids is not None,
        "title": wanted.title is not None,
        "terms": wanted.q is not None or bool(wanted.tag_keys),
        "content_type": wanted.content_type is not None,
        "created_after": wanted.created_after is not None,
        "created_before": wanted.created_before is not None,
    }
    owner = "any"
    if wanted.owner_id is not None or wanted.trashed:
        owner = "me" if wanted.owner_id in (user_id, None) else "other"
    return Shape(
        owner=owner,
        visibility=wanted.visibility,
        trashed=wanted.trashed,
        status=wanted.status,
        filters=frozenset(name for name, is_given in given.items() if is_given),
        sort=query.sort,
        continues=query.after is not None,
        many=many,
    )


def parameters_of(user_id: int, query: ListQuery) -> dict[str, Any]:
    """By name, all that the statement of any shape may have."""
    wanted = query.filters
    return {
        "user_id": user_id,
        "row_limit": query.limit + 1,
        "owner_id": wanted.owner_id,
        "ids": list(wanted.ids or ()),
        "title": wanted.title,
        "q": wanted.q or "",
        "tag_keys": json.dumps(wanted.tag_keys),
        "content_type": wanted.content_type,
        "created_after": wanted.created_after,
        "created_before": wanted.created_before,
        "after_key": query.after.key if query.after else None,
        "after_id": query.after.image_id if query.after else None,
    }


@lru_cache(maxsize=_REMEMBERED)
def page_statement(shape: Shape, user_exists: str, image_json: str) -> str:
    """Whether the user exists, how many match, whether that is all, which scopes have turned out to
    have more than is counted; the images, unless these have to be read in their order, and one more
    if there is; by what the last of a full page is sorted; and where reading ended, if that was
    before the page was full.
    """
    page = _Page(shape)
    return f"""
WITH {", ".join(page.steps())}
SELECT ({user_exists}), t.images, t.is_exact, t.many,
       CASE WHEN {page.is_read} THEN (
           SELECT coalesce(json_agg({image_json} ORDER BY {page.order("p")}), '[]')::text
           FROM page AS p JOIN images AS i ON i.id = p.image_id) END,
       (SELECT {page.key("p.key")} FROM page AS p
        ORDER BY {page.order("p")} OFFSET :row_limit - 2 LIMIT 1),
       {page.stopped_at}
FROM total AS t
"""


def _spread(number: int, scope: _Scope) -> str:
    """Some of all its images, as they came: the newest are often of one kind."""
    return f"""spread_{number} AS MATERIALIZED (
    SELECT l.*
    FROM (SELECT min(l.created_at) AS oldest, max(l.created_at) AS newest
          FROM listed_images AS l WHERE {scope.condition}) AS e
    CROSS JOIN generate_series(0, {_SPREAD_OVER} - 1) AS s (step)
    CROSS JOIN LATERAL (
        SELECT l.* FROM listed_images AS l
        WHERE {scope.condition}
          AND l.created_at >= e.oldest + (e.newest - e.oldest) * s.step / {_SPREAD_OVER}
        ORDER BY l.created_at, l.image_id LIMIT 1) AS l
)"""


def _other_titles(numbers: list[int]) -> str:
    spread = "".join(
        f"\n    UNION ALL (SELECT l.title_key FROM spread_{number} AS l)" for number in numbers
    )
    return f"""other_titles AS MATERIALIZED (
    (SELECT t.folded FROM searchable_titles AS t ORDER BY t.image_id DESC LIMIT 50){spread}
)"""


def _rare_titles() -> str:
    """What none of the other titles has is rare, as a rule. Then the index need not read whose each
    title is, which half of all have in common.
    """
    return f"""seldom AS MATERIALIZED (
    SELECT count(*) = 0 AS is_seldom FROM other_titles AS t
    WHERE strpos(t.folded, (SELECT n.folded FROM title AS n)) > 0
), rare_titles AS MATERIALIZED (
    SELECT c.image_id, c.folded FROM searchable_titles AS c
    WHERE title_terms(c.folded, c.user_id, c.visibility) @> (SELECT n.parts FROM title AS n)
      AND (SELECT s.is_seldom FROM seldom AS s)
    LIMIT {_MOST_RARE + 1}
), rarity AS MATERIALIZED (
    SELECT (SELECT s.is_seldom FROM seldom AS s) AND count(*) <= {_MOST_RARE} AS is_rare
    FROM rare_titles
), rare_listed AS MATERIALIZED (
    SELECT l.* FROM rare_titles AS c {_LISTED}
    WHERE {_IS_RARE} AND {_HAS_TITLE}
)"""


class _Page:
    """The steps of a statement; those of one scope carry its number."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._column, self._type = _COLUMNS[shape.sort.removeprefix("-")]
        self._is_descending = shape.sort.startswith("-")
        self._scopes = _scopes(shape)
        self._source = self._chosen_source()
        # What is public is counted as shared.
        self._is_kept = not shape.filters and shape.visibility in (None, "private")

    def key(self, column: str) -> str:
        return _WRITTEN.get(self._type, "{}::text").format(column)

    def order(self, alias: str, column: str = "key") -> str:
        direction = " DESC" if self._is_descending else ""
        return f"{alias}.{column}{direction}, {alias}.image_id{direction}"

    @property
    def is_read(self) -> str:
        """Whether the page is there: what is found is not, where there is too much of it."""
        return "t.many IS NULL" if self._source in _COUNTED_AS_FOUND else "true"

    @property
    def stopped_at(self) -> str:
        """By what it is sorted, and the image."""
        if not self._stops():
            return "NULL::text, NULL::bigint"
        return f"(SELECT {self.key('s.key')} FROM stop AS s), (SELECT s.image_id FROM stop AS s)"

    def steps(self) -> list[str]:
        unknown = [
            number
            for number in range(len(self._scopes))
            if self._source in ("title", "terms") and number not in self._shape.many
        ]
        steps = [_spread(number, self._scopes[number]) for number in unknown]
        if "terms" in self._shape.filters:
            steps.append(_NEEDLE)
        if "title" in self._shape.filters:
            steps += [_other_titles(unknown), _TITLE, _rare_titles()]
        pages = []
        for number, scope in enumerate(self._scopes):
            if self._is_found(number):
                steps += self._found(number, scope)
                after = self._after("f", "key")
                pages.append(
                    f"(SELECT f.image_id, f.key FROM found_{number} AS f WHERE true{after})"
                )
            else:
                steps += self._counted_in_order(number, scope)
                steps.append(self._walked(number, scope))
                pages.append(f"(SELECT w.image_id, w.key FROM walked_{number} AS w)")
        return [*steps, f"total AS ({self._total()})", *self._whole_page(pages)]

    def _is_found(self, number: int) -> bool:
        return self._source is not None and number not in self._shape.many

    def _whole_page(self, pages: list[str]) -> list[str]:
        """Of all scopes, as far as each of them was read."""
        nothing = f"(SELECT NULL::bigint AS image_id, NULL::{self._type} AS key WHERE false)"
        backwards = ">=" if self._is_descending else "<="
        steps, conditions = [], []
        if self._source in _COUNTED_AS_FOUND:
            conditions.append("(SELECT t.many IS NULL FROM total AS t)")
        if stops := self._stops():
            steps.append(f"""stop AS MATERIALIZED (
    SELECT s.image_id, s.key FROM ({_all(stops)}) AS s
    ORDER BY {self.order("s")} LIMIT 1
)""")
            conditions.append(
                f"((SELECT count(*) FROM stop) = 0 OR (m.key, m.image_id) {backwards} "
                "(SELECT s.key, s.image_id FROM stop AS s))"
            )
        where = f"\n    WHERE {' AND '.join(conditions)}" if conditions else ""
        return [
            *steps,
            f"""page AS MATERIALIZED (
    SELECT m.image_id, m.key FROM ({_all(pages or [nothing])}) AS m{where}
    ORDER BY {self.order("m")} LIMIT :row_limit
)""",
        ]

    def _stops(self) -> list[str]:
        return [
            self._stop(number, scope)
            for number, scope in enumerate(self._scopes)
            if not self._is_found(number) and not self._is_direct(scope)
        ]

    def _chosen_source(self) -> str | None:
        """What finds the images that are filtered for, unless an index has them in their order."""
        filters = self._shape.filters
        for name in ("ids", "title", "terms"):
            if name in filters:
                return name
        if "content_type" in filters and not (
            filters == {"content_type"} and all(map(self._has_types, self._scopes))
        ):
            return "terms"
        if self._shape.status not in (None, "ready"):
            return "status"
        return "created" if filters & _CREATED and self._column != "created_at" else None

    def _has_types(self, scope: _Scope) -> bool:
        """Whether an index has the order of each type."""
        return scope.is_audience and self._column != "taken_at"

    def _inside(self, scope: _Scope) -> list[str]:
        """What the index says that has the order."""
        inside = [(self._column == "taken_at" and scope.by_owner) or scope.condition]
        if self._column == "created_at":
            inside += self._conditions(self._shape.filters & _CREATED)
        if self._has_types(scope):
            inside += self._conditions(self._shape.filters & {"content_type"})
        return inside

    def _outside(self, scope: _Scope) -> list[str]:
        """What it does not say."""
        inside = self._inside(scope)
        outside = [each for each in self._conditions(self._shape.filters) if each not in inside]
        if self._shape.status is not None:
            outside.append(
                "(SELECT i.status FROM images AS i WHERE i.id = l.image_id) = "
                f"'{self._shape.status}'"
            )
        return outside

    def _is_direct(self, scope: _Scope) -> bool:
        return not self._outside(scope)

    @staticmethod
    def _conditions(filters: frozenset[str] | set[str]) -> list[str]:
        return [_CONDITIONS[name] for name in sorted(filters)]

    def _after(self, alias: str, column: str) -> str:
        if not self._shape.continues:
            return ""
        onwards = "<" if self._is_descending else ">"
        return (
            f" AND ({alias}.{column}, {alias}.image_id) {onwards} "
            f"(:after_key::text::{self._type}, :after_id::bigint)"
        )

    def _in_order(self, scope: _Scope, more: str = "") -> str:
        return (
            f"SELECT l.* FROM listed_images AS l WHERE {' AND '.join(self._inside(scope))}{more} "
            f"ORDER BY {self.order('l', self._column)}"
        )

    def _walked(self, number: int, scope: _Scope) -> str:
        """A page's worth of those that match, read in their order."""
        after = self._after("l", self._column)
        outside = self._outside(scope)
        bound, where = "", ""
        if outside:
            bound, where = f" LIMIT {READ_AT_MOST}", f" WHERE {' AND '.join(outside)}"
        return f"""walked_{number} AS MATERIALIZED (
    SELECT l.image_id, l.{self._column} AS key
    FROM ({self._in_order(scope, after)}{bound}) AS l{where} LIMIT :row_limit
)"""

    def _stop(self, number: int, scope: _Scope) -> str:
        """The last that was read, if the page did not get full."""
        more = (
            f"{self._after('l', self._column)} "
            f"AND (SELECT count(*) FROM walked_{number}) < :row_limit"
        )
        return f"""(SELECT l.image_id, l.{self._column} AS key
     FROM ({self._in_order(scope, more)} OFFSET {READ_AT_MOST - 1} LIMIT 1) AS l)"""

    def _counted_in_order(self, number: int, scope: _Scope) -> list[str]:
        if self._is_kept:
            return []
        if number in self._shape.many:
            return [_many(number)]
        outside = self._outside(scope)
        counted = f"SELECT FROM ({self._in_order(scope)}) AS l"
        if outside:
            read = f"{self._in_order(scope)} LIMIT {READ_AT_MOST}"
            counted = f"SELECT FROM ({read}) AS l WHERE {' AND '.join(outside)}"
        elif "content_type" in self._shape.filters:
            # In order, the planner reads all of a common type before it has the first of them.
            counted = f"SELECT FROM listed_images AS l WHERE {' AND '.join(self._inside(scope))}"
        more = f"{self._in_order(scope)} OFFSET {READ_AT_MOST} LIMIT 1"
        is_all = f"(SELECT count(*) FROM ({more}) AS l) = 0" if outside else "true"
        return [
            f"""counted_{number} AS MATERIALIZED (
    SELECT (SELECT count(*) FROM ({counted} LIMIT {MOST_COUNTED + 1}) AS m) AS images,
           {is_all} AS is_all
)"""
        ]

    def _found(self, number: int, scope: _Scope) -> list[str]:
        filters = self._conditions(self._shape.filters)
        matches = " AND ".join([*filters, *self._of_status()]) or "true"
        steps, newest = [], ""
        if self._source in ("title", "terms"):
            steps = self._newest(number, scope, matches)
            newest = f"newest_{number}"
        found = [
            f"""SELECT l.image_id, l.{self._column} AS key FROM {candidates}
      AND {scope.condition} AND {matches}"""
            for candidates in self._candidates(number, scope)
        ]
        images = f"(SELECT count(*) FROM found_{number})"
        if newest:
            images = f"greatest((SELECT w.images FROM {newest} AS w), {images})"
        return [
            *steps,
            f"""found_{number} AS MATERIALIZED (
    {_all(found)}
    {"ORDER BY l.created_at " if self._source == "created" else ""}LIMIT {MOST_COUNTED + 1}
)""",
            f"counted_{number} AS MATERIALIZED (SELECT {images} AS images, true AS is_all)",
        ]

    def _newest(self, number: int, scope: _Scope, matches: str) -> list[str]:
        """How many of the newest match, of what is common: by what some say, and not by what the
        planner believes.
        """
        by_age = f"WHERE {scope.condition} ORDER BY l.created_at DESC, l.image_id DESC LIMIT"
        common = f"(SELECT s.is_common FROM sampled_{number} AS s)"
        return [
            f"""sampled_{number} AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE {matches}) >= {_COMMON}
           OR (SELECT 2 * count(*) FILTER (WHERE {matches}) > count(*)
               FROM spread_{number} AS l) AS is_common,
           count(*) > 0 AS is_any
    FROM (SELECT l.* FROM listed_images AS l {by_age} {_SAMPLE}) AS l
)""",
            f"""newest_{number} AS MATERIALIZED (
    SELECT count(*) AS images
    FROM (SELECT FROM (SELECT l.* FROM listed_images AS l
                       {by_age.replace("ORDER", f"AND {common} ORDER")} {READ_AT_MOST}) AS l
          WHERE {matches} LIMIT {MOST_COUNTED + 1}) AS m
)""",
        ]

    def _of_status(self) -> list[str]:
        """Also of what is found by it: without this the planner takes it for more than it is."""
        status = self._shape.status
        if status is None:
            return []
        return [f"(SELECT i.status FROM images AS i WHERE i.id = l.image_id) = '{status}'"]

    def _candidates(self, number: int, scope: _Scope) -> list[str]:
        """Each with the beginning of a WHERE; of several, one finds something."""
        sampled = (
            f"(SELECT s.is_any FROM sampled_{number} AS s) "
            f"AND (SELECT w.images FROM newest_{number} AS w) <= {MOST_COUNTED}"
        )
        if self._source == "title":
            return [
                "rare_listed AS l\n    WHERE true",
                f"""searchable_titles AS c {_LISTED}
    WHERE NOT {_IS_RARE} AND {sampled} AND title_terms(c.folded, c.user_id, c.visibility)
          @> ((SELECT n.parts FROM title AS n) || {scope.title_terms})
      AND {_HAS_TITLE}""",
            ]
        if self._source == "terms":
            terms = scope.terms
            if "content_type" in self._shape.filters:
                terms += " || ('t' || :content_type::text)"
            if "terms" in self._shape.filters:
                terms += " || (SELECT n.terms FROM needle AS n)"
            return [f"listed_images AS l\n    WHERE {sampled} AND l.terms @> ({terms})"]
        if self._source == "status":
            return [
                f"""images AS c JOIN listed_images AS l ON l.image_id = c.id
    WHERE c.deleted_at IS NULL AND c.status = '{self._shape.status}' AND {scope.on_images}"""
            ]
        return ["listed_images AS l\n    WHERE true"]

    def _total(self) -> str:
        if not self._scopes:
            return "SELECT 0::bigint AS images, true AS is_exact, NULL::integer[] AS many"
        counts = [
            f"SELECT {number} AS number, c.images, c.is_all, {is_new} AS is_new "
            f"FROM counted_{number} AS c"
            for number, is_new in self._counts().items()
        ]
        if self._is_kept:
            counted = " OR ".join(f"({scope.counted})" for scope in self._scopes)
            by = f" AND n.status = '{self._shape.status}'" if self._shape.status else ""
            gone = " OR ".join(f"({scope.gone})" for scope in self._scopes)
            many = "NULL::integer[]"
            if counts:
                many = f"(SELECT {_NEW_MANY.format(MOST_COUNTED)} FROM ({_all(counts)}) AS c)"
            return f"""
    SELECT ((SELECT coalesce(sum(n.images), 0) FROM image_totals AS n WHERE ({counted}){by})
            - (SELECT coalesce(sum((SELECT sum(n.images) FROM image_totals AS n
                                    WHERE n.user_id = c.user_id AND ({gone}){by})), 0)
               FROM closed_accounts AS c))::bigint AS images, true AS is_exact, {many} AS many
"""
        return (
            f"SELECT least(sum(c.images), {MOST_COUNTED})::bigint AS images, "
            f"bool_and(c.is_all) AND sum(c.images) <= {MOST_COUNTED} AS is_exact, "
            f"{_NEW_MANY.format(MOST_COUNTED)} AS many "
            f"FROM ({_all(counts)}) AS c"
        )

    def _counts(self) -> dict[int, str]:
        """Of what is counted here: whether it was not known before to be many."""
        return {
            number: "false" if number in self._shape.many else "true"
            for number in range(len(self._scopes))
            if not self._is_kept or self._is_found(number)
        }


def _all(selects: list[str]) -> str:
    return " UNION ALL ".join(selects)


def _many(number: int) -> str:
    """Not counted anew."""
    return f"counted_{number} AS (SELECT {MOST_COUNTED + 1}::bigint AS images, true AS is_all)"


def _scopes(shape: Shape) -> list[_Scope]:
    if shape.trashed:
        return [_own("trashed")]
    visibilities = (shape.visibility,) if shape.visibility else ("shared", "public", "private")
    if shape.owner == "other":
        return [_own(each, ":owner_id") for each in visibilities if each != "private"]
    own = [_private() for each in visibilities if each == "private"]
    everybodys = [each for each in visibilities if each != "private"]
    return [
        *(_everybodys(each) if shape.owner == "any" else _own(each) for each in everybodys),
        *own,
    ]


def _everybodys(visibility: str) -> _Scope:
    audience = _EVERYBODY[visibility]
    return _Scope(
        condition=f"l.audience = {audience} AND {owner_stays('l')}",
        terms=f"ARRAY['a{audience}']",
        title_terms="ARRAY['shared']",
        counted=f"n.user_id = 0 AND n.visibility = '{visibility}'",
        gone=f"n.visibility = '{visibility}'",
        on_images="c.visibility = 'shared'",
        is_audience=True,
    )


def _private() -> _Scope:
    """The user's own, which nobody else sees."""
    return _Scope(
        condition="l.audience = :user_id::bigint",
        terms="ARRAY['a' || :user_id::bigint]",
        title_terms="ARRAY['user ' || :user_id::bigint, 'private']",
        counted="n.user_id = :user_id AND n.visibility = 'private'",
        on_images="c.user_id = :user_id AND c.visibility = 'private'",
        is_audience=True,
        by_owner="l.user_id = :user_id::bigint AND l.visibility = 'private'",
    )


def _own(visibility: str, user_id: str = ":user_id") -> _Scope:
    return _Scope(
        condition=f"l.user_id = {user_id}::bigint AND l.visibility = '{visibility}' "
        f"AND {owner_stays('l')}",
        terms=f"ARRAY['u' || {user_id}::bigint, 'v{visibility}']",
        title_terms=f"ARRAY['user ' || {user_id}::bigint, '{_kept(visibility)}']",
        counted=f"n.user_id = {user_id} AND n.visibility = '{visibility}' AND {owner_stays('n')}",
        on_images=f"c.user_id = {user_id} AND c.visibility = '{_kept(visibility)}'",
        is_audience=False,
    )


def _kept(visibility: str) -> str:
    """As images have it."""
    return "shared" if visibility == "public" else visibility
