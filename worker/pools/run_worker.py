"""The run worker: RQ's loop takes wake tokens, the host claims a run for each and carries it.

A token's job ends as soon as its run is claimed: from then on the lease in PostgreSQL guards the run, not RQ. That is
why fifty runs cost RQ neither fifty processes nor fifty heartbeats. A token is taken only when a slot is free, so that
a full worker leaves it to another; with it go as many more as one claim can answer, which RQ need not carry one by one.
Tokens make the start fast; without Redis the host still looks every few seconds.
"""

import gc
import time
import uuid
from contextlib import suppress
from typing import Any

from redis import RedisError
from rq.exceptions import StopRequested
from rq.job import Job

from analytics.core.errors import DependencyError
from analytics.core.settings import Settings
from worker.catalog import QueueName
from worker.jobs import runs
from worker.pools.host import CLAIM_BATCH, RunHost
from worker.pools.process import WorkerProcess, worker_process
from worker.pools.rq_worker import OneQueueWorker, work_until_stopped
from worker.workflow.retries import Backoff

DRAIN_S = 5.0
_SLOT_WAIT_S = 5.0


class RunWorker(OneQueueWorker):
    """Takes a token when there is a slot for the run it stands for."""

    def __init__(self, process: WorkerProcess, host: RunHost) -> None:
        super().__init__(QueueName.RUNS, process.redis, name=process.name, stop=process.stop)
        self._host = host

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """Wait for a slot, then for a token."""
        while not self._host.wait_for_slot(_SLOT_WAIT_S):
            if self._stop_event.is_set():
                raise StopRequested
            self.heartbeat()
        found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        if found is not None:
            self._take_more(min(self._host.slots_free, CLAIM_BATCH) - 1)
        return found

    def _take_more(self, tokens: int) -> None:
        """Take up to *tokens* from the queue that the claim for the present one answers too."""
        if tokens > 0:
            with suppress(RedisError):  # The token at hand is enough.
                taken: Any = self.connection.lpop(self.queues[0].key, tokens)
                if taken:
                    self.connection.delete(*(Job.key_for(job_id.decode()) for job_id in taken))


def run_worker(settings: Settings, *, backoff: Backoff | None = None) -> None:
    """Carry runs until SIGTERM; then let them end for a few seconds and give the others back."""
    with worker_process("run", settings, slots=settings.worker.run_slots) as process:
        host = RunHost(process, backoff=backoff)
        process.slots_used = lambda: host.slots_used
        host.start()
        runs.bind(lambda: _claim(process, host))
        gc.collect()
        gc.freeze()  # What lives as long as the process need not be looked at again.
        try:
            work_until_stopped(process, lambda: RunWorker(process, host))
        finally:
            host.close(drain_s=DRAIN_S)


def _claim(process: WorkerProcess, host: RunHost) -> uuid.UUID | None:
    """Claim a run for a token; hold the token while PostgreSQL is away."""
    wait_s = 0.1
    while True:
        try:
            return host.claim_one()
        except DependencyError:
            if process.stop.is_set():
                raise
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, 2.0)
