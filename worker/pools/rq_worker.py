"""RQ's worker as we run it: one queue, in this thread, settings that notice a crash within a minute.

RQ's defaults look for lost jobs every ten minutes and every 405 seconds when idle; and its loop ends the process when
Redis goes away. Here the loop returns, and :func:`worker.pools.process.keep_trying` begins it again.
"""

import threading
from types import FrameType
from typing import Any

from redis import Redis, RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested

from analytics.core.errors import DependencyError
from analytics.core.ids import new_id
from analytics.core.logging import get_logger
from worker.catalog import QueueName
from worker.pools.process import WorkerProcess, keep_trying
from worker.queues import SERIALIZER

WORKER_TTL_S = 30
HEARTBEAT_TTL_S = 15


class OneQueueWorker(SimpleWorker):
    """A worker on one queue that stops when asked, between jobs or while it waits for one."""

    max_connection_wait_time = 1.0

    def __init__(self, queue: QueueName, client: Redis, *, name: str, stop: threading.Event) -> None:
        super().__init__(
            [str(queue)],
            name=f"{name}.{new_id().hex[-8:]}",
            connection=client,
            worker_ttl=WORKER_TTL_S,
            job_monitoring_interval=5,
            maintenance_interval=10,
            serializer=SERIALIZER,
            log_job_description=False,
        )
        self._stop_event = stop
        self._may_interrupt = False

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """Wait for a job; a request to stop ends the wait."""
        if self._stop_event.is_set():
            raise StopRequested
        self._may_interrupt = True
        try:
            if self._stop_event.is_set():
                raise StopRequested
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        finally:
            self._may_interrupt = False

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that the worker lives, in one round trip where RQ takes three; while it waits, also hear of the end."""
        if self._may_interrupt and self._stop_event.is_set():
            raise StopRequested
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)
            return
        with self.connection.pipeline(transaction=False) as own:
            super().heartbeat(timeout, own)
            own.execute()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the present job, or now when there is none."""
        del signum, frame
        self._stop_event.set()
        self._stop_requested = True
        self.stopping()
        if self._may_interrupt:
            raise StopRequested

    def stopping(self) -> None:
        """Hear that the worker shall stop while a job may be under way."""

    def get_heartbeat_ttl(self, job: Any, working_time: float = 0.0) -> int:
        """Return how long a job's heartbeat lasts; seconds."""
        del job, working_time
        return HEARTBEAT_TTL_S


def work_until_stopped(process: WorkerProcess, make: Any) -> None:
    """Let workers from *make* work, a new one after each loss of Redis, until the process shall stop."""

    def work() -> None:
        try:
            worker: OneQueueWorker = make()
            worker.work(logging_level="WARNING")
        except RedisError as error:
            raise DependencyError(f"Redis is away: {error}", part="redis") from error
        except StopRequested:
            process.stop.set()

    keep_trying(process, work)
    get_logger(__name__).info("queue left", worker=process.name)
