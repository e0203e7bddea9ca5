"""Repeat an ended run: go on from where it failed, or run it again as a whole. In the caller's transaction."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InvariantError, NotFoundError
from worker.doors.keeping import Address, kept_nodes
from worker.doors.queueing import NewRun, QueuedRun, Target, add_event, find_target, notify_runs, queue_in

Version = Literal["same", "current"]


def retry(
    session: Session,
    run_id: uuid.UUID,
    *,
    from_nodes: Sequence[str] = (),
    version: Version = "same",
    requested_by: str | None,
    trigger: str,
    step: timedelta,
) -> QueuedRun:
    """Store a run that keeps what *run_id* completed and does the rest.

    Args:
        session: The caller's transaction.
        run_id: A run that has ended.
        from_nodes: Nodes to begin from, with all that comes after them; empty: those that were not completed.
        version: ``current``: by the newest definition; nodes that it has otherwise are done again, too.
        requested_by: Who asks.
        trigger: Through what they ask.
        step: Time that one step of priority is worth.

    Raises:
        NotFoundError: If there is no such run, or its workflow was archived.
        ConflictError: If it has not ended, or a retry of it has not ended; nothing was queued.
        InputError: If a node is not known, or there is nothing to do again.
    """
    source = _locked_source(session, run_id)
    _refuse_second_retry(session, source)
    same = find_target(session, source.workflow_id, source.version)
    target = same if version == "same" else find_target(session, source.workflow_id)
    kept = kept_nodes(
        target.definition,
        _statuses(session, source),
        from_nodes=from_nodes,
        old=None if target.version == same.version else same.definition,
    )
    queued = _queue(
        session, source, target, params=source.input, requested_by=requested_by, trigger=trigger,
        use_cache=source.use_cache, step=step,
    )  # fmt: skip
    _copy(session, source, queued, kept)
    session.execute(
        text("UPDATE document SET run_id = :new WHERE run_id = :old"), {"new": queued.run_id, "old": source.id}
    )
    detail = {"run_id": str(queued.run_id), "from_nodes": list(from_nodes), "kept": len(kept)}
    add_event(session, source.id, source.created_at, "retried", actor=requested_by, data=detail)
    notify_runs(session, [source.id])
    return queued


def rerun(
    session: Session,
    run_id: uuid.UUID,
    *,
    params: Mapping[str, Any] | None = None,
    version: Version = "same",
    use_cache: bool | None = None,
    requested_by: str | None,
    trigger: str,
    step: timedelta,
) -> QueuedRun:
    """Store a run that does all of *run_id* again, with *params* instead of its own if there are any.

    Raises:
        NotFoundError: If there is no such run, or its workflow was archived.
        InputError: If *params* do not fit the version.
    """
    source = _source(session, run_id, lock="")
    target = find_target(session, source.workflow_id, source.version if version == "same" else None)
    queued = _queue(
        session,
        source,
        target,
        params=source.input if params is None else params,
        requested_by=requested_by,
        trigger=trigger,
        use_cache=source.use_cache if use_cache is None else use_cache,
        step=step,
    )
    detail = {"run_id": str(queued.run_id)}
    add_event(session, source.id, source.created_at, "rerun", actor=requested_by, data=detail)
    notify_runs(session, [source.id])
    return queued


def _source(session: Session, run_id: uuid.UUID, *, lock: str) -> Row[Any]:
    row = session.execute(
        text(
            "SELECT id, created_at, workflow_id, version, status, priority, tags, use_cache, input FROM run"  # noqa: S608
            f" WHERE id = :id {lock}"
        ),
        {"id": run_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no run {run_id}; nothing was queued.")
    return row


def _locked_source(session: Session, run_id: uuid.UUID) -> Row[Any]:
    """Return an ended run, locked, so that two who retry it at the same time come one after the other."""
    row = _source(session, run_id, lock="FOR NO KEY UPDATE")
    if row.status not in {"completed", "failed", "cancelled"}:
        raise ConflictError(f"The run has not ended ({row.status}); nothing was queued. Cancel it first.")
    return row


def _refuse_second_retry(session: Session, source: Row[Any]) -> None:
    other = session.scalar(
        text(
            "SELECT a.run_id FROM run_event e JOIN run_active a ON a.run_id = CAST(e.data ->> 'run_id' AS uuid)"
            " WHERE e.run_id = :id AND e.run_created_at = :created_at AND e.kind = 'retried' LIMIT 1"
        ),
        {"id": source.id, "created_at": source.created_at},
    )
    if other is not None:
        raise ConflictError(
            f"The run {other} retries this one already; nothing was queued. Wait for its end, or cancel it.",
            run_id=str(other),
        )


def _statuses(session: Session, source: Row[Any]) -> dict[Address, str]:
    rows = session.execute(
        text("SELECT node_id, map_index, status FROM node_run WHERE run_id = :id AND run_created_at = :created_at"),
        {"id": source.id, "created_at": source.created_at},
    )
    return {(row.node_id, row.map_index): row.status for row in rows}


def _queue(
    session: Session,
    source: Row[Any],
    target: Target,
    *,
    params: Mapping[str, Any],
    requested_by: str | None,
    trigger: str,
    use_cache: bool,
    step: timedelta,
) -> QueuedRun:
    new = NewRun(
        params=params,
        requested_by=requested_by,
        trigger=trigger,
        priority=source.priority,
        tags=tuple(source.tags),
        use_cache=use_cache,
        source_run_id=source.id,
    )
    queued, is_new = queue_in(session, target, new, step=step)
    if not is_new:
        raise InvariantError("A retry met another run under its own key; nothing was queued.")
    return queued


def _copy(session: Session, source: Row[Any], queued: QueuedRun, kept: Sequence[Address]) -> None:
    session.execute(
        text(
            "INSERT INTO node_run (run_id, run_created_at, node_id, map_index, kind, status, attempt, executor,"
            " started_at, finished_at, ready_at, output, output_ref, cpu_ms, cache_hit, cache_key, error)"
            " SELECT :new, :now, n.node_id, n.map_index, n.kind, n.status, n.attempt, n.executor,"
            " n.started_at, n.finished_at, n.ready_at, n.output, n.output_ref, n.cpu_ms, n.cache_hit, n.cache_key,"
            " n.error FROM unnest(CAST(:ids AS text[]), CAST(:places AS integer[])) AS k(node_id, map_index)"
            " JOIN node_run n ON n.run_id = :old AND n.run_created_at = :created_at"
            " AND n.node_id = k.node_id AND n.map_index = k.map_index"
        ),
        {
            "new": queued.run_id,
            "now": queued.created_at,
            "old": source.id,
            "created_at": source.created_at,
            "ids": [node_id for node_id, _ in kept],
            "places": [map_index for _, map_index in kept],
        },
    )
