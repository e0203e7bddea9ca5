"""The queue: its figures and what is wrong with it; columns of the backlog, workers, waits and dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analytics.store.queries.queue import DeadLetter, QueuedRow, QueueState, WaitRow, WorkerRow
from dashboard import formats
from dashboard.components import approvals
from dashboard.components.status import Look
from dashboard.components.tables import Column
from worker.queues import QueueDepth

_ALIVE = Look("Alive", ":material/check_circle:", "green")
_SILENT = Look("Silent", ":material/cloud_off:", "red")
_STOPPED = Look("Stopped", ":material/stop_circle:", "gray")


def worker_look(worker: WorkerRow) -> Look:
    """Return how a worker is: alive, stopped as asked, or silent without having said goodbye."""
    if worker.is_alive:
        return _ALIVE
    return _STOPPED if worker.stopped_at is not None else _SILENT


@dataclass(frozen=True, slots=True)
class Slots:
    """How many runs the workers that are alive can execute at once, and how many they do."""

    total: int
    used: int
    alive: int
    """Worker processes of any kind."""


def slots_of(workers: Sequence[WorkerRow]) -> Slots:
    """Return the slots of the run workers among *workers* that are alive."""
    alive = [worker for worker in workers if worker.is_alive]
    at_runs = [worker for worker in alive if worker.kind == "run"]
    return Slots(sum(w.slots for w in at_runs), sum(w.slots_used for w in at_runs), len(alive))


def advice(state: QueueState, slots: Slots) -> tuple[Literal["error", "warning"], str] | None:
    """Return what keeps runs from moving and what to do about it, or None when nothing does."""
    if not slots.total:
        kept = "Runs are kept and begin when one starts; `helmsight worker` starts one."
        return ("error" if state.queued else "warning"), f"**No run worker is alive.** {kept}"
    if state.queued and slots.used >= slots.total:
        return "warning", "All slots are in use; runs wait. Start another worker."
    return None


def _look_of_wait(wait: WaitRow) -> Look:
    match wait.kind:
        case "approval":
            return Look("Approval", ":material/approval:", "violet")
        case "attention":
            return Look("Attention", ":material/front_hand:", "orange")
        case _:
            return Look("Signal", ":material/sensors:", "blue")


WAIT_COLUMNS: list[Column[WaitRow]] = [
    Column("Asks for", approvals.title_of),
    Column("Kind", _look_of_wait, "state"),
    Column("Workflow", lambda wait: wait.workflow_name),
    Column("Step", approvals.place_of),
    Column("Needs", lambda wait: approvals.role_of(wait).label, width="small", help="The least role that may do it."),
    Column("Waits since", lambda wait: wait.created_at, "moment"),
    Column("Deadline", lambda wait: wait.deadline, "moment"),
]

BACKLOG_COLUMNS: list[Column[QueuedRow]] = [
    Column("Workflow", lambda row: row.workflow_name),
    Column("Place", lambda row: row.position, "number", width="small"),
    Column("Waits", lambda row: formats.duration(round(row.waited_s)), width="small"),
    Column("Priority", lambda row: row.priority, "number", width="small", help="Higher starts earlier; runs age, too."),
    Column("Queued", lambda row: row.queued_at, "moment"),
    Column(
        "Held back by",
        lambda row: row.concurrency_key if row.is_held_back else None,
        help="Its concurrency key has no place free, so that others overtake it.",
    ),
    Column("Tags", lambda row: ", ".join(row.tags) or None, width="small"),
    Column("By", lambda row: row.requested_by),
    Column("Origin", lambda row: row.trigger, width="small"),
]

DEAD_COLUMNS: list[Column[DeadLetter]] = [
    Column("Workflow", lambda row: row.workflow_name),
    Column("Given up", lambda row: row.finished_at, "moment"),
    Column("Claims", lambda row: row.attempt, "number", width="small", help="How often a worker took it and died."),
    Column("Steps under way", lambda row: ", ".join(row.suspects) or None, help="When the last worker died."),
    Column("By", lambda row: row.requested_by),
    Column("Why", lambda row: row.message, width="large"),
]

WORKER_COLUMNS: list[Column[WorkerRow]] = [
    Column("Worker", lambda worker: worker.name),
    Column("State", worker_look, "state"),
    Column("Kind", lambda worker: worker.kind, width="small"),
    Column("Slots", lambda worker: f"{worker.slots_used} of {worker.slots}", width="small"),
    Column("Host", lambda worker: worker.host, width="small"),
    Column("Process", lambda worker: str(worker.pid), width="small"),
    Column("Started", lambda worker: worker.started_at, "moment"),
    Column("Seen", lambda worker: worker.seen_at, "moment"),
]

QUEUE_COLUMNS: list[Column[QueueDepth]] = [
    Column("Queue", lambda depth: depth.name),
    Column("Waiting", lambda depth: depth.waiting, "number"),
    Column("Started", lambda depth: depth.started, "number"),
    Column("Scheduled", lambda depth: depth.scheduled, "number"),
    Column("Failed jobs", lambda depth: depth.failed, "number"),
    Column("Oldest waits", lambda depth: formats.duration(depth.oldest_age_s) if depth.waiting else formats.DASH),
]
