"""Take the best queued runs, or give some back: by rank, which priority and age make, with ``SKIP LOCKED``.

Claiming makes the worker the owner, raises the epoch, which fences off whoever held the run before, and starts the
lease. Times are the database's, so that a worker's clock does not matter. Runs of one concurrency key are counted
under an advisory lock of the key, so that workers that claim at once do not take too many of them together.
"""

import contextlib
import functools
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from analytics.core.errors import NotFoundError
from analytics.store.engine import translated
from worker.runtime import Failure, tried
from worker.workflow.artifacts import load_outputs
from worker.workflow.definition import Definition
from worker.workflow.records import ClaimedRun, NodeState, Place, WaitState
from worker.workflow.scopes import Plan

MAX_CLAIMS = 64
"""The most runs of one transaction."""

_TRIES = 3
_MAX_PLANS = 128

_BEST = text(
    "WITH busy AS (SELECT concurrency_key AS key, count(*) AS runs FROM run_active"
    " WHERE status = 'running' AND concurrency_key IS NOT NULL GROUP BY concurrency_key)"
    " SELECT run_id, concurrency_key, concurrency_limit FROM run_active a WHERE status = 'queued'"
    " AND (concurrency_key IS NULL OR concurrency_limit IS NULL"
    " OR concurrency_limit > coalesce((SELECT runs FROM busy WHERE busy.key = a.concurrency_key), 0))"
    " ORDER BY rank, run_id LIMIT :limit FOR UPDATE OF a SKIP LOCKED"
)
_LOCK_KEY = text("SELECT pg_advisory_xact_lock(hashtextextended('helmsight.key.' || :key, 0))")
_RUNNING = text(
    "SELECT concurrency_key, count(*) AS runs FROM run_active WHERE status = 'running'"
    " AND concurrency_key = ANY(:keys) GROUP BY concurrency_key"
)
_CLAIM = text(
    "WITH claimed AS (UPDATE run_active SET status = 'running', owner = :owner, epoch = epoch + 1,"
    " lease_until = now() + :lease, wake_at = NULL WHERE run_id = ANY(:ids)"
    " RETURNING run_id, run_created_at, epoch, rank, cancel_requested, pause_requested, concurrency_key)"
    " UPDATE run r SET status = 'running', started_at = coalesce(r.started_at, clock_timestamp()),"
    " attempt = r.attempt + 1 FROM claimed c WHERE r.id = c.run_id AND r.created_at = c.run_created_at"
    " RETURNING r.id, r.created_at, r.workflow_id, r.version, r.input, r.attempt, r.correlation_id, r.source_run_id,"
    " r.parent_run_id, r.use_cache, clock_timestamp() - r.started_at AS age, c.rank, c.epoch, c.cancel_requested,"
    " c.pause_requested, c.concurrency_key"
)
_SPECS = text(
    "SELECT workflow_id, version, spec FROM workflow_version"
    " WHERE (workflow_id, version) IN (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS integer[])))"
)
_NODES = text(
    "SELECT run_id, node_id, map_index, status, attempt, output, output_ref, error, started_at FROM node_run"
    " WHERE run_id = ANY(:ids) AND run_created_at = ANY(:created)"
)
_WAITS = text(
    "SELECT w.run_id, w.node_id, w.map_index, w.kind, w.created_at, w.until, coalesce(w.until <= now(), false) AS due,"
    " w.outcome, w.resolved_by, w.resolved_at, w.data, w.child_run_id, r.status AS child_status,"
    " r.output AS child_output, r.error AS child_error FROM node_wait w"
    " LEFT JOIN run r ON r.id = w.child_run_id AND w.kind = 'run'"
    " AND r.status IN ('completed', 'failed', 'cancelled') WHERE w.run_id = ANY(:ids)"
)
_RELEASE = text(
    "WITH held AS (SELECT run_id FROM run_active WHERE owner = :owner AND status = 'running'"
    " AND run_id = ANY(:ids) ORDER BY run_id FOR UPDATE),"
    " freed AS (UPDATE run_active a SET status = 'queued', owner = NULL, lease_until = NULL, token_at = NULL"
    " FROM held WHERE a.run_id = held.run_id RETURNING a.run_id, a.run_created_at, a.epoch)"
    " UPDATE run r SET status = 'queued', attempt = r.attempt - 1 FROM freed"
    " WHERE r.id = freed.run_id AND r.created_at = freed.run_created_at RETURNING r.id, freed.epoch, r.correlation_id"
)

_plans: dict[tuple[uuid.UUID, int], Plan] = {}
"""Versions never change, so what was worked out for one holds; the oldest is forgotten first."""


async def claim(engine: AsyncEngine, *, owner: str, lease: timedelta, limit: int = 1) -> list[ClaimedRun]:
    """Claim up to *limit* of the best queued runs for *owner*, best first; fewer, or none, when no more may start.

    Raises:
        DependencyError: If PostgreSQL does not answer; nothing was claimed.
    """
    for _ in range(_TRIES):
        with translated():
            async with engine.begin() as connection:
                best = (await connection.execute(_BEST, {"limit": min(limit, MAX_CLAIMS)})).all()
                ids = await _within_limits(connection, best)
                if ids:
                    return await _take(connection, ids, owner=owner, lease=lease)
        if not best:
            return []
    return []


async def read_waits(
    connection: AsyncConnection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[Place, WaitState]]:
    """Return what nodes of *run_ids* wait for or waited for, by run and place; an ended child counts as resolved."""
    found: dict[uuid.UUID, dict[Place, WaitState]] = {}
    for row in await connection.execute(_WAITS, {"ids": list(run_ids)}):
        outcome, data = row.outcome, row.data
        if row.kind == "run" and row.child_status is not None:
            outcome = "ended"
            data = {"status": row.child_status, "output": row.child_output, "error": row.child_error}
        found.setdefault(row.run_id, {})[row.node_id, row.map_index] = WaitState(
            row.kind,
            row.created_at,
            row.until,
            row.due,
            outcome,
            row.resolved_by,
            row.resolved_at,
            data,
            row.child_run_id,
        )
    return found


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


async def _within_limits(connection: AsyncConnection, best: Sequence[Row[Any]]) -> list[uuid.UUID]:
    """Return the runs that may start, best first; a run whose key is in full use keeps its place."""
    keys = sorted({row.concurrency_key for row in best if row.concurrency_key is not None})
    if not keys:
        return [row.run_id for row in best]
    for key in keys:
        await connection.execute(_LOCK_KEY, {"key": key})
    running: Counter[str] = Counter()
    for row in await connection.execute(_RUNNING, {"keys": keys}):
        running[row.concurrency_key] = row.runs
    ids = []
    for row in best:
        if row.concurrency_key is not None and row.concurrency_limit is not None:
            if running[row.concurrency_key] >= row.concurrency_limit:
                continue
            running[row.concurrency_key] += 1
        ids.append(row.run_id)
    return ids


async def _take(
    connection: AsyncConnection, ids: Sequence[uuid.UUID], *, owner: str, lease: timedelta
) -> list[ClaimedRun]:
    rows = (await connection.execute(_CLAIM, {"owner": owner, "lease": lease, "ids": list(ids)})).all()
    await _learn_plans(connection, rows)
    begun = [row for row in rows if row.attempt > 1 or row.epoch > 1 or row.source_run_id is not None]
    nodes = await _progress(connection, begun) if begun else {}
    waits = await read_waits(connection, [row.id for row in begun]) if begun else {}
    return [
        ClaimedRun(
            id=row.id,
            created_at=row.created_at,
            epoch=row.epoch,
            workflow_id=row.workflow_id,
            version=row.version,
            plan=_plans[row.workflow_id, row.version],
            params=row.input,
            attempt=row.attempt,
            correlation_id=row.correlation_id,
            cancel_requested=row.cancel_requested,
            pause_requested=row.pause_requested,
            use_cache=row.use_cache,
            age=row.age,
            parent_run_id=row.parent_run_id,
            concurrency_key=row.concurrency_key,
            nodes=nodes.get(row.id, {}),
            waits=waits.get(row.id, {}),
        )
        for row in sorted(rows, key=lambda row: (row.rank, row.id))
    ]


async def _learn_plans(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> None:
    new = list({(row.workflow_id, row.version) for row in rows} - _plans.keys())
    if new:
        found = await connection.execute(
            _SPECS, {"ids": [pair[0] for pair in new], "versions": [pair[1] for pair in new]}
        )
        for row in found:
            plan = tried(functools.partial(_plan_of, row.spec))
            # A version that cannot be read must not keep the others from being claimed: its runs fail.
            _plans[row.workflow_id, row.version] = Plan.unusable(plan.message) if isinstance(plan, Failure) else plan
    wanted = {(row.workflow_id, row.version) for row in rows}
    for pair in [pair for pair in _plans if pair not in wanted][: max(0, len(_plans) - _MAX_PLANS)]:
        del _plans[pair]


def _plan_of(spec: Mapping[str, Any]) -> Plan:
    return Plan.of(Definition.from_spec(spec))


async def _outputs_beside(connection: AsyncConnection, refs: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Any]:
    """Return the outputs kept beside their rows, those that are still there."""
    try:
        return await load_outputs(connection, refs)
    except NotFoundError:
        found: dict[uuid.UUID, Any] = {}
        for ref in refs:
            with contextlib.suppress(NotFoundError):
                found |= await load_outputs(connection, [ref])
        return found


async def _progress(
    connection: AsyncConnection, runs: Sequence[Row[Any]]
) -> Mapping[uuid.UUID, Mapping[Place, NodeState]]:
    """Return what is there of the nodes of *runs*, by run and place."""
    arguments = {"ids": [run.id for run in runs], "created": [run.created_at for run in runs]}
    rows = (await connection.execute(_NODES, arguments)).all()
    beside = await _outputs_beside(connection, [row.output_ref for row in rows if row.output_ref is not None])
    found: dict[uuid.UUID, dict[Place, NodeState]] = {}
    for row in rows:
        if row.output_ref is not None and row.output_ref not in beside:
            continue  # Its result is lost, so it is executed again.
        output = row.output if row.output_ref is None else beside[row.output_ref]
        state = NodeState(row.status, row.attempt, output, row.error, row.started_at)
        found.setdefault(row.run_id, {})[row.node_id, row.map_index] = state
    return found
