"""How the rollup stands: what is summed, what waits, how much room it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.rollup.cuts import SOURCES


@dataclass(frozen=True, slots=True)
class SourceState:
    """How far the facts of one source are summed."""

    source: str
    closed_until: datetime | None
    """Days before are read from cells by day; None when nothing was summed ever."""
    waiting_hours: int
    """Hours whose facts changed since they were summed."""
    oldest_waiting: datetime | None


@dataclass(frozen=True, slots=True)
class RollupState:
    """How the rollup stands."""

    sources: Sequence[SourceState]
    hour_cells: int
    """Cells by hour, as PostgreSQL estimates them."""
    day_cells: int
    hour_bytes: int
    """On disk, indexes included."""
    day_bytes: int


def rollup_state(session: Session) -> RollupState:
    """Return how the rollup stands."""
    rows = session.execute(_SOURCES, {"sources": list(SOURCES)})
    sizes = {row.tier: row for row in session.execute(_SIZES)}
    return RollupState(
        sources=[SourceState(*row) for row in rows],
        hour_cells=sizes["rollup_hour"].cells,
        day_cells=sizes["rollup_day"].cells,
        hour_bytes=sizes["rollup_hour"].bytes,
        day_bytes=sizes["rollup_day"].bytes,
    )


_SOURCES = text("""
    SELECT source, cursor.position, count(DISTINCT marks.hour), min(marks.hour)
    FROM unnest(CAST(:sources AS text[])) WITH ORDINALITY AS known (source, place)
    LEFT JOIN job_cursor AS cursor ON cursor.name = 'rollup.' || source
    LEFT JOIN rollup_dirty AS marks USING (source)
    GROUP BY place, source, cursor.position ORDER BY place
""")
_SIZES = text("""
    SELECT tier, coalesce(sum(greatest(reltuples, 0)), 0)::bigint AS cells,
        coalesce(sum(pg_total_relation_size(part.oid)), 0)::bigint AS bytes
    FROM unnest(ARRAY['rollup_hour', 'rollup_day']) AS tier
    LEFT JOIN pg_inherits ON inhparent = to_regclass(tier)
    LEFT JOIN pg_class AS part ON part.oid = inhrelid
    GROUP BY tier
""")
