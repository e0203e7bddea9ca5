"""One node of a run: its attempts, what it waits for, its artifacts and output, its log; and the items of a loop."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.store.queries.runs import NODE_COLUMNS, NodeRow

MOST_OUTPUT_BYTES = 2**20
"""A larger output is not loaded to be shown."""
MOST_LINES = 2_000
_FAILED_SHOWN = 20
_MOST_ARTIFACTS = 100

_OF_RUN = "run_id = :run_id AND run_created_at = (SELECT created_at FROM run WHERE id = :run_id)"
_OF_NODE = f"{_OF_RUN} AND node_id = :node_id AND map_index = :map_index"
_INSIDE = (
    f"{_OF_RUN} AND starts_with(node_id, :container || '/')"
    " AND strpos(substr(node_id, length(:container) + 2), '/') = 0"
)
"""The nodes of a loop's own body, not those of loops in it."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt at a node that failed and was followed by another."""

    attempt: int
    """From 1."""
    executor: str | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class WaitDetail:
    """What a node waits for, or waited for, and what became of it."""

    kind: str
    """``time``, ``signal``, ``approval``, ``run`` or ``attention``."""
    name: str | None
    title: str | None
    message: str | None
    form: Mapping[str, Any] | None
    role: str | None
    child_run_id: uuid.UUID | None
    until: datetime | None
    created_at: datetime
    resolved_at: datetime | None
    """None: still open."""
    resolved_by: str | None
    outcome: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """Bytes that a node made; without the bytes."""

    id: uuid.UUID
    node_id: str
    map_index: int
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    """In hexadecimal digits."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ArtifactContent:
    """An artifact with its bytes."""

    row: ArtifactRow
    run_id: uuid.UUID
    content: bytes


@dataclass(frozen=True, slots=True)
class NodeDetail:
    """One node with everything that is known of it."""

    row: NodeRow
    """With its output, from the artifact too, when that has at most 1 MiB."""
    attempts: Sequence[AttemptRow]
    """Those that failed and were followed by another, in order; the last one is ``row``."""
    wait: WaitDetail | None
    artifacts: Sequence[ArtifactRow]
    """What it made, at most 100, without an output that is kept as one."""
    output_bytes: int | None
    """Size of an output that is kept as an artifact; None when it is in the row or there is none."""

    @property
    def is_output_left_out(self) -> bool:
        """Return whether there is an output too large to be shown."""
        return self.output_bytes is not None and self.output_bytes > MOST_OUTPUT_BYTES


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line a node wrote."""

    node_id: str
    map_index: int
    attempt: int
    seq: int
    """From 1 in each attempt; what was cut leaves a gap."""
    at: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """How the items of a loop stand at one node of its body."""

    node_id: str
    counts: Mapping[str, int]
    """Items by status; a status without items is missing."""

    @property
    def total(self) -> int:
        """Return how many items have reached the node."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class NodeItems:
    """What has become of the items, or iterations, of a loop."""

    container: str
    nodes: Sequence[ItemCounts]
    """By node of the body, in order of their first start."""
    failed: Sequence[tuple[str, int]]
    """Node and index of the first 20 that failed, or that somebody has to look at."""


def node_detail(session: Session, run_id: uuid.UUID, node_id: str, map_index: int = -1) -> NodeDetail | None:
    """Return one node of a run, or None when it has not begun or does not exist."""
    place = {"run_id": run_id, "node_id": node_id, "map_index": map_index}
    found = session.execute(text(f"SELECT {NODE_COLUMNS} FROM node_run WHERE {_OF_NODE}"), place).one_or_none()  # noqa: S608
    if found is None:
        return None
    row = NodeRow(**found._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    size, output = _large_output(session, row.output_ref)
    if output is not None:
        row = NodeRow(**{**found._mapping, "output": output})  # noqa: SLF001 - as above
    attempts = session.execute(
        text(
            "SELECT attempt, executor, started_at, finished_at,"  # noqa: S608 - constants
            " extract(epoch FROM finished_at - started_at)::float8 AS duration_s, error"
            f" FROM node_attempt WHERE {_OF_NODE} ORDER BY attempt"
        ),
        place,
    )
    wait = session.execute(
        text(
            "SELECT kind, name, title, message, form, role, child_run_id, until, created_at, resolved_at, resolved_by,"
            " outcome, data FROM node_wait WHERE run_id = :run_id AND node_id = :node_id AND map_index = :map_index"
        ),
        place,
    ).one_or_none()
    return NodeDetail(
        row=row,
        attempts=[AttemptRow(**attempt._mapping) for attempt in attempts],  # noqa: SLF001 - as above
        wait=None if wait is None else WaitDetail(**wait._mapping),  # noqa: SLF001 - as above
        artifacts=_artifacts(session, place, without=row.output_ref),
        output_bytes=size,
    )


def node_log(
    session: Session,
    run_id: uuid.UUID,
    node_id: str,
    map_index: int = -1,
    *,
    attempt: int | None = None,
    after_seq: int | None = None,
    limit: int = 500,
    tail: bool = True,
) -> list[LogRow]:
    """Return lines that a node wrote, in order.

    Args:
        session: The caller's transaction.
        run_id: The run.
        node_id: The node.
        map_index: Place in a fan-out; -1 for a node that runs once.
        attempt: Which attempt, from 1; None: the newest that wrote anything.
        after_seq: Only lines after this one, oldest first; then *tail* is not read.
        limit: How many at most, 1 to 2,000.
        tail: True: the last lines; False: the first.
    """
    if not 1 <= limit <= MOST_LINES:
        raise InputError(f"1 to {MOST_LINES} lines can be read at once, not {limit}; nothing was read.")
    is_tail = tail and after_seq is None
    wanted = ":attempt" if attempt is not None else f"(SELECT max(attempt) FROM node_log WHERE {_OF_NODE})"  # noqa: S608
    rows = session.execute(
        text(
            "SELECT * FROM (SELECT node_id, map_index, attempt, seq, at, level, message FROM node_log"  # noqa: S608
            f" WHERE {_OF_NODE} AND attempt = {wanted}{'' if after_seq is None else ' AND seq > :after_seq'}"
            f" ORDER BY seq{' DESC' if is_tail else ''} LIMIT :limit) found ORDER BY seq"
        ),
        {
            "run_id": run_id,
            "node_id": node_id,
            "map_index": map_index,
            "limit": limit,
            **({} if attempt is None else {"attempt": attempt}),
            **({} if after_seq is None else {"after_seq": after_seq}),
        },
    )
    return [LogRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def node_items(session: Session, run_id: uuid.UUID, container: str) -> NodeItems:
    """Return how the items of a loop stand.

    Args:
        session: The caller's transaction.
        run_id: The run.
        container: Where the loop stands: ``each``, or ``each[3]/inner`` for a loop in item 3 of another.
    """
    place = {"run_id": run_id, "container": container, "most": _FAILED_SHOWN}
    rows = session.execute(
        text(
            "SELECT node_id, jsonb_object_agg(status, items) AS counts"  # noqa: S608 - constants
            " FROM (SELECT node_id, status, count(*) AS items, min(started_at) AS begun"
            f" FROM node_run WHERE {_INSIDE} GROUP BY node_id, status) by_status"
            " GROUP BY node_id ORDER BY min(begun) NULLS LAST, node_id"
        ),
        place,
    )
    counts = [ItemCounts(row.node_id, row.counts) for row in rows]
    failed = session.execute(
        text(
            f"SELECT node_id, map_index FROM node_run WHERE {_INSIDE}"  # noqa: S608 - constants
            " AND status IN ('failed', 'needs_attention') ORDER BY map_index, node_id LIMIT :most"
        ),
        place,
    )
    return NodeItems(container, counts, [(row.node_id, row.map_index) for row in failed])


def artifact(session: Session, artifact_id: uuid.UUID) -> ArtifactContent | None:
    """Return an artifact with its bytes, or None when it is not there or its month was dropped."""
    row = session.execute(
        text(
            "SELECT id, node_id, map_index, name, media_type, size_bytes, encode(sha256, 'hex') AS sha256, created_at,"
            " run_id, content FROM artifact WHERE id = :id LIMIT 1"
        ),
        {"id": artifact_id},
    ).one_or_none()
    if row is None:
        return None
    described = ArtifactRow(**{name: getattr(row, name) for name in ArtifactRow.__slots__})
    return ArtifactContent(described, row.run_id, bytes(row.content))


def run_artifacts(session: Session, run_id: uuid.UUID) -> list[ArtifactRow]:
    """Return what the nodes of a run made, at most 100, outputs that are kept as artifacts too; oldest first."""
    return _artifacts(session, {"run_id": run_id}, without=None)


def _artifacts(session: Session, place: Mapping[str, Any], *, without: uuid.UUID | None) -> list[ArtifactRow]:
    condition = _OF_NODE if "node_id" in place else _OF_RUN
    rows = session.execute(
        text(
            "SELECT id, node_id, map_index, name, media_type, size_bytes, encode(sha256, 'hex') AS sha256, created_at"  # noqa: S608
            f" FROM artifact WHERE {condition} AND id IS DISTINCT FROM CAST(:without AS uuid)"
            " ORDER BY created_at, id LIMIT :most"
        ),
        {**place, "without": without, "most": _MOST_ARTIFACTS},
    )
    return [ArtifactRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def _large_output(session: Session, reference: uuid.UUID | None) -> tuple[int | None, Any]:
    """Return size and value of an output kept as an artifact; the value only when it may be shown."""
    if reference is None:
        return None, None
    row = session.execute(
        text(
            "SELECT size_bytes, CASE WHEN size_bytes <= :most THEN content END AS content"
            " FROM artifact WHERE id = :id LIMIT 1"
        ),
        {"id": reference, "most": MOST_OUTPUT_BYTES},
    ).one_or_none()
    if row is None:
        return None, None
    return row.size_bytes, None if row.content is None else orjson.loads(bytes(row.content))
