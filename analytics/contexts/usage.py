"""How contexts are used: creation and access, hierarchy, lifecycle.

What happened over the window comes from the rollup, whose cells do not grow with the number of facts; how contexts are
now comes from their table, in a handful of passes over it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.contexts.hierarchy import hierarchy
from analytics.contexts.model import (
    AgeBand,
    AgentUse,
    ContextFact,
    ContextRow,
    ContextStep,
    ContextTotals,
    ContextUsage,
    HourOfWeek,
    Lifecycle,
    Patterns,
    TypeUse,
)
from analytics.core.clock import Interval, floor_time, utc_now
from analytics.core.errors import InputError
from analytics.rollup.cell import Cell
from analytics.rollup.read import DAY, HOUR, RAW_UP_TO, Course, Want, drill, read_many, series, totals, window
from analytics.rollup.steps import trend_step
from analytics.rollup.tiers import KEEP_HOURS

LONGEST_DAYS = 400
IDLE_AFTER_DAYS = 30
MOST_AGENTS = 50
MOST_USED = 10
MOST_IDLE = 10
_BANDS = ((1, "Less than a day"), (7, "1 to 7 days"), (30, "7 to 30 days"), (90, "30 to 90 days"))
_LAST_BAND = "More than 90 days"
_ALL = Want("context")
_KINDS = {kind: Want("context.kind", kind) for kind in ("created", "read", "write", "archived")}


def usage(
    session: Session,
    *,
    days: int = 30,
    include_patterns: bool = True,
    zone: str = "UTC",
    now: datetime | None = None,
) -> ContextUsage:
    """Return how contexts were used in the last *days* days; see :func:`usage_over`.

    Raises:
        InputError: If *days* is not 1 to 400, or there is no such zone; nothing was read.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise InputError(f"Contexts are looked at over 1 to {LONGEST_DAYS} days, not {days}; nothing was read.")
    asked = Interval.last(timedelta(days=days), now=now)
    return usage_over(session, asked, include_patterns=include_patterns, zone=zone, now=now)


def usage_over(
    session: Session,
    asked: Interval,
    *,
    include_patterns: bool = True,
    zone: str = "UTC",
    now: datetime | None = None,
) -> ContextUsage:
    """Return how contexts were used over *asked*, and how they are now.

    Args:
        session: The open transaction.
        asked: From when to when; longer ones are moved outward to whole hours or days.
        include_patterns: Whether to tell at which hours of the week contexts are created and used.
        zone: IANA name of the time zone of these hours.
        now: The present; default: the clock.

    Raises:
        InputError: If there is no such zone; nothing was read.
    """
    try:
        clock = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"There is no time zone {zone!r}; nothing was read. Use a name like Europe/Berlin.") from error
    now = now or utc_now()
    covered = window(asked, now=now).interval
    courses = read_many(session, [_ALL, *_KINDS.values()], asked, step=trend_step(asked), now=now)
    stock = session.execute(_STOCK, {"since": covered.since, "idle": now - timedelta(days=IDLE_AFTER_DAYS)}).all()
    [whole] = [row for row in stock if row.is_whole]
    agents = _agents(session, asked, covered, now)
    used = totals(session, "context.context", asked, most=MOST_USED, now=now)
    everything = courses[_ALL].total
    return ContextUsage(
        interval=covered,
        totals=_totals(whole, courses, agents),
        steps=_steps(courses),
        types=[_type(row) for row in stock if not row.is_whole],
        agents=agents,
        most_used=_rows(session, {key: cell.n for key, cell in used.items() if key}),
        hierarchy=hierarchy(session, since=covered.since),
        lifecycle=_lifecycle(session, whole, now),
        patterns=_patterns(session, asked, clock, now) if include_patterns else None,
        includes_demo=bool(whole.demo) or (everything is not None and everything.is_demo),
        newest=None if everything is None else everything.newest,
    )


def context_events(session: Session, context_id: str, asked: Interval, *, limit: int = 100) -> list[ContextFact]:
    """Return what happened to one context over *asked*, newest first."""
    rows = drill(session, "context.context", context_id, asked, limit=limit)
    return [
        ContextFact(row["at"], row["kind"].removeprefix("context."), row["props"].get("agent_id"), row["source"])
        for row in rows
    ]


def _count(cell: Cell | None) -> int:
    """Return how many facts; nothing seen is none, since the rollup covers the whole window."""
    return 0 if cell is None else cell.n


def _totals(whole: Row[Any], courses: Mapping[Want, Course], agents: Sequence[AgentUse]) -> ContextTotals:
    course = {kind: courses[want] for kind, want in _KINDS.items()}
    return ContextTotals(
        contexts=whole.contexts,
        open=whole.open,
        created=_count(course["created"].total),
        created_before=_count(course["created"].before),
        archived=_count(course["archived"].total),
        archived_before=_count(course["archived"].before),
        reads=_count(course["read"].total),
        reads_before=_count(course["read"].before),
        writes=_count(course["write"].total),
        writes_before=_count(course["write"].before),
        used=whole.used,
        utilisation=whole.used / whole.open if whole.open else None,
        agents=sum(agent.accesses > 0 for agent in agents),
    )


def _steps(courses: Mapping[Want, Course]) -> list[ContextStep]:
    counts = {kind: [_count(cell) for _, cell in courses[want].steps] for kind, want in _KINDS.items()}
    starts = [start for start, _ in courses[_ALL].steps]
    found = zip(starts, counts["created"], counts["read"], counts["write"], counts["archived"], strict=True)
    return [ContextStep(*step) for step in found]


def _type(row: Row[Any]) -> TypeUse:
    return TypeUse(
        type=row.kind,
        contexts=row.contexts,
        open=row.open,
        used=row.used,
        utilisation=row.used / row.open if row.open else None,
        never_read=row.never_read,
        median_life_s=_seconds(row.median_life),
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def _agents(session: Session, asked: Interval, covered: Interval, now: datetime) -> list[AgentUse]:
    """Return the agents that did most to contexts, then those that only own some."""
    cells = {
        key: cell for key, cell in totals(session, "context.agent", asked, most=MOST_AGENTS, now=now).items() if key
    }
    wants = {key: Want("context.agent", key) for key in cells}
    courses = read_many(session, list(wants.values()), asked, now=now) if wants else {}
    owners = {row.agent_id: row for row in session.execute(_OWNERS, {"since": covered.since, "most": MOST_AGENTS})}
    names = [*cells, *(name for name in owners if name not in cells)][:MOST_AGENTS]
    return [
        AgentUse(
            agent_id=name,
            accesses=_count(cells.get(name)),
            accesses_before=_count(courses[wants[name]].before) if name in wants else 0,
            created=owners[name].created if name in owners else 0,
            open=owners[name].open if name in owners else 0,
        )
        for name in names
    ]


def _rows(session: Session, accesses: Mapping[str, int]) -> list[ContextRow]:
    """Return the contexts of *accesses* in its order; those that are gone from the table have only their id."""
    found = {row.id: row for row in session.execute(_BY_ID, {"ids": list(accesses)})} if accesses else {}
    return [_row(found[name], count) for name, count in accesses.items() if name in found]


def _row(row: Row[Any], accesses: int) -> ContextRow:
    return ContextRow(
        id=row.id,
        parent_id=row.parent_id,
        name=row.name,
        type=row.kind,
        agent_id=row.agent_id,
        created_at=row.created_at,
        archived_at=row.archived_at,
        last_read_at=row.last_read_at,
        last_write_at=row.last_write_at,
        accesses=accesses,
        is_demo=row.origin == "demo",
    )


def _lifecycle(session: Session, whole: Row[Any], now: datetime) -> Lifecycle:
    values = {"now": now, "bounds": [float(bound) for bound, _ in _BANDS]}
    counted = {row.band: row for row in session.execute(_AGES, values)}
    titles = [*(title for _, title in _BANDS), _LAST_BAND]
    bands = [
        AgeBand(
            title, counted[place].by_age if place in counted else 0, counted[place].by_idle if place in counted else 0
        )
        for place, title in enumerate(titles)
    ]
    idle = session.execute(_IDLE, {"idle": now - timedelta(days=IDLE_AFTER_DAYS), "most": MOST_IDLE}).all()
    return Lifecycle(
        bands=bands,
        never_read=whole.never_read,
        idle=whole.idle,
        idle_after_days=IDLE_AFTER_DAYS,
        median_life_s=_seconds(whole.median_life),
        archived_share=1 - whole.open / whole.contexts if whole.contexts else None,
        to_archive=[_row(row, 0) for row in idle],
    )


def _patterns(session: Session, asked: Interval, zone: ZoneInfo, now: datetime) -> Patterns:
    """Return at which hours of the week something happened, as far back as cells by hour are kept."""
    oldest = floor_time(now - KEEP_HOURS, DAY) + DAY
    since = min(max(asked.since, oldest), asked.until - RAW_UP_TO - HOUR)
    span = Interval(floor_time(since, HOUR), asked.until)
    happened: dict[tuple[int, int], int] = {}
    for start, cell in series(session, _ALL, span, step=HOUR, now=now):
        local = start.astimezone(zone)
        key = (local.weekday(), local.hour)
        happened[key] = happened.get(key, 0) + _count(cell)
    values = {"since": span.since, "until": span.until, "zone": zone.key}
    created = {(row.weekday, row.hour): row.created for row in session.execute(_CREATED, values)}
    week = [(weekday, hour) for weekday in range(7) for hour in range(24)]
    by_hour = [HourOfWeek(*key, created=created.get(key, 0), accesses=happened.get(key, 0)) for key in week]
    return Patterns(by_hour, zone.key, span)


_STOCK = text("""
    SELECT kind, grouping(kind) = 1 AS is_whole, count(*) AS contexts,
           count(*) FILTER (WHERE archived_at IS NULL) AS open,
           count(*) FILTER (WHERE archived_at IS NULL AND greatest(last_read_at, last_write_at) >= :since) AS used,
           count(*) FILTER (WHERE archived_at IS NULL AND last_read_at IS NULL) AS never_read,
           count(*) FILTER (WHERE archived_at IS NULL
                            AND coalesce(greatest(last_read_at, last_write_at), created_at) < :idle) AS idle,
           count(*) FILTER (WHERE origin = 'demo') AS demo,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM archived_at - created_at))
               FILTER (WHERE archived_at >= created_at) AS median_life
    FROM context GROUP BY GROUPING SETS ((), (kind)) ORDER BY contexts DESC, kind LIMIT 101
""")
_OWNERS = text("""
    SELECT agent_id, count(*) FILTER (WHERE created_at >= :since) AS created,
           count(*) FILTER (WHERE archived_at IS NULL) AS open
    FROM context WHERE agent_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT :most
""")
_ROW = "id, parent_id, name, kind, agent_id, created_at, archived_at, last_read_at, last_write_at, origin"
_BY_ID = text(f"SELECT {_ROW} FROM context WHERE id = ANY(:ids)")  # noqa: S608 - our own columns
_IDLE = text(f"""
    SELECT {_ROW} FROM context
    WHERE archived_at IS NULL AND coalesce(greatest(last_read_at, last_write_at), created_at) < :idle
    ORDER BY coalesce(greatest(last_read_at, last_write_at), created_at), id LIMIT :most
""")  # noqa: S608 - our own columns
_AGES = text("""
    WITH aged AS (
        SELECT extract(epoch FROM :now - created_at) / 86400 AS age,
               extract(epoch FROM :now - coalesce(greatest(last_read_at, last_write_at), created_at)) / 86400 AS idle
        FROM context WHERE archived_at IS NULL
    ), banded AS (
        SELECT width_bucket(CAST(age AS float8), CAST(:bounds AS float8[])) AS band, 1 AS by_age, 0 AS by_idle FROM aged
        UNION ALL
        SELECT width_bucket(CAST(idle AS float8), CAST(:bounds AS float8[])), 0, 1 FROM aged
    )
    SELECT band, sum(by_age) AS by_age, sum(by_idle) AS by_idle FROM banded GROUP BY 1
""")
_CREATED = text("""
    SELECT CAST(extract(isodow FROM created_at AT TIME ZONE :zone) AS int) - 1 AS weekday,
           CAST(extract(hour FROM created_at AT TIME ZONE :zone) AS int) AS hour, count(*) AS created
    FROM context WHERE created_at >= :since AND created_at < :until GROUP BY 1, 2
""")
