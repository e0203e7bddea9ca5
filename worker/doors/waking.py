"""Jobs onto RQ's queues, and wake tokens for runs that are committed.

A token says only "there is work". When Redis is away the run stays queued and the reconciler sends a token later.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError
from sqlalchemy import Engine, text

from analytics.core.errors import DependencyError
from analytics.core.logging import correlation_id, get_logger
from analytics.live.client import redis_errors
from analytics.store.engine import session_scope
from worker.catalog import WAKE, JobSpec
from worker.queues import SERIALIZER

_QUIET_S = 2.0
"""After Redis refused a token nobody asks it again for this long."""

_log = get_logger(__name__)


def enqueue(
    client: redis.Redis,
    spec: JobSpec,
    arguments: Mapping[str, Any],
    *,
    job_id: str,
    correlation: str | None = None,
    timeout_s: float | None = None,
) -> bool:
    """Put the job *spec* on its queue; *arguments* are its keyword arguments, JSON values.

    Returns:
        False when a job of that id is known already, also for a while after it ended.

    Raises:
        DependencyError: If Redis does not take it.
    """
    queue = Queue(str(spec.queue), connection=client, serializer=SERIALIZER)
    with redis_errors("a job was queued"):
        try:
            queue.enqueue(
                spec.path,
                kwargs=dict(arguments),
                job_id=job_id,
                unique=True,
                job_timeout=int(timeout_s if timeout_s is not None else spec.timeout.total_seconds()),
                result_ttl=int(spec.result_ttl.total_seconds()),
                failure_ttl=int(spec.failure_ttl.total_seconds()),
                retry=Retry(max=spec.retries) if spec.retries else None,
                meta={"correlation_id": correlation or correlation_id()},
                description=job_id,
            )
        except DuplicateJobError:
            return False
    return True


def send_wake(client: redis.Redis, run_id: uuid.UUID, epoch: int, *, correlation: str | None, again: bool) -> None:
    """Send a token for a queued run; *again* when an earlier one got lost but its record may still be there."""
    job_id = f"run-{run_id}-e{epoch}"
    sent = enqueue(client, WAKE, {"run_id": str(run_id)}, job_id=job_id, correlation=correlation)
    if not sent and again:
        fresh = f"{job_id}-{time.time_ns() // 1_000_000}"
        enqueue(client, WAKE, {"run_id": str(run_id)}, job_id=fresh, correlation=correlation)


class Waker:
    """Sends tokens for runs that were just committed; safe to share between threads."""

    def __init__(self, engine: Engine, client: redis.Redis | None) -> None:
        self._engine = engine
        self._client = client
        self._quiet_until = 0.0

    def wake(self, run_ids: Sequence[uuid.UUID], *, again: bool = False) -> bool:
        """Send a token for each of *run_ids*; tell whether Redis took them all.

        What it did not take is marked, so that the reconciler sends it as soon as Redis is back.
        """
        for place, run_id in enumerate(run_ids):
            if not self._send(run_id, again=again):
                self._mark(run_ids[place:])
                return False
        return True

    def _send(self, run_id: uuid.UUID, *, again: bool) -> bool:
        if self._client is None or time.monotonic() < self._quiet_until:
            return False
        try:
            send_wake(self._client, run_id, 0, correlation=correlation_id(), again=again)
        except DependencyError as error:
            self._quiet_until = time.monotonic() + _QUIET_S
            _log.warning("wake token not sent", run_id=str(run_id), error=error.message)
            return False
        return True

    def _mark(self, run_ids: Sequence[uuid.UUID]) -> None:
        with session_scope(self._engine) as session:
            session.execute(
                text("UPDATE run_active SET token_at = NULL WHERE run_id = ANY(:ids) AND status = 'queued'"),
                {"ids": list(run_ids)},
            )
