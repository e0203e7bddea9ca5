"""Two runs side by side: what was asked, what each node did, how long it took."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.errors import NotFoundError
from analytics.store.queries.runs import RunDetail, RunRow, run_head

MOST_NODES = 2_000
MOST_CHANGES = 200

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A parameter that differs."""

    path: str
    """``customer.name``, ``pages[2]``; empty when the whole value differs."""
    left: Any
    right: Any
    is_in_left: bool
    """False: the left run has no such parameter, ``left`` is None."""
    is_in_right: bool


@dataclass(frozen=True, slots=True)
class NodeSide:
    """What a node did in one of the runs."""

    status: str
    duration_s: float | None
    """None when it did not start or has not ended."""
    attempt: int
    cache_hit: bool
    error_message: str | None


@dataclass(frozen=True, slots=True)
class NodeComparison:
    """A node in both runs."""

    node_id: str
    map_index: int
    left: NodeSide | None
    """None: not reached in that run, or not part of its version."""
    right: NodeSide | None
    delta_s: float | None
    """How much longer it took on the right; None when one of them has no duration."""
    is_output_same: bool | None
    """None when one of them has no output."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs side by side."""

    left: RunRow
    right: RunRow
    params: Sequence[ValueChange]
    """Parameters that differ, at most 200."""
    is_output_same: bool | None
    """None unless both runs have completed."""
    delta_s: float | None
    """How much longer the right one took; None when one of them has not ended."""
    nodes: Sequence[NodeComparison]
    """Nodes with another outcome first, then those whose time differs most; at most 2,000."""
    left_out: int
    """Nodes that are not among them."""


_NODES = text("""
    WITH l AS (SELECT * FROM node_run WHERE run_id = :left AND run_created_at = :left_created),
        r AS (SELECT * FROM node_run WHERE run_id = :right AND run_created_at = :right_created),
    both_sides AS (
        SELECT coalesce(l.node_id, r.node_id) AS node_id, coalesce(l.map_index, r.map_index) AS map_index,
            l.status AS left_status, r.status AS right_status,
            extract(epoch FROM l.finished_at - l.started_at)::float8 AS left_s,
            extract(epoch FROM r.finished_at - r.started_at)::float8 AS right_s,
            l.attempt AS left_attempt, r.attempt AS right_attempt,
            l.cache_hit AS left_hit, r.cache_hit AS right_hit,
            l.error ->> 'message' AS left_error, r.error ->> 'message' AS right_error,
            l.output AS left_output, r.output AS right_output, l.output_ref AS left_ref, r.output_ref AS right_ref,
            count(*) OVER () AS nodes
        FROM l FULL JOIN r ON r.node_id = l.node_id AND r.map_index = l.map_index
        ORDER BY l.status IS DISTINCT FROM r.status DESC,
            abs(extract(epoch FROM r.finished_at - r.started_at) - extract(epoch FROM l.finished_at - l.started_at))
                DESC NULLS LAST, 1, 2
        LIMIT :most
    )
    SELECT b.*, CASE
        WHEN left_status IS DISTINCT FROM 'completed' OR right_status IS DISTINCT FROM 'completed' THEN NULL
        WHEN left_ref IS NOT NULL AND right_ref IS NOT NULL THEN
            (SELECT sha256 FROM artifact WHERE id = left_ref) = (SELECT sha256 FROM artifact WHERE id = right_ref)
        WHEN left_ref IS NOT NULL OR right_ref IS NOT NULL THEN false
        ELSE left_output IS NOT DISTINCT FROM right_output END AS is_output_same
    FROM both_sides b
""")


def compare_runs(session: Session, left: uuid.UUID, right: uuid.UUID) -> RunComparison:
    """Return the runs *left* and *right* side by side, whatever their workflows and versions.

    Raises:
        NotFoundError: If one of them does not exist.
    """
    one, other = _head(session, left), _head(session, right)
    rows = session.execute(
        _NODES,
        {
            "left": left,
            "right": right,
            "left_created": one.row.created_at,
            "right_created": other.row.created_at,
            "most": MOST_NODES,
        },
    ).all()
    have_completed = one.row.status == "completed" == other.row.status
    changes = [change for change, _ in zip(_changes(one.params, other.params, ""), range(MOST_CHANGES), strict=False)]
    return RunComparison(
        left=one.row,
        right=other.row,
        params=changes,
        is_output_same=one.output == other.output if have_completed else None,
        delta_s=_delta(_took(one.row), _took(other.row)),
        nodes=[_node(row._mapping) for row in rows],  # noqa: SLF001 - SQLAlchemy's public name
        left_out=rows[0].nodes - len(rows) if rows else 0,
    )


def _head(session: Session, run_id: uuid.UUID) -> RunDetail:
    found = run_head(session, run_id)
    if found is None:
        raise NotFoundError(f"There is no run {run_id}, so nothing was compared; it may be older than what is kept.")
    return found


def _took(row: RunRow) -> float | None:
    return row.duration_s if row.finished_at is not None else None


def _delta(left_s: float | None, right_s: float | None) -> float | None:
    return None if left_s is None or right_s is None else right_s - left_s


def _node(row: Mapping[Any, Any]) -> NodeComparison:
    sides = [
        NodeSide(
            row[f"{side}_status"],
            row[f"{side}_s"],
            row[f"{side}_attempt"],
            row[f"{side}_hit"],
            row[f"{side}_error"],
        )
        if row[f"{side}_status"] is not None
        else None
        for side in ("left", "right")
    ]
    return NodeComparison(
        node_id=row["node_id"],
        map_index=row["map_index"],
        left=sides[0],
        right=sides[1],
        delta_s=_delta(row["left_s"], row["right_s"]),
        is_output_same=row["is_output_same"],
    )


def _changes(left: Any, right: Any, path: str) -> Iterator[ValueChange]:
    """Yield where two JSON values differ, as deep as both have the same shape."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            inner = f"{path}.{key}" if path else str(key)
            yield from _changes(left.get(key, _ABSENT), right.get(key, _ABSENT), inner)
    elif isinstance(left, list) and isinstance(right, list):
        for place in range(max(len(left), len(right))):
            one, other = (side[place] if place < len(side) else _ABSENT for side in (left, right))
            yield from _changes(one, other, f"{path}[{place}]")
    elif left is _ABSENT or right is _ABSENT or left != right or type(left) is not type(right):
        is_in_left, is_in_right = left is not _ABSENT, right is not _ABSENT
        yield ValueChange(
            path,
            left if is_in_left else None,
            right if is_in_right else None,
            is_in_left=is_in_left,
            is_in_right=is_in_right,
        )
