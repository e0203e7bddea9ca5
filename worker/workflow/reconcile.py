"""Put right what crashes leave: expired leases, lost wake tokens, runs that kill their worker, waits that are over.

Any process may do it, as often as it likes: an advisory lock lets one at a time through, and every step is safe to
repeat. Tokens carry nothing but "there is work", so what counts is only how many of them wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis import Redis
from rq import Queue
from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError
from analytics.core.ids import new_id
from analytics.core.logging import get_logger
from analytics.live.client import redis_errors
from analytics.store.engine import session_scope
from worker.catalog import QueueName
from worker.doors.control import CONTROL_CHANNEL
from worker.doors.queueing import notify_runs
from worker.enqueue import send_wake
from worker.queues import SERIALIZER

FARTHEST_LEASE = timedelta(minutes=5)
"""A lease further ahead than this, or three times the grace, was given before the clock was put back."""
MAX_RECOVERIES = 3
"""A run whose worker dies more often than this ends as a dead letter."""

_EXPIRED = text(
    "SELECT a.run_id, a.run_created_at, r.attempt FROM run_active a"
    " LEFT JOIN run r ON r.id = a.run_id AND r.created_at = a.run_created_at"
    " WHERE a.status = 'running' AND (a.lease_until < now() OR a.lease_until > now() + :farthest)"
    " ORDER BY a.run_id LIMIT 500 FOR UPDATE OF a SKIP LOCKED"
)
_STALE = text(
    "SELECT a.run_id, a.epoch, r.correlation_id, count(*) OVER () AS queued FROM run_active a"
    " LEFT JOIN run r ON r.id = a.run_id AND r.created_at = a.run_created_at"
    " WHERE a.status = 'queued' AND (a.token_at IS NULL OR a.token_at < now() - :grace)"
    " ORDER BY a.rank, a.run_id LIMIT 500"
)
WAKE_DUE = text(
    "WITH due AS (SELECT run_id FROM run_active WHERE status IN ('waiting', 'needs_attention') AND wake_at <= now()"
    " ORDER BY run_id LIMIT 1000 FOR UPDATE SKIP LOCKED),"
    " woken AS (UPDATE run_active a SET status = 'queued', wake_at = NULL, token_at = NULL FROM due"
    " WHERE a.run_id = due.run_id RETURNING a.run_id, a.run_created_at)"
    " UPDATE run r SET status = 'queued' FROM woken WHERE r.id = woken.run_id AND r.created_at = woken.run_created_at"
    " RETURNING r.id"
)
"""A waiting run keeps its rank, so that it goes ahead of what was queued later."""
_WAKE_BEREFT = text(
    "WITH bereft AS (SELECT a.run_id FROM run_active a WHERE a.status IN ('waiting', 'needs_attention')"
    " AND EXISTS (SELECT 1 FROM node_wait w WHERE w.run_id = a.run_id AND w.kind = 'run' AND w.resolved_at IS NULL"
    " AND w.created_at < now() - interval '5 seconds'"
    " AND NOT EXISTS (SELECT 1 FROM run_active c WHERE c.run_id = w.child_run_id))"
    " ORDER BY a.run_id LIMIT 1000 FOR UPDATE OF a SKIP LOCKED),"
    " woken AS (UPDATE run_active a SET status = 'queued', wake_at = NULL, token_at = NULL FROM bereft"
    " WHERE a.run_id = bereft.run_id RETURNING a.run_id, a.run_created_at)"
    " UPDATE run r SET status = 'queued' FROM woken WHERE r.id = woken.run_id AND r.created_at = woken.run_created_at"
    " RETURNING r.id"
)
_TELL_PARENT = text(
    "WITH resolved AS (UPDATE node_wait SET resolved_at = now(), outcome = 'ended',"
    " data = jsonb_build_object('run_id', child_run_id, 'status', 'failed')"
    " WHERE child_run_id = :id AND resolved_at IS NULL RETURNING run_id),"
    " woken AS (UPDATE run_active p SET status = 'queued', token_at = NULL, wake_at = NULL FROM resolved"
    " WHERE p.run_id = resolved.run_id AND p.status IN ('waiting', 'needs_attention')"
    " RETURNING p.run_id, p.run_created_at),"
    " told AS (UPDATE run r SET status = 'queued' FROM woken WHERE r.id = woken.run_id"
    " AND r.created_at = woken.run_created_at)"
    " SELECT pg_notify(:control, 'look:' || run_id) FROM resolved"
)
_BURIAL = (
    _TELL_PARENT,
    text("DELETE FROM run_active WHERE run_id = :id"),
    text("UPDATE node_wait SET resolved_at = now(), outcome = 'cancelled' WHERE run_id = :id AND resolved_at IS NULL"),
    text(
        "UPDATE node_run SET status = 'failed', finished_at = now(), changed_at = clock_timestamp(),"
        " error = jsonb_build_object('code', 'dead_letter',"
        " 'message', 'The worker died while this node was in flight.')"
        " WHERE run_id = :id AND run_created_at = :created_at"
        " AND status IN ('pending', 'running', 'waiting', 'needs_attention')"
    ),
    text("INSERT INTO run_ended (run_id, run_created_at) VALUES (:id, :created_at) ON CONFLICT DO NOTHING"),
    text(
        "UPDATE run SET status = 'failed', finished_at = now(), node_counts = (SELECT jsonb_object_agg(status, n)"
        " FROM (SELECT status, count(*) AS n FROM node_run WHERE run_id = :id AND run_created_at = :created_at"
        " AND map_index = -1 AND strpos(node_id, '/') = 0 GROUP BY status) AS counted),"
        " error = jsonb_build_object('code', 'dead_letter', 'message', format('The run was given up: its worker died"
        " %s times. Look at the nodes that were in flight, then start it again.', attempt))"
        " WHERE id = :id AND created_at = :created_at"
    ),
)
_EVENT = text(
    "INSERT INTO run_event (id, run_id, run_created_at, kind, data)"
    " VALUES (:event_id, :id, :created_at, :kind, jsonb_build_object('attempt', CAST(:attempt AS integer)))"
)


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What one pass did."""

    requeued: int = 0
    """Runs whose worker was silent longer than the lease."""
    dead: int = 0
    """Runs given up because they outlived too many workers."""
    woken: int = 0
    """Waiting runs whose time has come, or whose child has ended unheard."""
    tokens: int = 0
    """Wake tokens sent again."""


def reconcile(engine: Engine, client: Redis | None, *, grace: timedelta) -> ReconcileReport:
    """Do one pass; *grace* is how long a fresh token may be on its way before it counts as lost.

    Raises:
        DependencyError: If PostgreSQL does not answer. A silent Redis only means that no token is sent.
    """
    with session_scope(engine) as session:
        if not session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('helmsight.reconcile'))")):
            return ReconcileReport()
        expired = session.execute(_EXPIRED, {"farthest": max(FARTHEST_LEASE, 3 * grace)}).all()
        dead = [row for row in expired if row.attempt is None or row.attempt > MAX_RECOVERIES]
        again = [row for row in expired if row not in dead]
        _requeue(session, again)
        _bury(session, dead)
        woken = len(session.execute(WAKE_DUE).all()) + len(session.execute(_WAKE_BEREFT).all())
    if expired:
        get_logger(__name__).warning("leases expired", requeued=len(again), dead=len(dead))
    return ReconcileReport(len(again), len(dead), woken, _resend(engine, client, grace))


def _requeue(session: Session, rows: Sequence[Row[Any]]) -> None:
    if not rows:
        return
    ids = [row.run_id for row in rows]
    session.execute(
        text(
            "UPDATE run_active SET status = 'queued', owner = NULL, lease_until = NULL, token_at = NULL"
            " WHERE run_id = ANY(:ids)"
        ),
        {"ids": ids},
    )
    session.execute(
        text("UPDATE run SET status = 'queued' WHERE id = ANY(:ids) AND created_at = ANY(:created)"),
        {"ids": ids, "created": [row.run_created_at for row in rows]},
    )
    for row in rows:
        _record(session, row, "recovered")
    notify_runs(session, ids)


def _bury(session: Session, rows: Sequence[Row[Any]]) -> None:
    for row in rows:
        values = {"id": row.run_id, "created_at": row.run_created_at, "control": CONTROL_CHANNEL}
        for statement in _BURIAL:
            session.execute(statement, values)
        _record(session, row, "dead_letter")
        notify_runs(session, [row.run_id])


def _record(session: Session, row: Row[Any], kind: str) -> None:
    if row.attempt is not None:
        values = {"id": row.run_id, "created_at": row.run_created_at, "attempt": row.attempt}
        session.execute(_EVENT, values | {"kind": kind, "event_id": new_id()})


def _resend(engine: Engine, client: Redis | None, grace: timedelta) -> int:
    if client is None:
        return 0
    with session_scope(engine) as session:
        stale = session.execute(_STALE, {"grace": grace}).all()
    if not stale:
        return 0
    try:
        with redis_errors("lost wake tokens were looked for"):
            waiting = int(client.llen(Queue(QueueName.RUNS, connection=client, serializer=SERIALIZER).key))
        missing = stale[: max(0, stale[0].queued - waiting)]
        for row in missing:
            send_wake(client, row.run_id, row.epoch, correlation=row.correlation_id, again=True)
    except DependencyError as error:
        get_logger(__name__).warning("wake tokens not sent", runs=len(stale), error=error.message)
        return 0
    with session_scope(engine) as session:
        session.execute(
            text("UPDATE run_active SET token_at = now() WHERE run_id = ANY(:ids) AND status = 'queued'"),
            {"ids": [row.run_id for row in stale]},
        )
    return len(missing)
