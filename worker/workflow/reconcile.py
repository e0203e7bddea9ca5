"""Put right what crashes leave: expired leases, lost wake tokens, runs that kill their worker.

Any process may do it, as often as it likes: an advisory lock lets one at a time through, and every step is safe to
repeat. Tokens carry nothing but "there is work", so what counts is only how many of them wait.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from redis import Redis
from rq import Queue
from sqlalchemy import Engine, Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError
from analytics.core.logging import get_logger
from analytics.live.client import redis_errors
from analytics.store.engine import session_scope
from worker.catalog import QueueName
from worker.enqueue import send_wake
from worker.queues import SERIALIZER

MAX_RECOVERIES = 3
"""A run whose worker dies more often than this ends as a dead letter."""

_EXPIRED = text(
    "SELECT a.run_id, a.run_created_at, r.attempt FROM run_active a"
    " LEFT JOIN run r ON r.id = a.run_id AND r.created_at = a.run_created_at"
    " WHERE a.status = 'running' AND a.lease_until < now()"
    " ORDER BY a.run_id LIMIT 500 FOR UPDATE OF a SKIP LOCKED"
)
_STALE = text(
    "SELECT a.run_id, a.epoch, r.correlation_id, count(*) OVER () AS queued FROM run_active a"
    " LEFT JOIN run r ON r.id = a.run_id AND r.created_at = a.run_created_at"
    " WHERE a.status = 'queued' AND (a.token_at IS NULL OR a.token_at < now() - :grace)"
    " ORDER BY a.rank, a.run_id LIMIT 500"
)


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What one pass did."""

    requeued: int = 0
    """Runs whose worker was silent longer than the lease."""
    dead: int = 0
    """Runs given up because they outlived too many workers."""
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
        expired = session.execute(_EXPIRED).all()
        dead = [row for row in expired if row.attempt is None or row.attempt > MAX_RECOVERIES]
        again = [row for row in expired if row not in dead]
        _requeue(session, again)
        _bury(session, dead)
    if expired:
        get_logger(__name__).warning("leases expired", requeued=len(again), dead=len(dead))
    return ReconcileReport(len(again), len(dead), _resend(engine, client, grace))


def _requeue(session: Session, rows: list[Row[tuple[uuid.UUID, object, int]]]) -> None:
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


def _bury(session: Session, rows: list[Row[tuple[uuid.UUID, object, int]]]) -> None:
    for row in rows:
        values = {"id": row.run_id, "created_at": row.run_created_at, "recoveries": MAX_RECOVERIES}
        session.execute(text("DELETE FROM run_active WHERE run_id = :id"), values)
        session.execute(
            text(
                "UPDATE node_run SET status = 'failed', finished_at = now(), error = jsonb_build_object("
                "'code', 'dead_letter', 'message', 'The worker died while this node was in flight.')"
                " WHERE run_id = :id AND run_created_at = :created_at AND status IN ('pending', 'running')"
            ),
            values,
        )
        session.execute(
            text("INSERT INTO run_ended (run_id, run_created_at) VALUES (:id, :created_at) ON CONFLICT DO NOTHING"),
            values,
        )
        session.execute(
            text(
                "UPDATE run SET status = 'failed', finished_at = now(), node_counts = (SELECT"
                " jsonb_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM node_run"
                " WHERE run_id = :id AND run_created_at = :created_at GROUP BY status) AS counted),"
                " error = jsonb_build_object("
                "'code', 'dead_letter', 'message', format('The run was given up: its worker died %s times. Look at the"
                " nodes that were in flight, then start it again.', attempt))"
                " WHERE id = :id AND created_at = :created_at"
            ),
            values,
        )


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
