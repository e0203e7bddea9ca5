"""Paths: what people do next, step by step.

A person is the subject of its events, a visit a run of them without a long break. Events of contexts, whose subject is
the context, are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.journeys.funnel_sql import SHARES
from analytics.rollup import read as rollup

SESSION_GAP = timedelta(minutes=30)
"""After so long without an event, what a person does next begins a new visit."""
MOST_DEPTH = 8
MOST_ROWS = 300_000
"""Events that are looked at for one answer; where there are more, a share of the people is."""
OTHER = "other"
_LONGEST_GAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Link:
    """How many visits went from one kind of event to the next at one place of the way."""

    depth: int
    """Place of the first of the two, from 0."""
    source: str
    """Kind of event; :data:`OTHER` for those that are rare."""
    target: str | None
    """None: the visit ended here, or is looked at no further."""
    n: int
    people: int
    took_s: float | None
    """Median between the two, seconds; None at an end."""


@dataclass(frozen=True, slots=True)
class Paths:
    """What people did after a first event, or from the beginning of their visits."""

    interval: Interval
    start: str | None
    links: Sequence[Link]
    """By depth, those with most visits first."""
    visits: int
    people: int
    sample_ratio: float
    """1: everybody was counted; less: that share of people, chosen by a hash, and counts are scaled up."""
    demo: int
    """How many of the visits are of the demo history."""


def paths(
    session: Session,
    interval: Interval,
    *,
    start: str | None = None,
    depth: int = 4,
    most: int = 6,
    gap: timedelta = SESSION_GAP,
    most_rows: int = MOST_ROWS,
) -> Paths:
    """Return the ways that visits took in *interval*.

    An event of the kind of the one before it, such as one page after the other, is no step of its own.

    Args:
        session: The caller's transaction.
        interval: In which the events happened.
        start: Kind of event from whose first time in a visit on it is looked at; None: from its beginning.
        depth: Steps that are followed, 1 to :data:`MOST_DEPTH`.
        most: Kinds told apart at each step; the others are one.
        gap: So long without an event ends a visit.
        most_rows: Events that are looked at; where there are more, a share of the people is.

    Raises:
        InputError: If *depth*, *most* or *gap* is out of bounds.
    """
    if not 1 <= depth <= MOST_DEPTH or most < 1 or not timedelta(0) < gap <= _LONGEST_GAP:
        raise InputError(f"Paths have 1 to {MOST_DEPTH} steps and breaks of at most {_LONGEST_GAP.days} days.")
    cell = rollup.total(session, rollup.Want("event"), interval)
    expected = 0 if cell is None else cell.n
    share = SHARES if expected <= most_rows else max(1, SHARES * most_rows // expected)
    rows = session.execute(
        text(_PATHS.replace("{sampled}", _SAMPLED if share < SHARES else "true")),
        {
            "since": interval.since,
            "until": interval.until,
            "gap": gap,
            "start": start,
            "depth": depth,
            "most": most,
            **({"share": share} if share < SHARES else {}),
        },
    ).all()
    scale = SHARES / share
    whole = next(row for row in rows if row.depth is None)
    links = sorted((_link(row, scale) for row in rows if row.depth is not None), key=lambda link: (link.depth, -link.n))
    return Paths(
        interval,
        start,
        links,
        visits=round(whole.n * scale),
        people=round(whole.people * scale),
        sample_ratio=share / SHARES,
        demo=round(whole.demo * scale),
    )


def _link(row: Row[Any], scale: float) -> Link:
    return Link(row.depth, row.source, row.target, round(row.n * scale), round(row.people * scale), row.took_s)


_SAMPLED = f"abs(hashtextextended(subject, 11) % {SHARES}) < :share"
_PATHS = """
    WITH acts AS (
        SELECT subject, at, id, kind, origin = 'demo' AS is_demo,
               lag(at) OVER person IS NULL OR at - lag(at) OVER person > :gap AS is_first,
               lag(kind) OVER person IS DISTINCT FROM kind AS is_other
        FROM event
        WHERE at >= :since AND at < :until AND subject IS NOT NULL AND NOT kind ^@ 'context.' AND {sampled}
        WINDOW person AS (PARTITION BY subject ORDER BY at, id)
    ),
    visited AS (
        SELECT *, count(*) FILTER (WHERE is_first) OVER (PARTITION BY subject ORDER BY at, id) AS visit
        FROM acts
    ),
    begun AS (
        SELECT *, count(*) FILTER (WHERE kind = CAST(:start AS text)) OVER (
                   PARTITION BY subject, visit ORDER BY at, id) > 0 OR CAST(:start AS text) IS NULL AS is_on
        FROM visited WHERE is_first OR is_other
    ),
    placed AS (
        SELECT subject, visit, at, kind, is_demo,
               row_number() OVER way - 1 AS depth, lead(kind) OVER way AS next_kind, lead(at) OVER way AS next_at
        FROM begun WHERE is_on
        WINDOW way AS (PARTITION BY subject, visit ORDER BY at, id)
    ),
    followed AS (SELECT * FROM placed WHERE depth <= :depth),
    ranked AS (
        SELECT depth, kind, row_number() OVER (PARTITION BY depth ORDER BY count(*) DESC, kind) AS place
        FROM followed GROUP BY depth, kind
    ),
    linked AS (
        SELECT f.depth, f.subject, f.visit, f.is_demo, f.next_at - f.at AS took,
               CASE WHEN here.place <= :most THEN f.kind ELSE 'other' END AS source,
               CASE WHEN f.next_kind IS NULL THEN NULL WHEN there.place <= :most THEN f.next_kind
                    ELSE 'other' END AS target
        FROM followed f JOIN ranked here ON here.depth = f.depth AND here.kind = f.kind
        LEFT JOIN ranked there ON there.depth = f.depth + 1 AND there.kind = f.next_kind
        WHERE f.depth < :depth
    )
    SELECT depth, source, target, count(*) AS n, count(DISTINCT subject) AS people,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM took)) AS took_s, 0 AS demo
    FROM linked GROUP BY depth, source, target
    UNION ALL
    SELECT NULL, NULL, NULL, count(*), count(DISTINCT subject), NULL, count(*) FILTER (WHERE is_demo)
    FROM linked WHERE depth = 0
"""
