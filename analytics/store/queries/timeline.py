"""A run over time: when each node waited, ran, was tried again, came from the cache, or was parked."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

MOST_NODES = 5_000

SegmentKind = Literal["queue", "wait", "run", "retry", "cache", "parked"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time ``[began, ended)`` in which one thing happened."""

    node_id: str
    """Empty for the run's own time in the queue."""
    map_index: int
    kind: SegmentKind
    """``queue``: the run waited for a worker. ``wait``: the node was ready and waited for a slot. ``run``: its last, or
    only, attempt. ``retry``: an attempt that failed, with the pause before the next. ``cache``: its result was known.
    ``parked``: it waited for a time, a signal, a person or another run, and used no slot."""
    began: datetime
    ended: datetime | None
    """None: it goes on."""
    status: str
    """The node's status, ``failed`` for a retry; the run's for ``queue``."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run over time."""

    begin: datetime
    """When it was queued."""
    end: datetime | None
    """None: it has not ended."""
    segments: Sequence[Segment]
    """By beginning."""
    left_out: int = 0
    """Nodes that are not shown because there are more than 5,000; the last to start."""


_RUN = text("SELECT created_at, queued_at, started_at, finished_at, status FROM run WHERE id = :id")
_CHOSEN = """
    chosen AS (
        SELECT node_id, map_index, status, attempt, ready_at, started_at, finished_at, cache_hit,
            count(*) OVER () AS nodes
        FROM node_run WHERE run_id = :id AND run_created_at = :created_at
        ORDER BY coalesce(ready_at, started_at) NULLS LAST, node_id, map_index LIMIT :most
    )
"""
_SEGMENTS = text(f"""
    WITH {_CHOSEN}, attempts AS (
        SELECT a.node_id, a.map_index, a.attempt, a.started_at,
            coalesce(lead(a.started_at) OVER (PARTITION BY a.node_id, a.map_index ORDER BY a.attempt),
                CASE WHEN n.attempt > a.attempt THEN n.started_at END, a.finished_at) AS until,
            min(a.started_at) OVER (PARTITION BY a.node_id, a.map_index) AS first
        FROM node_attempt a JOIN chosen n USING (node_id, map_index)
        WHERE a.run_id = :id AND a.run_created_at = :created_at AND a.started_at IS NOT NULL
    ), parked AS (
        SELECT x.node_id, x.map_index, x.created_at, x.resolved_at, n.status, n.finished_at
        FROM node_wait x JOIN chosen n USING (node_id, map_index) WHERE x.run_id = :id
    ), begun AS (
        SELECT n.*, coalesce((SELECT min(a.first) FROM attempts a WHERE a.node_id = n.node_id
            AND a.map_index = n.map_index), n.started_at) AS first
        FROM chosen n
    )
    SELECT node_id, map_index, 'wait' AS kind, ready_at AS began, first AS ended, status, nodes FROM begun
        WHERE ready_at IS NOT NULL AND CASE WHEN first IS NULL THEN finished_at IS NULL ELSE first > ready_at END
    UNION ALL
    SELECT node_id, map_index, 'retry', started_at, until, 'failed', NULL FROM attempts
    UNION ALL
    SELECT node_id, map_index, 'parked', created_at, coalesce(resolved_at, finished_at), status, NULL FROM parked
    UNION ALL
    SELECT n.node_id, n.map_index, CASE WHEN n.cache_hit THEN 'cache' ELSE 'run' END, n.started_at,
        coalesce(p.created_at, n.finished_at), n.status, n.nodes
    FROM chosen n LEFT JOIN parked p USING (node_id, map_index)
        WHERE n.started_at IS NOT NULL AND (p.created_at IS NULL OR p.created_at > n.started_at)
            -- An attempt that failed is there already while the node pauses before the next.
            AND NOT EXISTS (SELECT FROM attempts a WHERE a.node_id = n.node_id AND a.map_index = n.map_index
                AND a.attempt >= n.attempt)
    UNION ALL
    SELECT n.node_id, n.map_index, 'run', p.resolved_at, n.finished_at, n.status, NULL
    FROM chosen n JOIN parked p USING (node_id, map_index)
        WHERE p.resolved_at IS NOT NULL AND (n.finished_at IS NULL OR n.finished_at > p.resolved_at)
    ORDER BY began, node_id, map_index
""")  # noqa: S608 - constants


def timeline(session: Session, run_id: uuid.UUID) -> Timeline | None:
    """Return the run over time, or None when there is no such run."""
    run = session.execute(_RUN, {"id": run_id}).one_or_none()
    if run is None:
        return None
    rows = session.execute(_SEGMENTS, {"id": run_id, "created_at": run.created_at, "most": MOST_NODES}).all()
    segments = [Segment("", -1, "queue", run.queued_at, run.started_at or run.finished_at, run.status)]
    segments += [Segment(row.node_id, row.map_index, row.kind, row.began, row.ended, row.status) for row in rows]
    nodes = max((row.nodes for row in rows if row.nodes is not None), default=0)
    return Timeline(run.queued_at, run.finished_at, segments, left_out=max(0, nodes - MOST_NODES))
