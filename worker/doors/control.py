"""Steer runs that have not ended. Each function works in the caller's transaction, on rows it locks first.

The row of ``run_active`` is locked before anything else, by the engine too, so that of two who steer one run, or of
one who steers it while it ends, the second sees what the first did.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, InputError, NotFoundError, PolicyError
from analytics.core.ids import new_id
from analytics.store.queries import audit
from worker.doors.queueing import add_event, add_events, notify_runs, params_json
from worker.workflow.results import to_json
from worker.workflow.schemas import validator, violations

CONTROL_CHANNEL = "helmsight_control"
"""PostgreSQL channel on which running workers hear of what concerns their runs: ``cancel:<run id>``,
``pause:<run id>``, ``resume:<run id>``, ``look:<run id>`` when something a node waits for was resolved, ``claim:``."""
Decision = Literal["approved", "rejected"]
Attention = Literal["repeat", "completed", "failed"]
MAX_SIGNALS = 1000
"""How many signals may lie ready for one run."""

_ROLES = ("viewer", "analyst", "operator", "admin")


def cancel(session: Session, run_id: uuid.UUID, *, requested_by: str | None) -> None:
    """Cancel a run and the sub-workflows it started: at once where nobody carries them, else their worker is told.

    Raises:
        NotFoundError: If there is no such run.
        ConflictError: If it has ended; nothing was changed.
    """
    if not cancel_all(session, [run_id], requested_by=requested_by):
        raise _not_open(session, run_id, doing="cancelled")


def cancel_all(session: Session, run_ids: Sequence[uuid.UUID], *, requested_by: str | None) -> set[uuid.UUID]:
    """Cancel those of *run_ids* that have not ended, with their sub-workflows; return which these are."""
    rows = session.execute(_LOCK_TREES, {"ids": list(run_ids)}).all()
    running = [row.run_id for row in rows if row.status == "running"]
    at_once = [row.run_id for row in rows if row.status != "running"]
    if running:
        session.execute(_REQUEST_CANCEL, {"ids": running, "channel": CONTROL_CHANNEL})
    _end_cancelled(session, at_once)
    _child_ended(session, at_once)
    add_events(session, [(row.run_id, row.run_created_at) for row in rows], "cancel_requested", actor=requested_by)
    notify_runs(session, [row.run_id for row in rows])
    cancelled = {row.run_id for row in rows} & set(run_ids)
    for run_id in sorted(cancelled):
        _audit(session, run_id, "run.cancel_requested", requested_by)
    return cancelled


def why_not_open(session: Session, run_ids: Sequence[uuid.UUID], *, doing: str) -> list[tuple[uuid.UUID, str]]:
    """Return for each of *run_ids*, none of which is open, why nothing was done to it."""
    rows = session.execute(text("SELECT id, status FROM run WHERE id = ANY(:ids)"), {"ids": list(run_ids)})
    statuses = {row.id: row.status for row in rows}
    return [(run_id, _refusal(run_id, statuses.get(run_id), doing=doing).message) for run_id in run_ids]


def pause(session: Session, run_id: uuid.UUID, *, requested_by: str | None) -> str:
    """Start nothing new in a run; what is in flight goes on to its end.

    Returns:
        ``paused`` when it is already so, ``pausing`` when its worker was told.

    Raises:
        NotFoundError: If there is no such run.
        ConflictError: If it has ended, is being cancelled, or is paused already; nothing was changed.
    """
    row = locked(session, run_id, doing="paused")
    if row.cancel_requested:
        raise ConflictError("The run is being cancelled; it was not paused.")
    if row.status == "paused" or row.pause_requested:
        raise ConflictError("The run is paused already, or about to be; nothing was changed.")
    running = row.status == "running"
    if running:
        session.execute(text("UPDATE run_active SET pause_requested = true WHERE run_id = :id"), {"id": run_id})
        tell_workers(session, f"pause:{run_id}")
    else:
        _set_status(session, row, "paused")
    _done(session, row, "pause_requested" if running else "paused", "run.paused", requested_by)
    return "pausing" if running else "paused"


def resume(session: Session, run_id: uuid.UUID, *, requested_by: str | None) -> bool:
    """Let a paused run go on; tell whether it was queued, so that a worker has to be woken after the commit.

    Raises:
        NotFoundError: If there is no such run.
        ConflictError: If it has ended, or is not paused; nothing was changed.
    """
    row = locked(session, run_id, doing="resumed")
    if row.status == "paused":
        _set_status(session, row, "queued")
    elif row.pause_requested:
        session.execute(text("UPDATE run_active SET pause_requested = false WHERE run_id = :id"), {"id": run_id})
        tell_workers(session, f"resume:{run_id}")
    else:
        raise ConflictError(f"The run is not paused ({row.status}); nothing was changed.")
    _done(session, row, "resumed", "run.resumed", requested_by)
    return bool(row.status == "paused")


def signal(session: Session, run_id: uuid.UUID, *, name: str, data: Any, requested_by: str | None) -> bool:
    """Give a run the signal *name*: to the node that waits longest for it, else to the first that will.

    Returns:
        Whether the run was queued, so that a worker has to be woken after the commit.

    Raises:
        NotFoundError: If there is no such run.
        ConflictError: If it has ended, or too many signals lie ready; nothing was changed.
        InputError: If the data is larger than 256 KiB.
    """
    encoded = _data_json(data)
    row = locked(session, run_id, doing="signalled")
    wait = session.execute(
        text(
            "UPDATE node_wait SET resolved_at = now(), resolved_by = :by, outcome = 'received',"
            " data = CAST(:data AS jsonb) WHERE (run_id, node_id, map_index) = (SELECT run_id, node_id, map_index"
            " FROM node_wait WHERE run_id = :id AND kind = 'signal' AND name = :name AND resolved_at IS NULL"
            " ORDER BY created_at, node_id, map_index LIMIT 1) RETURNING node_id, map_index"
        ),
        {"id": run_id, "name": name, "by": requested_by, "data": encoded},
    ).one_or_none()
    if wait is None:
        _keep_signal(session, run_id, name, encoded, requested_by)
    add_event(
        session,
        run_id,
        row.run_created_at,
        "signalled",
        actor=requested_by,
        node_id=None if wait is None else wait.node_id,
        map_index=None if wait is None else wait.map_index,
        data={"name": name},
    )
    notify_runs(session, [run_id])
    _audit(session, run_id, "run.signalled", requested_by, {"name": name})
    return _go_on(session, row) if wait is not None else False


def decide(
    session: Session,
    run_id: uuid.UUID,
    node_id: str,
    map_index: int = -1,
    *,
    decision: Decision,
    data: Any,
    requested_by: str | None,
    role: str,
) -> bool:
    """Approve or reject what the node waits for, in the name of somebody with *role*.

    Returns:
        Whether the run was queued, so that a worker has to be woken after the commit.

    Raises:
        NotFoundError: If there is no such run, or the node waits for no approval.
        ConflictError: If somebody decided before, the deadline has passed, or the run has ended.
        PolicyError: If *role* is less than the approval asks for.
        InputError: If *data* does not fit the approval's form.
    """
    row = locked(session, run_id, doing="decided")
    wait = _open_wait(session, run_id, node_id, map_index, kind="approval", what="an approval")
    least = wait.role or "operator"
    if _rank(role) < _rank_needed(least):
        raise PolicyError(f"This approval needs the role {least}, not {role}; nothing was decided.")
    if wait.until is not None and wait.until <= utc_now():
        raise ConflictError(f"The deadline passed at {wait.until:%Y-%m-%d %H:%M:%S} UTC; nothing was decided.")
    if decision == "approved" and wait.form:
        _check_form(wait.form, data)
    _resolve(session, row, wait, outcome=decision, data=data, requested_by=requested_by)
    return _go_on(session, row)


def resolve_attention(
    session: Session,
    run_id: uuid.UUID,
    node_id: str,
    map_index: int = -1,
    *,
    action: Attention,
    output: Any,
    requested_by: str | None,
) -> bool:
    """Say what became of a node that is not safe to repeat and was under way when its worker died.

    Returns:
        Whether the run was queued, so that a worker has to be woken after the commit.

    Raises:
        NotFoundError: If there is no such run, or the node needs no attention.
        ConflictError: If somebody said so before, or the run has ended.
    """
    row = locked(session, run_id, doing="changed")
    wait = _open_wait(session, run_id, node_id, map_index, kind="attention", what="attention")
    _resolve(session, row, wait, outcome=action, data=output, requested_by=requested_by)
    return _go_on(session, row)


def tell_workers(session: Session, payload: str) -> None:
    """Send *payload* to the workers at the caller's commit."""
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": CONTROL_CHANNEL, "payload": payload})


def locked(session: Session, run_id: uuid.UUID, *, doing: str) -> Row[Any]:
    """Lock and return the row of ``run_active``.

    Raises:
        NotFoundError: If there is no such run.
        ConflictError: If it has ended.
    """
    row = session.execute(
        text(
            "SELECT run_id, run_created_at, status, cancel_requested, pause_requested FROM run_active"
            " WHERE run_id = :id FOR UPDATE"
        ),
        {"id": run_id},
    ).one_or_none()
    if row is None:
        raise _not_open(session, run_id, doing=doing)
    return row


_REQUEST_CANCEL = text(
    "WITH asked AS (UPDATE run_active SET cancel_requested = true WHERE run_id = ANY(:ids) RETURNING run_id)"
    " SELECT pg_notify(:channel, 'cancel:' || run_id) FROM asked"
)
_LOCK_TREES = text(
    "WITH RECURSIVE tree AS (SELECT run_id FROM run_active WHERE run_id = ANY(:ids)"
    " UNION SELECT a.run_id FROM run_active a JOIN tree t ON a.parent_run_id = t.run_id)"
    " SELECT a.run_id, a.run_created_at, a.status FROM run_active a WHERE a.run_id IN (SELECT run_id FROM tree)"
    " ORDER BY a.run_id FOR UPDATE"
)
_END = text(
    "WITH gone AS (DELETE FROM run_active WHERE run_id = ANY(:ids) RETURNING run_id, run_created_at),"
    " counted AS (INSERT INTO run_ended (run_id, run_created_at) SELECT run_id, run_created_at FROM gone"
    " ON CONFLICT (run_id) DO NOTHING),"
    " stopped AS (UPDATE node_run n SET status = 'cancelled', finished_at = now(), changed_at = clock_timestamp()"
    " FROM gone WHERE n.run_id = gone.run_id AND n.run_created_at = gone.run_created_at"
    " AND n.status IN ('pending', 'running', 'waiting', 'needs_attention') RETURNING n.run_id),"
    " closed AS (UPDATE node_wait w SET resolved_at = now(), outcome = 'cancelled' FROM gone"
    " WHERE w.run_id = gone.run_id AND w.resolved_at IS NULL),"
    # What another part of one statement changed is not seen here, so that open nodes are counted as cancelled.
    " counts AS (SELECT run_id, jsonb_object_agg(status, n) AS counts FROM (SELECT n.run_id,"
    " CASE WHEN n.status IN ('pending', 'running', 'waiting', 'needs_attention') THEN 'cancelled' ELSE n.status END"
    " AS status, count(*) AS n FROM node_run n JOIN gone ON n.run_id = gone.run_id"
    " AND n.run_created_at = gone.run_created_at WHERE n.map_index = -1 AND strpos(n.node_id, '/') = 0"
    " GROUP BY 1, 2) AS x GROUP BY run_id)"
    " UPDATE run r SET status = 'cancelled', finished_at = now(), node_counts = coalesce(c.counts, '{}'::jsonb)"
    " FROM gone LEFT JOIN counts c ON c.run_id = gone.run_id"
    " WHERE r.id = gone.run_id AND r.created_at = gone.run_created_at"
)
_CHILD_ENDED = text(
    "UPDATE node_wait w SET resolved_at = now(), outcome = 'ended',"
    " data = jsonb_build_object('run_id', w.child_run_id, 'status', 'cancelled', 'output', NULL)"
    " WHERE w.child_run_id = ANY(:ids) AND w.resolved_at IS NULL RETURNING w.run_id"
)


def _end_cancelled(session: Session, run_ids: Sequence[uuid.UUID]) -> None:
    if run_ids:
        session.execute(_END, {"ids": list(run_ids)})


def _child_ended(session: Session, run_ids: Sequence[uuid.UUID]) -> None:
    """Let the runs go on that wait for one of *run_ids*; those that carry on are told, the others queued."""
    if not run_ids:
        return
    parents = {row.run_id for row in session.execute(_CHILD_ENDED, {"ids": list(run_ids)})}
    for parent_id in sorted(parents):
        row = session.execute(
            text("SELECT run_id, run_created_at, status FROM run_active WHERE run_id = :id FOR UPDATE"),
            {"id": parent_id},
        ).one_or_none()
        if row is not None:
            # Its token is sent by the reconciler, within seconds.
            _go_on(session, row, token=False)


def _go_on(session: Session, row: Row[Any], *, token: bool = True) -> bool:
    """Queue the run of *row* when it waits, and tell the workers; return whether it was queued."""
    if row.status in {"paused", "queued"}:
        return False
    # Whoever carries the run looks at it; of one that nobody carries it means that there is something to claim.
    tell_workers(session, f"look:{row.run_id}")
    if row.status == "running":
        return False
    _set_status(session, row, "queued", token=token)
    return True


def _set_status(session: Session, row: Row[Any], status: str, *, token: bool = True) -> None:
    session.execute(
        text(
            "WITH active AS (UPDATE run_active SET status = :status, owner = NULL, lease_until = NULL,"
            " wake_at = CASE WHEN :status = 'queued' THEN NULL ELSE wake_at END, pause_requested = false,"
            " token_at = CASE WHEN :token THEN now() END WHERE run_id = :id)"
            " UPDATE run SET status = :status WHERE id = :id AND created_at = :created_at"
        ),
        {"id": row.run_id, "created_at": row.run_created_at, "status": status, "token": token},
    )


def _open_wait(session: Session, run_id: uuid.UUID, node_id: str, map_index: int, *, kind: str, what: str) -> Row[Any]:
    wait = session.execute(
        text(
            "SELECT node_id, map_index, form, role, until, resolved_at, resolved_by, outcome FROM node_wait"
            " WHERE run_id = :id AND node_id = :node AND map_index = :place AND kind = :kind FOR UPDATE"
        ),
        {"id": run_id, "node": node_id, "place": map_index, "kind": kind},
    ).one_or_none()
    if wait is None:
        raise NotFoundError(f"The node {node_id!r} of this run does not wait for {what}; nothing was changed.")
    if wait.resolved_at is not None:
        by = f" by {wait.resolved_by}" if wait.resolved_by else ""
        raise ConflictError(
            f"That was settled{by} at {wait.resolved_at:%Y-%m-%d %H:%M:%S} UTC ({wait.outcome}); nothing was changed.",
            outcome=wait.outcome,
            resolved_by=wait.resolved_by,
        )
    return wait


def _resolve(
    session: Session, row: Row[Any], wait: Row[Any], *, outcome: str, data: Any, requested_by: str | None
) -> None:
    session.execute(
        text(
            "UPDATE node_wait SET resolved_at = now(), resolved_by = :by, outcome = :outcome,"
            " data = CAST(:data AS jsonb) WHERE run_id = :id AND node_id = :node AND map_index = :place"
        ),
        {
            "id": row.run_id,
            "node": wait.node_id,
            "place": wait.map_index,
            "by": requested_by,
            "outcome": outcome,
            "data": _data_json(data),
        },
    )
    add_event(
        session,
        row.run_id,
        row.run_created_at,
        outcome if outcome in {"approved", "rejected"} else f"attention_{outcome}",
        actor=requested_by,
        node_id=wait.node_id,
        map_index=wait.map_index,
    )
    notify_runs(session, [row.run_id])
    detail = {"node_id": wait.node_id, "map_index": wait.map_index, "outcome": outcome}
    _audit(session, row.run_id, "run.node_settled", requested_by, detail)


def _keep_signal(session: Session, run_id: uuid.UUID, name: str, encoded: str, sent_by: str | None) -> None:
    lying = session.scalar(text("SELECT count(*) FROM run_signal WHERE run_id = :id"), {"id": run_id}) or 0
    if lying >= MAX_SIGNALS:
        raise ConflictError(f"{lying} signals of this run wait to be taken already; this one was not kept.")
    session.execute(
        text(
            "INSERT INTO run_signal (id, run_id, name, data, sent_by)"
            " VALUES (:id, :run_id, :name, CAST(:data AS jsonb), :by)"
        ),
        {"id": new_id(), "run_id": run_id, "name": name, "data": encoded, "by": sent_by},
    )


def _check_form(form: Mapping[str, Any], data: Any) -> None:
    problems = [
        {"line": None, "path": ".".join(("data", *map(str, path))), "reason": reason}
        for path, reason in violations(validator(dict(form)), {} if data is None else data)
    ]
    if problems:
        listed = "; ".join(f"{problem['path']}: {problem['reason']}" for problem in problems[:5])
        raise InputError(f"The form is not filled in as it asks: {listed}. Nothing was decided.", problems=problems)


def _data_json(data: Any) -> str:
    params_json({"data": data})
    return to_json(data)


def _rank(role: str) -> int:
    return _ROLES.index(role) if role in _ROLES else -1


def _rank_needed(role: str) -> int:
    """Return the rank of the least role; one we do not know is the highest, not none."""
    return _ROLES.index(role) if role in _ROLES else len(_ROLES) - 1


def _not_open(session: Session, run_id: uuid.UUID, *, doing: str) -> InputError:
    status = session.scalar(text("SELECT status FROM run WHERE id = :id"), {"id": run_id})
    return _refusal(run_id, status, doing=doing)


def _refusal(run_id: uuid.UUID, status: str | None, *, doing: str) -> InputError:
    if status is None:
        return NotFoundError(f"There is no run {run_id}; nothing was {doing}.")
    return ConflictError(f"The run has ended already ({status}); nothing was {doing}.")


def _done(session: Session, row: Row[Any], event: str, action: str, requested_by: str | None) -> None:
    add_event(session, row.run_id, row.run_created_at, event, actor=requested_by)
    notify_runs(session, [row.run_id])
    _audit(session, row.run_id, action, requested_by)


def _audit(
    session: Session, run_id: uuid.UUID, action: str, requested_by: str | None, detail: Mapping[str, Any] | None = None
) -> None:
    audit.record(
        session,
        actor=requested_by or "system",
        action=action,
        object_type="run",
        object_id=str(run_id),
        detail=detail,
    )
