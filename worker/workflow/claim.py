"""Take the best queued run, or give one back: by rank, which priority and age make, with ``SKIP LOCKED``.

Claiming makes the worker the owner, raises the epoch, which fences off whoever held the run before, and starts the
lease. Times are the database's, so that a worker's clock does not matter.
"""

import functools
import uuid
from collections.abc import Sequence
from datetime import timedelta

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from analytics.store.engine import translated
from worker.workflow.definition import Definition
from worker.workflow.records import ClaimedRun, NodeState

_CLAIM = text(
    "WITH best AS (SELECT run_id FROM run_active WHERE status = 'queued'"
    " ORDER BY rank, run_id FOR UPDATE SKIP LOCKED LIMIT 1),"
    " claimed AS (UPDATE run_active a SET status = 'running', owner = :owner, epoch = a.epoch + 1,"
    " lease_until = now() + :lease FROM best WHERE a.run_id = best.run_id"
    " RETURNING a.run_id, a.run_created_at, a.epoch, a.cancel_requested),"
    " begun AS (UPDATE run r SET status = 'running', started_at = coalesce(r.started_at, now()),"
    " attempt = r.attempt + 1 FROM claimed c WHERE r.id = c.run_id AND r.created_at = c.run_created_at"
    " RETURNING r.id, r.created_at, r.workflow_id, r.version, r.input, r.attempt, r.correlation_id,"
    " r.source_run_id, c.epoch, c.cancel_requested)"
    " SELECT begun.*, v.spec::text AS spec FROM begun"
    " JOIN workflow_version v ON v.workflow_id = begun.workflow_id AND v.version = begun.version"
)
_NODES = text(
    "SELECT node_id, status, attempt, output, error FROM node_run"
    " WHERE run_id = :run_id AND run_created_at = :created_at AND map_index = -1"
)
_RELEASE = text(
    "WITH held AS (SELECT run_id FROM run_active WHERE owner = :owner AND status = 'running'"
    " AND run_id = ANY(:ids) ORDER BY run_id FOR UPDATE),"
    " freed AS (UPDATE run_active a SET status = 'queued', owner = NULL, lease_until = NULL, token_at = NULL"
    " FROM held WHERE a.run_id = held.run_id RETURNING a.run_id, a.run_created_at, a.epoch)"
    " UPDATE run r SET status = 'queued', attempt = r.attempt - 1 FROM freed"
    " WHERE r.id = freed.run_id AND r.created_at = freed.run_created_at RETURNING r.id, freed.epoch, r.correlation_id"
)


async def claim(engine: AsyncEngine, *, owner: str, lease: timedelta) -> ClaimedRun | None:
    """Claim the best queued run for *owner*, or return None when none waits.

    Raises:
        DependencyError: If PostgreSQL does not answer; nothing was claimed.
    """
    with translated():
        async with engine.begin() as connection:
            row = (await connection.execute(_CLAIM, {"owner": owner, "lease": lease})).one_or_none()
            if row is None:
                return None
            has_progress = row.attempt > 1 or row.epoch > 1 or row.source_run_id is not None
            nodes = await _progress(connection, row.id, row.created_at) if has_progress else {}
    return ClaimedRun(
        id=row.id,
        created_at=row.created_at,
        epoch=row.epoch,
        workflow_id=row.workflow_id,
        version=row.version,
        definition=_definition(row.spec),
        params=row.input,
        attempt=row.attempt,
        correlation_id=row.correlation_id,
        cancel_requested=row.cancel_requested,
        nodes=nodes,
    )


async def release(
    engine: AsyncEngine, run_ids: Sequence[uuid.UUID], *, owner: str
) -> list[tuple[uuid.UUID, int, str | None]]:
    """Queue runs of *owner* again, so that another worker takes them now; it does not count as a recovery.

    Returns:
        Id, epoch and correlation id of each that was given back.
    """
    with translated():
        async with engine.begin() as connection:
            rows = await connection.execute(_RELEASE, {"owner": owner, "ids": list(run_ids)})
            return [(row[0], row[1], row[2]) for row in rows]


async def _progress(connection: AsyncConnection, run_id: uuid.UUID, created_at: object) -> dict[str, NodeState]:
    rows = await connection.execute(_NODES, {"run_id": run_id, "created_at": created_at})
    return {row.node_id: NodeState(row.status, row.attempt, row.output, row.error) for row in rows}


@functools.lru_cache(maxsize=256)
def _definition(spec: str) -> Definition:
    return Definition.from_spec(orjson.loads(spec))
