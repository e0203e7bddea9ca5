"""What is written down about runs and nodes, and what a worker holds of a run it has claimed."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.workflow.definition import Definition


class RunLostError(BaseException):
    """Another worker holds the run now; nothing of ours is kept.

    Like a cancellation it ends the work, so it is none of the errors that work may handle.
    """


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the database has it when a run is resumed."""

    status: str
    attempt: int
    output: Any
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run this worker holds until its lease ends or its epoch grows."""

    id: uuid.UUID
    created_at: datetime
    epoch: int
    workflow_id: uuid.UUID
    version: int
    definition: Definition
    params: Mapping[str, Any]
    attempt: int
    """How often it was claimed, this time included."""
    correlation_id: str | None
    cancel_requested: bool
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    """What earlier claims have left, by node id."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node's state, to be stored if the run is still ours."""

    run_id: uuid.UUID
    run_created_at: datetime
    epoch: int
    node_id: str
    kind: str
    status: str
    attempt: int
    executor: str | None
    started_at: datetime | None
    finished_at: datetime | None = None
    output: str | None = None
    """JSON text."""
    error: str | None = None
    """JSON text."""
    map_index: int = -1


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's end, to be stored if the run is still ours."""

    run_id: uuid.UUID
    run_created_at: datetime
    epoch: int
    status: str
    output: str | None
    error: str | None
    counts: str | None = None
    """JSON text: how many nodes ended in each status."""
