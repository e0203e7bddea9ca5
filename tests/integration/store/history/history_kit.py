"""Rows of runs for tests of queries: written as they stand in the tables, without an engine."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.ids import new_id
from analytics.store.tables import ActiveRun, NodeRun, Run, RunEnded, Workflow, WorkflowVersion

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
ENDED = ("completed", "failed", "cancelled")


def workflow(session: Session, name: str, *nodes: dict[str, Any], **spec: Any) -> uuid.UUID:
    """Store a workflow with one version."""
    found = Workflow(id=new_id(), name=name, current_version=1)
    session.add(found)
    session.flush()
    session.add(
        WorkflowVersion(
            workflow_id=found.id, version=1, spec={"name": name, "nodes": list(nodes), **spec}, spec_hash="-"
        )
    )
    session.flush()
    return found.id


def step(node_id: str, *needs: str, kind: str = "transform", **more: Any) -> dict[str, Any]:
    return {"id": node_id, "kind": kind, "needs": list(needs), **more}


def run(
    session: Session,
    workflow_id: uuid.UUID,
    *,
    status: str = "completed",
    at: datetime | None = None,
    took_s: float = 1.0,
    waited_s: float = 0.5,
    outbox: bool = False,
    **columns: Any,
) -> uuid.UUID:
    """Store a run; one that has not ended stands in the queue's table as well."""
    at = at or utc_now() - MINUTE
    started = None if status == "queued" else at + waited_s * SECOND
    values = {
        "id": new_id(),
        "created_at": at,
        "queued_at": at,
        "started_at": started,
        "finished_at": started + took_s * SECOND if status in ENDED and started else None,
        "attempt": 0 if status == "queued" else 1,
        **columns,
    }
    session.execute(insert(Run).values(workflow_id=workflow_id, version=1, status=status, **values))
    if status not in ENDED:
        session.execute(
            insert(ActiveRun).values(
                run_id=values["id"],
                run_created_at=at,
                workflow_id=workflow_id,
                status=status,
                queued_at=at,
                rank=at,
                priority=values.get("priority", 0),
            )
        )
    if outbox:
        session.execute(insert(RunEnded).values(run_id=values["id"], run_created_at=at))
    return values["id"]


def created(session: Session, run_id: uuid.UUID) -> datetime:
    found = session.scalar(text("SELECT created_at FROM run WHERE id = :id"), {"id": run_id})
    assert found is not None
    return found.astimezone(UTC)


def node(
    session: Session,
    run_id: uuid.UUID,
    node_id: str,
    *,
    status: str = "completed",
    began_s: float | None = 0.0,
    took_s: float | None = 1.0,
    kind: str = "transform",
    **columns: Any,
) -> None:
    """Store a node; its times are seconds after the run was created."""
    at = created(session, run_id)
    start = None if began_s is None else at + began_s * SECOND
    values = {
        "started_at": start,
        "finished_at": None if start is None or took_s is None else start + took_s * SECOND,
        "ready_at": start,
        **columns,
    }
    session.execute(
        insert(NodeRun).values(run_id=run_id, run_created_at=at, node_id=node_id, kind=kind, status=status, **values)
    )


def rows(session: Session, table: type[Any], *values: dict[str, Any]) -> None:
    session.execute(insert(table), list(values))


def ids(found: Sequence[Any]) -> list[uuid.UUID]:
    return [item.id for item in found]
