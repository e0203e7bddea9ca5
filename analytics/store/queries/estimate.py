"""When a run will have ended: medians of earlier runs along the longest path that is still to go."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

MOST_RUNS = 50
_FEWEST_RUNS = 3
_MOST_ROWS = 50_000
_DEFAULT_PARALLEL = 64
_OVER = frozenset({"completed", "failed", "skipped", "cancelled"})
_UNDER_WAY = frozenset({"running", "waiting", "needs_attention"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run still takes, from what its nodes took in earlier runs of the workflow."""

    remaining_s: float | None
    """Seconds of work along the longest path still to go, 0 or more; at least so many when there are
    ``unknown_nodes``; None when nothing is known of any of its nodes."""
    finish_at: datetime | None
    """When it ends if it is not held up; None when that is not known or the run is not at work."""
    samples: int
    """Completed runs of the workflow that were looked at, at most 50."""
    unknown_nodes: Sequence[str]
    """Nodes to go that no run has completed before, and for which the definition says nothing."""
    path: Sequence[str]
    """The nodes of that longest path, in order."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A node of the definition with what is left of it."""

    id: str
    needs: Sequence[str]
    left_s: float
    """0 also when it is not known."""
    is_known: bool
    is_over: bool


_RUN = text("""
    SELECT r.created_at, r.workflow_id, r.status, r.use_cache, v.spec, clock_timestamp() AS now
    FROM run r LEFT JOIN workflow_version v ON v.workflow_id = r.workflow_id AND v.version = r.version
    WHERE r.id = :id AND r.status NOT IN ('completed', 'failed', 'cancelled')
""")
_MEDIANS = text("""
    WITH earlier AS (
        SELECT id, created_at FROM run WHERE workflow_id = :workflow_id AND status = 'completed'
        ORDER BY created_at DESC, id DESC LIMIT :runs
    )
    SELECT n.node_id, n.kind,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM n.finished_at - n.started_at)::float8)
            AS median_s,
        (SELECT count(*) FROM earlier) AS runs
    FROM earlier e JOIN node_run n ON n.run_id = e.id AND n.run_created_at = e.created_at
    WHERE n.map_index = -1 AND n.status = 'completed' AND n.finished_at IS NOT NULL AND n.started_at IS NOT NULL
        AND (:use_cache OR NOT n.cache_hit) AND strpos(n.node_id, '/') = 0
    GROUP BY n.node_id, n.kind
""")
_PRESENT = text("""
    SELECT n.node_id, n.status, n.started_at, x.until FROM node_run n
    LEFT JOIN node_wait x ON x.run_id = n.run_id AND x.node_id = n.node_id AND x.map_index = n.map_index
        AND x.kind = 'time' AND x.resolved_at IS NULL
    WHERE n.run_id = :id AND n.run_created_at = :created_at AND n.map_index = -1 AND strpos(n.node_id, '/') = 0
""")


def estimate(session: Session, run_id: uuid.UUID) -> Estimate | None:
    """Return how long the run still takes, or None when there is no such run or it has ended.

    A node takes the median of what it took, under the same id and kind, in the newest completed runs of the workflow;
    before there are any, what the definition estimates. What has run for a while takes that much less. No run is
    quicker than all its work divided by ``max_parallel``.
    """
    run = session.execute(_RUN, {"id": run_id}).one_or_none()
    if run is None:
        return None
    spec: Mapping[str, Any] = run.spec or {}
    nodes: Sequence[Mapping[str, Any]] = spec.get("nodes", [])
    runs = max(_FEWEST_RUNS, min(MOST_RUNS, _MOST_ROWS // max(1, len(nodes))))
    rows = session.execute(_MEDIANS, {"workflow_id": run.workflow_id, "runs": runs, "use_cache": run.use_cache}).all()
    typical = {(row.node_id, row.kind): float(row.median_s) for row in rows}
    present = {row[0]: row for row in session.execute(_PRESENT, {"id": run_id, "created_at": run.created_at}).all()}
    steps = [_step(node, typical, present, run.now) for node in nodes]
    path, longest_s = _longest_path(steps)
    unknown = [step.id for step in steps if not step.is_known and not step.is_over]
    is_known = len(unknown) < sum(not step.is_over for step in steps) or all(step.is_over for step in steps)
    shared_s = sum(step.left_s for step in steps) / int(spec.get("max_parallel") or _DEFAULT_PARALLEL)
    remaining_s = max(longest_s, shared_s) if is_known else None
    can_tell = remaining_s is not None and run.status == "running"
    return Estimate(
        remaining_s=remaining_s,
        finish_at=run.now + timedelta(seconds=remaining_s or 0.0) if can_tell else None,
        samples=rows[0].runs if rows else 0,
        unknown_nodes=unknown,
        path=path,
    )


def _step(
    node: Mapping[str, Any],
    typical: Mapping[tuple[str, str], float],
    present: Mapping[str, Row[Any]],
    now: datetime,
) -> _Step:
    needs = [str(need).split(".", 1)[0] for need in node.get("needs", ())]
    row = present.get(node["id"])
    if row is not None and row.status in _OVER:
        return _Step(node["id"], needs, 0.0, is_known=True, is_over=True)
    if row is not None and row.until is not None:
        left_s = max(0.0, (row.until - now).total_seconds())
        return _Step(node["id"], needs, left_s, is_known=True, is_over=False)
    takes_s = typical.get((node["id"], node["kind"]), node.get("estimated_duration_s"))
    if takes_s is None:
        return _Step(node["id"], needs, 0.0, is_known=False, is_over=False)
    if row is not None and row.status in _UNDER_WAY and row.started_at is not None:
        takes_s = max(0.0, takes_s - (now - row.started_at).total_seconds())
    return _Step(node["id"], needs, float(takes_s), is_known=True, is_over=False)


def _longest_path(steps: Sequence[_Step]) -> tuple[list[str], float]:
    """Return the path through what is not over that takes longest, and its seconds; an empty one takes none."""
    by_id = {step.id: step for step in steps}
    waits_for = {step.id: [need for need in step.needs if need in by_id] for step in steps}
    after: dict[str, list[str]] = {step.id: [] for step in steps}
    for step_id, needs in waits_for.items():
        for need in needs:
            after[need].append(step_id)
    open_needs = {step_id: len(needs) for step_id, needs in waits_for.items()}
    ready = [step_id for step_id, count in open_needs.items() if count == 0]
    best: dict[str, tuple[float, str | None]] = {}
    for step_id in ready:  # grows while it is read
        # Of two paths that take as long, the one whose last node is still to go.
        before = max(waits_for[step_id], key=lambda need: (best[need][0], not by_id[need].is_over), default=None)
        best[step_id] = ((best[before][0] if before is not None else 0.0) + by_id[step_id].left_s, before)
        for later in after[step_id]:
            open_needs[later] -= 1
            if open_needs[later] == 0:
                ready.append(later)
    last = max(best, key=lambda step_id: best[step_id][0], default=None)
    longest_s = best[last][0] if last is not None else 0.0
    path: list[str] = []
    while last is not None:
        if not by_id[last].is_over:
            path.append(last)
        last = best[last][1]
    return path[::-1], longest_s
