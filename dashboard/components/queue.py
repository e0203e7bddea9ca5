"""Workers and queues: the columns of their tables."""

from analytics.store.queries.runs import WorkerRow
from dashboard import formats
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


WORKER_COLUMNS: list[Column[WorkerRow]] = [
    Column("Worker", lambda worker: worker.name),
    Column("State", worker_look, "state", width="small"),
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
