"""The jobs that exist: where each is, on which queue, how long it may take. Light to import; imports no job."""

import enum
from dataclasses import dataclass
from datetime import timedelta


class QueueName(enum.StrEnum):
    """The queues. A worker process listens on exactly one: RQ loses jobs when one listens on several."""

    RUNS = "runs"
    """Wake tokens: there is a run to claim."""
    MODELS = "models"
    """Nodes that run in a killable child process: OCR and other heavy work."""
    UPKEEP = "upkeep"
    """What the scheduler process does on demand."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job: a function named by path, with the queue it goes to."""

    path: str
    queue: QueueName
    timeout: timedelta
    """RQ stops the job after this; node jobs bring their own."""
    retries: int = 0
    """How often it is repeated at once after an error that may pass."""
    result_ttl: timedelta = timedelta(minutes=5)
    """How long its record is kept. Never zero: that costs RQ more round trips than it saves."""
    failure_ttl: timedelta = timedelta(days=1)

    @property
    def name(self) -> str:
        """Return the function's name, the label of its metrics."""
        return self.path.rpartition(".")[2]


WAKE = JobSpec("worker.jobs.runs.wake", QueueName.RUNS, timeout=timedelta(minutes=10), result_ttl=timedelta(seconds=10))
RUN_NODE = JobSpec("worker.jobs.nodes.run_node", QueueName.MODELS, timeout=timedelta(hours=25))
REFRESH_MCP = JobSpec("worker.jobs.upkeep.refresh_mcp", QueueName.UPKEEP, timeout=timedelta(minutes=2), retries=1)

JOBS: tuple[JobSpec, ...] = (WAKE, RUN_NODE, REFRESH_MCP)


@dataclass(frozen=True, slots=True)
class SampleDocument:
    """A document that Helmsight ships, to try OCR with."""

    name: str
    content: bytes
    text: str
    """What is on it, line by line."""


def sample_document() -> SampleDocument:
    """Return the picture that Helmsight ships, with the text that is on it."""
    from worker.ocr.sample import SAMPLE_NAME, SAMPLE_TEXT, sample_image_path  # noqa: PLC0415 - rarely needed

    return SampleDocument(name=SAMPLE_NAME, content=sample_image_path().read_bytes(), text=SAMPLE_TEXT)
