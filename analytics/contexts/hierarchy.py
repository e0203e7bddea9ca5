"""How contexts hold contexts: their levels, and the picture of the largest branches."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.contexts.model import Branch, Hierarchy, Level

DEEPEST = 64
DRAWN_LEVELS = 3
MOST_BRANCHES = 60
"""Of each level of the picture; smaller ones are drawn as one beside their siblings."""


def hierarchy(session: Session, *, since: datetime) -> Hierarchy:
    """Return how contexts hold contexts, and which of them were used since *since*.

    A context whose parent was never told of counts as a root.
    """
    values = {"since": since, "deepest": DEEPEST}
    rows = session.execute(_LEVELS, values).all()
    levels = [_level(row) for row in rows if row.depth is not None]
    orphans = session.scalar(_ORPHANS) or 0
    in_loops = sum(row.contexts for row in rows if row.depth is None)
    found = session.execute(_BRANCHES, {**values, "most": MOST_BRANCHES}).all()
    return Hierarchy(levels, levels[-1].depth if levels else 0, orphans, in_loops, _branches(found))


def _level(row: Row[Any]) -> Level:
    return Level(
        depth=row.depth,
        contexts=row.contexts,
        open=row.open,
        used=row.used,
        utilisation=row.used / row.open if row.open else None,
        with_children=row.with_children,
        fan_out=row.children / row.with_children if row.with_children else None,
        most_children=row.most_children,
    )


def _branches(rows: Sequence[Row[Any]]) -> list[Branch]:
    """Return the branches of *rows*, which come level by level; what has no place of its own as one for each parent."""
    drawn: dict[str, Branch] = {}
    rests: dict[str | None, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        parent = row.parent
        if parent is not None and parent not in drawn:
            continue
        if row.id is not None:
            drawn[row.id] = Branch(row.id, parent, row.name, row.kind, row.contexts, row.used, row.last_used)
        else:
            rests[parent].append(row)
    rest = [_rest(parent, found) for parent, found in rests.items()]
    return [*drawn.values(), *rest]


def _rest(parent: str | None, rows: Sequence[Row[Any]]) -> Branch:
    count = sum(row.members for row in rows)
    return Branch(
        id=f"{parent or ''}\x1frest",
        parent_id=parent,
        name=f"{count:,} more",
        type="",
        contexts=sum(row.contexts for row in rows),
        used=sum(row.used for row in rows),
        last_used_at=max((row.last_used for row in rows if row.last_used is not None), default=None),
        is_rest=True,
    )


# Everybody has one parent, so that a walk from the roots down meets each once; what is in a ring is never met.
_TREE = f"""
    tree AS (
        SELECT c.id, 0 AS depth, ARRAY[c.id] AS path
        FROM context c LEFT JOIN context p ON p.id = c.parent_id WHERE p.id IS NULL
        UNION ALL
        SELECT c.id, tree.depth + 1, CASE WHEN tree.depth < {DRAWN_LEVELS - 1} THEN tree.path || c.id ELSE tree.path END
        FROM context c JOIN tree ON c.parent_id = tree.id WHERE tree.depth + 1 < :deepest
    ), used AS (
        SELECT id, kind, name, archived_at IS NULL AS is_open, greatest(last_read_at, last_write_at) AS last_used
        FROM context
    )
"""  # noqa: S608 - our own text
_LEVELS = text(f"""
    WITH RECURSIVE {_TREE}, held AS (
        SELECT parent_id AS id, count(*) AS children FROM context WHERE parent_id IS NOT NULL GROUP BY 1
    )
    SELECT tree.depth, count(*) AS contexts, count(*) FILTER (WHERE is_open) AS open,
           count(*) FILTER (WHERE is_open AND last_used >= :since) AS used, count(held.id) AS with_children,
           CAST(coalesce(sum(held.children), 0) AS bigint) AS children, coalesce(max(held.children), 0) AS most_children
    FROM used LEFT JOIN tree USING (id) LEFT JOIN held USING (id)
    GROUP BY 1 ORDER BY 1 NULLS LAST
""")  # noqa: S608 - our own text
_ORPHANS = text("""
    SELECT count(*) FROM context c
    WHERE c.parent_id IS NOT NULL AND NOT EXISTS (SELECT FROM context p WHERE p.id = c.parent_id)
""")
_BRANCHES = text(f"""
    WITH RECURSIVE {_TREE}, branch AS (
        SELECT level, path[level] AS id, CASE WHEN level > 1 THEN path[level - 1] END AS parent, count(*) AS contexts,
               count(*) FILTER (WHERE last_used >= :since) AS used, max(last_used) AS last_used
        FROM tree JOIN used USING (id) CROSS JOIN LATERAL generate_series(1, cardinality(path)) AS level
        GROUP BY 1, 2, 3
    ), placed AS (
        SELECT *, row_number() OVER (PARTITION BY level ORDER BY contexts DESC, last_used DESC NULLS LAST, id) AS place
        FROM branch
    ), kept AS (
        SELECT level, id, parent, contexts, used, last_used, place, 1 AS members FROM placed WHERE place <= :most
        UNION ALL
        SELECT level, NULL, parent, CAST(sum(contexts) AS bigint), CAST(sum(used) AS bigint), max(last_used),
               min(place), CAST(count(*) AS int)
        FROM placed WHERE place > :most AND (parent IS NULL OR parent IN (SELECT id FROM placed WHERE place <= :most))
        GROUP BY level, parent
    )
    SELECT kept.*, used.name, used.kind FROM kept LEFT JOIN used ON used.id = kept.id
    ORDER BY level, place
""")  # noqa: S608 - our own text
