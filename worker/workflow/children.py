"""Runs that runs start: a child is stored together with the wait of its parent, so that neither is alone."""

import uuid
from collections.abc import Mapping
from typing import Any

from redis import Redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError
from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from worker.doors.control import cancel
from worker.doors.queueing import NewRun, find_target, queue_in
from worker.doors.waking import Waker
from worker.workflow.kinds.subworkflow import MAX_DEPTH
from worker.workflow.records import NodeRecord, RunLostError

_LOCK = text(
    "SELECT r.requested_by, r.priority, r.use_cache, r.tags FROM run_active a"
    " JOIN run r ON r.id = a.run_id AND r.created_at = a.run_created_at"
    " WHERE a.run_id = :run_id AND a.epoch = :epoch AND a.owner = :owner AND a.status = 'running' FOR UPDATE OF a"
)
_DEPTH = text(
    "WITH RECURSIVE above AS (SELECT parent_run_id, 1 AS depth FROM run WHERE id = :run_id AND created_at = :created"
    " UNION ALL SELECT r.parent_run_id, above.depth + 1 FROM run r JOIN above ON r.id = above.parent_run_id"
    " WHERE above.depth <= :most) SELECT max(depth) FROM above"
)
_WAIT = text(
    "INSERT INTO node_wait (run_id, run_created_at, node_id, map_index, kind, title, child_run_id, until)"
    " VALUES (:run_id, :created, :node_id, :map_index, 'run', :title, :child,"
    " now() + CAST(:for_s AS float8) * interval '1 second')"
    " ON CONFLICT (run_id, node_id, map_index) DO UPDATE SET child_run_id = EXCLUDED.child_run_id,"
    " kind = 'run', until = EXCLUDED.until, created_at = now(), resolved_at = NULL, outcome = NULL, data = NULL"
)
_NODE = text(
    "INSERT INTO node_run (run_id, run_created_at, node_id, map_index, kind, status, attempt, executor, ready_at,"
    " started_at) VALUES (:run_id, :created, :node_id, :map_index, :kind, 'waiting', :attempt, :executor, :ready_at,"
    " :started_at) ON CONFLICT (run_id, run_created_at, node_id, map_index) DO UPDATE SET status = 'waiting',"
    " attempt = EXCLUDED.attempt, executor = EXCLUDED.executor, started_at = EXCLUDED.started_at,"
    " changed_at = clock_timestamp() WHERE node_run.status <> 'completed'"
)
_OPEN_CHILDREN = text("SELECT run_id FROM run_active WHERE parent_run_id = :run_id")


class Children:
    """Starts and stops children for the runs of one worker process; its methods block."""

    def __init__(self, engine: Engine, redis: Redis | None, settings: Settings, *, owner: str) -> None:
        self._engine = engine
        self._settings = settings
        self._owner = owner
        self._waker = Waker(engine, redis)

    def queue(self, record: NodeRecord, config: Mapping[str, Any], *, timeout_s: float | None) -> uuid.UUID:
        """Store a child for the node of *record*, and that the node waits for it; return the child's id.

        Raises:
            RunLostError: If the parent is no longer ours; nothing was stored.
            InputError: If there is no such workflow, the parameters do not fit, or runs are too deep in one another.
            DependencyError: If PostgreSQL does not answer; nothing was stored.
        """
        with session_scope(self._engine) as session:
            parent = session.execute(
                _LOCK, {"run_id": record.run_id, "epoch": record.epoch, "owner": self._owner}
            ).one_or_none()
            if parent is None:
                raise RunLostError(f"The run {record.run_id} is no longer ours.")
            self._check_depth(session, record)
            version = config.get("version")
            target = find_target(session, config["workflow"], None if version is None else _number(version))
            new = NewRun(
                params=config.get("params", {}),
                requested_by=parent.requested_by,
                trigger="run",
                priority=parent.priority,
                tags=tuple(parent.tags),
                use_cache=parent.use_cache,
                parent_run_id=record.run_id,
                parent_node=record.node_id if record.map_index < 0 else f"{record.node_id}[{record.map_index}]",
            )
            queued, _ = queue_in(session, target, new, step=self._settings.worker.priority_step)
            _store(session, record, queued.run_id, timeout_s=timeout_s, title=target.name)
        self._waker.wake([queued.run_id])
        return queued.run_id

    def stop(self, run_id: uuid.UUID) -> None:
        """Cancel the children of *run_id* that have not ended, with all below them."""
        with session_scope(self._engine) as session:
            children = session.scalars(_OPEN_CHILDREN, {"run_id": run_id}).all()
        for child in children:
            try:
                with session_scope(self._engine) as session:
                    cancel(session, child, requested_by=None)
            except ConflictError:
                continue  # It has ended meanwhile.

    def _check_depth(self, session: Session, record: NodeRecord) -> None:
        depth = session.scalar(_DEPTH, {"run_id": record.run_id, "created": record.run_created_at, "most": MAX_DEPTH})
        if (depth or 1) >= MAX_DEPTH:
            raise InputError(f"Runs are {MAX_DEPTH} deep in one another already; {record.node_id!r} started none.")


def _store(session: Session, record: NodeRecord, child: uuid.UUID, *, timeout_s: float | None, title: str) -> None:
    values = {
        "run_id": record.run_id,
        "created": record.run_created_at,
        "node_id": record.node_id,
        "map_index": record.map_index,
    }
    session.execute(
        _NODE,
        values
        | {
            "kind": record.kind,
            "attempt": record.attempt,
            "executor": record.executor,
            "ready_at": record.ready_at,
            "started_at": record.started_at,
        },
    )
    session.execute(_WAIT, values | {"child": child, "for_s": timeout_s, "title": title})


def _number(version: Any) -> int:
    try:
        return int(version)
    except (TypeError, ValueError) as error:
        raise InputError(f"{version!r} is no version of a workflow; nothing was queued.") from error
