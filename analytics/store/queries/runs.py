"""Runs of workflows: lists, and one run with its nodes, its events and its relatives.

The queue is in ``queue``, one node in ``nodes``, what a run took and will take in ``timeline`` and ``estimate``.
"""

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, require_aware
from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging
from analytics.store.queries.queue import (
    ALIVE_WITHIN,
    QueueState,
    WorkerRow,
    list_workers,
    queue_position,
    queue_state,
)
from analytics.store.queries.run_filter import STATUSES, Condition, RunFilter, condition_of, distinct_values

__all__ = [
    "ALIVE_WITHIN",
    "COUNTED",
    "STATUSES",
    "NodeRow",
    "QueueState",
    "RunChoices",
    "RunDetail",
    "RunEventRow",
    "RunFilter",
    "RunRelatives",
    "RunRow",
    "WorkerRow",
    "changed_nodes",
    "count_runs_by_status",
    "list_runs",
    "list_workers",
    "page_runs",
    "queue_position",
    "queue_state",
    "related_runs",
    "run_choices",
    "run_detail",
    "run_events",
    "run_head",
]

COUNTED = 1_000
"""Up to here runs are counted; numbered pages end there."""
MOST_NODES = 20_000
MOST_RELATIVES = 100
MOST_EVENTS = 500
MOST_CHOICES = 500
_OVERLAP = timedelta(seconds=2)
"""A node's change is stamped before it is committed; for as long it is looked for again."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    id: uuid.UUID
    created_at: datetime
    workflow_id: uuid.UUID
    workflow_name: str
    version: int
    status: str
    priority: int
    requested_by: str | None
    trigger: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    """From start to end; to now while it runs; None before it starts."""
    wait_s: float | None
    """From queued to start; to now while it is queued; None when it ended without a start."""
    attempt: int
    """How often a worker claimed it; above 1 it was recovered."""
    error_message: str | None
    tags: Sequence[str]
    concurrency_key: str | None
    parent_run_id: uuid.UUID | None
    """The run that started it as a sub-workflow, at its node ``parent_node``."""
    parent_node: str | None
    source_run_id: uuid.UUID | None
    """The run of which it is a retry or a rerun."""
    schedule_id: uuid.UUID | None
    use_cache: bool
    nodes_total: int | None
    """Nodes of the definition, without those inside loops; None for runs of older versions of Helmsight."""
    node_counts: Mapping[str, int] | None
    """How many nodes ended in each status; None until the run ends."""
    origin: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of a run that has begun, or is ready to."""

    node_id: str
    """Where it stands: ``fetch``, in a body ``each/fetch``, in a body of a body ``each[3]/inner/fetch``."""
    map_index: int
    """Place in a fan-out or number of an iteration, from 0; -1 for a node that runs once."""
    kind: str
    status: str
    attempt: int
    executor: str | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    output: Any
    """None as well when outputs were not asked for, or when it is the artifact ``output_ref``."""
    error: Mapping[str, Any] | None
    ready_at: datetime | None
    """When everything it needs had ended."""
    cpu_ms: float | None
    cache_hit: bool
    log_lines: int
    output_ref: uuid.UUID | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run with what it does and did."""

    row: RunRow
    spec: Mapping[str, Any]
    params: Mapping[str, Any]
    output: Any
    error: Mapping[str, Any] | None
    correlation_id: str | None
    cancel_requested: bool
    nodes: Sequence[NodeRow]
    """Nodes that have begun, in order of their start; those to come are only in ``spec``."""
    queue_position: int | None
    """Place in the queue, from 1; None when it is not queued."""
    pause_requested: bool
    wake_at: datetime | None
    """When a waiting run goes on by itself; None when somebody has to do something first."""
    scheduled_for: datetime | None
    idempotency_key: str | None
    read_at: datetime
    """What to ask :func:`changed_nodes` with."""


@dataclass(frozen=True, slots=True)
class RunEventRow:
    """Something that happened to a run."""

    id: uuid.UUID
    at: datetime
    kind: str
    node_id: str | None
    map_index: int | None
    actor: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunRelatives:
    """Runs that a run came from, and that came from it."""

    parent: RunRow | None
    """The run of which it is a part."""
    source: RunRow | None
    """The run that it repeats."""
    children: Sequence[RunRow]
    """Sub-workflows, in order of their start."""
    repeats: Sequence[RunRow]
    """Retries and reruns of it, in order of their start."""


@dataclass(frozen=True, slots=True)
class RunChoices:
    """What lists of runs can be narrowed to."""

    workflows: Sequence[tuple[uuid.UUID, str]]
    """Id and name of those that are not archived, by name; at most 500."""
    requesters: Sequence[str]
    """Who has requested runs that are kept, by name; at most 500."""
    triggers: Sequence[str]
    """What has started runs that are kept, by name."""
    tags: Sequence[str]
    """Tags of the newest 2,000 runs, the most used first; at most 100."""


_RUN_COLUMNS = """
    r.id, r.created_at, r.workflow_id, coalesce(w.name, '(removed)') AS workflow_name, r.version, r.status,
    r.priority, r.requested_by, r.trigger, r.queued_at, r.started_at, r.finished_at,
    extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at)::float8 AS duration_s,
    CASE WHEN r.started_at IS NOT NULL OR r.finished_at IS NULL
        THEN greatest(0, extract(epoch FROM coalesce(r.started_at, now()) - r.queued_at))::float8 END AS wait_s,
    r.attempt, r.error ->> 'message' AS error_message, r.tags, r.concurrency_key, r.parent_run_id, r.parent_node,
    r.source_run_id, r.schedule_id, r.use_cache, r.nodes_total, r.node_counts, r.origin
"""
_NODE_COLUMNS = """
    node_id, map_index, kind, status, attempt, executor, started_at, finished_at,
    extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS duration_s, {output} AS output, error,
    ready_at, cpu_ms, cache_hit, log_lines, output_ref, changed_at
"""
NODE_COLUMNS = _NODE_COLUMNS.format(output="output")
_NODE_COLUMNS_BARE = _NODE_COLUMNS.format(output="NULL::jsonb")


def list_runs(
    session: Session,
    *,
    filter: RunFilter | None = None,  # noqa: A002 - read as a word of the question
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
    statuses: Sequence[str] = (),
    workflow_id: uuid.UUID | None = None,
    search: str | None = None,
    interval: Interval | None = None,
) -> list[RunRow]:
    """Return runs, newest first.

    Args:
        session: The caller's transaction.
        filter: Which runs; then *statuses* and so on are not read.
        before: ``created_at`` and ``id`` of the last run of the page before.
        limit: How many at most, 1 to 100.
        statuses: As in :class:`RunFilter`.
        workflow_id: As in :class:`RunFilter`.
        search: As in :class:`RunFilter`.
        interval: As in :class:`RunFilter`.
    """
    check_paging(limit=limit)
    wanted = filter or RunFilter(statuses=tuple(statuses), workflow_id=workflow_id, search=search, interval=interval)
    condition = condition_of(session, wanted)
    if before is not None:
        condition.add("(r.created_at, r.id) < (:before_at, :before_id)", before_at=before[0], before_id=before[1])
    return _read(session, condition, limit=limit)


def page_runs(
    session: Session,
    *,
    filter: RunFilter,  # noqa: A002 - as above
    page: int = 1,
    limit: int = DEFAULT_LIMIT,
) -> Page[RunRow]:
    """Return one numbered page of runs, newest first.

    Runs are counted up to 1,000; of more the page says so, and what lies behind is reached by :func:`list_runs`.

    Raises:
        InputError: If there cannot be such a page.
    """
    offset = check_paging(page, limit)
    condition = condition_of(session, filter)
    if condition.is_impossible:
        return Page([], page, limit, 0)
    _plan_for_values(session)
    # One reading of the keys up to the bound serves the count and the page.
    rows = session.execute(
        text(
            f"WITH keys AS MATERIALIZED ({condition.keys_sql(COUNTED + 1)})"  # noqa: S608 - constants
            f" SELECT t.total, {_RUN_COLUMNS} FROM (SELECT count(*) AS total FROM keys) t LEFT JOIN ("
            "  SELECT * FROM keys ORDER BY created_at DESC, id DESC OFFSET :offset LIMIT :on_page) k ON true"
            " LEFT JOIN run r ON r.id = k.id AND r.created_at = k.created_at"
            " LEFT JOIN workflow w ON w.id = r.workflow_id ORDER BY k.created_at DESC, k.id DESC"
        ),
        {**condition.values, "offset": min(offset, COUNTED), "on_page": max(0, min(limit, COUNTED - offset))},
    ).all()
    total = rows[0].total
    found = [_run_row(row) for row in rows if row.id is not None]
    return Page(found, page, limit, min(total, COUNTED), is_capped=total > COUNTED)


def run_choices(session: Session) -> RunChoices:
    """Return what lists of runs can be narrowed to."""
    named = session.execute(
        text("SELECT id, name FROM workflow WHERE status = 'active' ORDER BY name LIMIT :most"), {"most": MOST_CHOICES}
    )
    tags = session.scalars(
        text(
            "SELECT tag FROM (SELECT tags FROM run ORDER BY created_at DESC, id DESC LIMIT 2000) newest,"
            " unnest(tags) AS tag GROUP BY tag ORDER BY count(*) DESC, tag LIMIT 100"
        )
    )
    return RunChoices(
        workflows=[(row.id, row.name) for row in named],
        requesters=distinct_values(session, "requested_by", most=MOST_CHOICES),
        triggers=distinct_values(session, "trigger", most=MOST_CHOICES),
        tags=list(tags),
    )


def count_runs_by_status(session: Session, *, interval: Interval) -> dict[str, int]:
    """Return how many runs created in *interval* have each status; every status is there, with 0 if need be."""
    rows = session.execute(
        text("SELECT status, count(*) FROM run WHERE created_at >= :since AND created_at < :until GROUP BY status"),
        {"since": interval.since, "until": interval.until},
    )
    found = {row[0]: int(row[1]) for row in rows}
    return {status: found.get(status, 0) for status in STATUSES}


def run_detail(session: Session, run_id: uuid.UUID, *, with_outputs: bool = True) -> RunDetail | None:
    """Return the run *run_id* with its nodes, or None when there is no such run.

    Args:
        session: The caller's transaction.
        run_id: Which.
        with_outputs: False leaves out what nodes returned, which may be much.
    """
    found = run_head(session, run_id)
    if found is None:
        return None
    columns = NODE_COLUMNS if with_outputs else _NODE_COLUMNS_BARE
    nodes = session.execute(
        text(
            f"SELECT {columns} FROM node_run WHERE run_id = :id AND run_created_at = :created_at"  # noqa: S608
            " ORDER BY started_at NULLS LAST, finished_at NULLS LAST, node_id, map_index LIMIT :most"
        ),
        {"id": run_id, "created_at": found.row.created_at, "most": MOST_NODES},
    )
    position = queue_position(session, run_id) if found.row.status == "queued" else None
    return replace(found, nodes=_node_rows(nodes), queue_position=position)


def run_head(session: Session, run_id: uuid.UUID) -> RunDetail | None:
    """Return the run *run_id* without nodes and without its place in the queue, or None when there is no such run."""
    row = session.execute(
        text(
            f"SELECT {_RUN_COLUMNS}, r.input, r.output, r.error, r.correlation_id, r.scheduled_for, r.idempotency_key,"  # noqa: S608
            " v.spec, a.cancel_requested, a.pause_requested, a.wake_at, clock_timestamp() AS read_at"
            " FROM run r LEFT JOIN workflow w ON w.id = r.workflow_id"
            " LEFT JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.version"
            " LEFT JOIN run_active a ON a.run_id = r.id WHERE r.id = :id"
        ),
        {"id": run_id},
    ).one_or_none()
    if row is None:
        return None
    return RunDetail(
        row=_run_row(row),
        spec=row.spec or {},
        params=row.input,
        output=row.output,
        error=row.error,
        correlation_id=row.correlation_id,
        cancel_requested=bool(row.cancel_requested),
        nodes=[],
        queue_position=None,
        pause_requested=bool(row.pause_requested),
        wake_at=row.wake_at,
        scheduled_for=row.scheduled_for,
        idempotency_key=row.idempotency_key,
        read_at=row.read_at - _OVERLAP,
    )


def changed_nodes(session: Session, run_id: uuid.UUID, since: datetime) -> tuple[list[NodeRow], datetime]:
    """Return the nodes of a run that changed at or after *since*, without outputs, and what to ask with the next time.

    A node that changed within two seconds of the moment it was read comes again the next time; none is left out.
    """
    now = session.scalar(text("SELECT clock_timestamp()"))
    rows = session.execute(
        text(
            f"SELECT {_NODE_COLUMNS_BARE} FROM node_run n"  # noqa: S608 - constants
            " WHERE n.run_id = :id AND n.run_created_at = (SELECT created_at FROM run WHERE id = :id)"
            " AND n.changed_at >= :since ORDER BY n.changed_at, n.node_id, n.map_index LIMIT :most"
        ),
        {"id": run_id, "since": require_aware(since), "most": MOST_NODES},
    )
    return _node_rows(rows), max(require_aware(since), (now or since) - _OVERLAP)


def run_events(session: Session, run_id: uuid.UUID) -> list[RunEventRow]:
    """Return what happened to a run, oldest first; the newest 500 when it was more."""
    rows = session.execute(
        text(
            "SELECT * FROM (SELECT e.id, e.at, e.kind, e.node_id, e.map_index, e.actor, e.data FROM run_event e"
            " WHERE e.run_id = :id AND e.run_created_at = (SELECT created_at FROM run WHERE id = :id)"
            " ORDER BY e.at DESC, e.id DESC LIMIT :most) newest ORDER BY at, id"
        ),
        {"id": run_id, "most": MOST_EVENTS},
    )
    return [RunEventRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def related_runs(session: Session, run_id: uuid.UUID) -> RunRelatives:
    """Return the parent, the source, the children and the repeats of a run; at most 100 of each kind."""
    rows = session.execute(
        text(
            f"SELECT {_RUN_COLUMNS}, k.relation FROM ("  # noqa: S608 - constants
            " SELECT p.parent_run_id AS id, 'parent' AS relation FROM run p WHERE p.id = :id"
            " UNION ALL SELECT s.source_run_id, 'source' FROM run s WHERE s.id = :id"
            " UNION ALL"
            " (SELECT c.id, 'child' FROM run c WHERE c.parent_run_id = :id ORDER BY c.created_at LIMIT :most) UNION ALL"
            " (SELECT t.id, 'repeat' FROM run t WHERE t.source_run_id = :id ORDER BY t.created_at LIMIT :most)"
            ") k JOIN run r ON r.id = k.id LEFT JOIN workflow w ON w.id = r.workflow_id ORDER BY r.created_at, r.id"
        ),
        {"id": run_id, "most": MOST_RELATIVES},
    ).all()
    found: dict[str, list[RunRow]] = {"parent": [], "source": [], "child": [], "repeat": []}
    for row in rows:
        found[row.relation].append(_run_row(row))
    return RunRelatives(
        parent=next(iter(found["parent"]), None),
        source=next(iter(found["source"]), None),
        children=found["child"],
        repeats=found["repeat"],
    )


def _read(session: Session, condition: Condition, *, limit: int) -> list[RunRow]:
    if condition.is_impossible:
        return []
    _plan_for_values(session)
    # Keys first: rows that are only passed over are then read from an index alone, where it has what is asked.
    rows = session.execute(
        text(
            f"SELECT {_RUN_COLUMNS} FROM ({condition.keys_sql(limit)}) k"  # noqa: S608 - constants
            " JOIN run r ON r.id = k.id AND r.created_at = k.created_at"
            " LEFT JOIN workflow w ON w.id = r.workflow_id ORDER BY k.created_at DESC, k.id DESC"
        ),
        condition.values,
    )
    return [RunRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def _plan_for_values(session: Session) -> None:
    """Have statements planned for the values they come with: a rare status needs another index than a common one."""
    session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def _node_rows(rows: Iterable[Row[Any]]) -> list[NodeRow]:
    """Return rows of the node columns, which stand in the order of the fields, because there may be 10,000."""
    return list(itertools.starmap(NodeRow, rows))


def _run_row(row: Row[Any]) -> RunRow:
    return RunRow(**{name: getattr(row, name) for name in RunRow.__slots__})
