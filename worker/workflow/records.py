"""What is written down about runs and nodes, and what a worker holds of a run it has claimed."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.workflow.artifacts import ArtifactRow

if TYPE_CHECKING:
    from worker.workflow.scopes import Plan

Place = tuple[str, int]
"""A node of a run: the path of its id, and its place in the innermost loop, -1 outside loops."""


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
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitState:
    """What a parked node waits for, as the database has it."""

    kind: str
    created_at: datetime
    until: datetime | None
    is_due: bool
    """``until`` has passed, by the database's clock."""
    outcome: str | None
    """None: it is not resolved."""
    resolved_by: str | None
    resolved_at: datetime | None
    data: Any
    child_run_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run this worker holds until its lease ends or its epoch grows."""

    id: uuid.UUID
    created_at: datetime
    epoch: int
    workflow_id: uuid.UUID
    version: int
    plan: "Plan"
    params: Mapping[str, Any]
    attempt: int
    """How often it was claimed, this time included."""
    correlation_id: str | None
    cancel_requested: bool
    pause_requested: bool = False
    use_cache: bool = True
    age: timedelta = timedelta(0)
    """Since it was first started."""
    parent_run_id: uuid.UUID | None = None
    concurrency_key: str | None = None
    nodes: Mapping[Place, NodeState] = field(default_factory=dict)
    """What earlier claims, or the run this one repeats, have left."""
    waits: Mapping[Place, WaitState] = field(default_factory=dict)


class NodeRecord(NamedTuple):
    """A node's state, to be stored if the run is still ours."""

    run_id: uuid.UUID
    run_created_at: datetime
    epoch: int
    node_id: str
    map_index: int
    kind: str
    status: str
    attempt: int
    executor: str | None = None
    ready_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: str | None = None
    """JSON text."""
    output_ref: uuid.UUID | None = None
    error: str | None = None
    """JSON text."""
    cache_hit: bool = False
    cache_key: bytes | None = None
    log_lines: int = 0


class AttemptRecord(NamedTuple):
    """A failed attempt that another follows."""

    node_id: str
    map_index: int
    attempt: int
    executor: str
    started_at: datetime
    finished_at: datetime
    error: str
    """JSON text."""


class WaitRecord(NamedTuple):
    """What a node that is parked waits for."""

    node_id: str
    map_index: int
    kind: str
    name: str | None = None
    title: str | None = None
    message: str | None = None
    form: str | None = None
    """JSON text."""
    role: str | None = None
    for_s: float | None = None
    """Seconds until its end or deadline, from the commit; None when ``until`` says it, or there is none."""
    until: datetime | None = None


class EventRecord(NamedTuple):
    """Something that happened to a run, for its history."""

    kind: str
    node_id: str | None
    map_index: int | None
    data: str
    """JSON text."""


class WaitEnd(NamedTuple):
    """The engine itself resolves a wait: its time has come."""

    node_id: str
    map_index: int
    outcome: str


class RunRecord(NamedTuple):
    """A run's end."""

    status: str
    output: str | None
    """JSON text."""
    error: str | None
    """JSON text."""
    counts: str
    """JSON text: how many nodes ended in each status, without those inside loops."""


class ParkRecord(NamedTuple):
    """Nothing of the run can go on now: its slot is given up."""

    status: str
    """``waiting``, ``needs_attention`` or ``paused``."""
    timeout_in_s: float | None = None
    """Seconds until the whole run has taken too long; None: it may take for ever."""


@dataclass(slots=True)
class Change:
    """What is stored about one run in one commit, if the run is still ours."""

    run_id: uuid.UUID
    run_created_at: datetime
    epoch: int
    nodes: Sequence[NodeRecord] = ()
    attempts: Sequence[AttemptRecord] = ()
    artifacts: Sequence[ArtifactRow] = ()
    waits: Sequence[WaitRecord] = ()
    wait_ends: Sequence[WaitEnd] = ()
    events: Sequence[EventRecord] = ()
    end: RunRecord | None = None
    park: ParkRecord | None = None
    has_waits: bool = False
    """The run may have open waits, which its end closes."""
    has_parent: bool = False
    """A run waits for this one's end."""
    concurrency_key: str | None = None
    then: Callable[["Outcome"], None] | None = None
    """Called once, on the event loop, when it is settled."""


class Outcome(NamedTuple):
    """What became of a change."""

    kept: bool
    """False: the run is no longer ours, or PostgreSQL refuses it; nothing was stored."""
    refusal: str | None = None
    """Why PostgreSQL refuses it."""
    parked_as: str | None = None
    """The run's status after parking: ``queued`` when there is something to do already."""
