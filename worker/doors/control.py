"""Steer runs that have not ended. Each function works in the caller's transaction, on rows it locks first."""

import uuid

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, NotFoundError
from analytics.store.queries import audit
from worker.doors.queueing import add_event, notify_runs

CONTROL_CHANNEL = "helmsight_control"
"""PostgreSQL channel on which running workers hear of cancelled runs and finished nodes."""


def cancel(session: Session, run_id: uuid.UUID, *, requested_by: str | None) -> None:
    """Cancel a run: at once when nobody carries it, else its worker is told.

    Raises:
        NotFoundError: If there is no such run.
        ConflictError: If it has ended; nothing was changed.
    """
    row = _locked(session, run_id, doing="cancelled")
    if row.status == "running":
        session.execute(text("UPDATE run_active SET cancel_requested = true WHERE run_id = :id"), {"id": run_id})
        tell_workers(session, f"cancel:{run_id}")
    else:
        _end_cancelled(session, run_id)
    add_event(session, run_id, row.run_created_at, "cancel_requested", actor=requested_by)
    notify_runs(session, [run_id])
    _audit(session, run_id, "run.cancel_requested", requested_by)


def tell_workers(session: Session, payload: str) -> None:
    """Send *payload* to the workers at the caller's commit."""
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": CONTROL_CHANNEL, "payload": payload})


def _end_cancelled(session: Session, run_id: uuid.UUID) -> None:
    session.execute(
        text(
            "WITH gone AS (DELETE FROM run_active WHERE run_id = :id RETURNING run_id, run_created_at),"
            " counted AS (INSERT INTO run_ended (run_id, run_created_at) SELECT run_id, run_created_at FROM gone"
            " ON CONFLICT (run_id) DO NOTHING)"
            " UPDATE run r SET status = 'cancelled', finished_at = now() FROM gone"
            " WHERE r.id = gone.run_id AND r.created_at = gone.run_created_at"
        ),
        {"id": run_id},
    )


def _locked(session: Session, run_id: uuid.UUID, *, doing: str) -> Row[tuple[object, ...]]:
    row = session.execute(
        text("SELECT status, run_created_at FROM run_active WHERE run_id = :id FOR UPDATE"), {"id": run_id}
    ).one_or_none()
    if row is None:
        status = session.scalar(text("SELECT status FROM run WHERE id = :id"), {"id": run_id})
        if status is None:
            raise NotFoundError(f"There is no run {run_id}; nothing was {doing}.")
        raise ConflictError(f"The run has ended already ({status}); nothing was {doing}.")
    return row


def _audit(session: Session, run_id: uuid.UUID, action: str, requested_by: str | None) -> None:
    audit.record(session, actor=requested_by or "system", action=action, object_type="run", object_id=str(run_id))
