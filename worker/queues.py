"""How full the queues are, read without side effects.

RQ's own readers clean registries up while they count: a page that looked would fail running jobs. These do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from rq import Queue
from rq.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.utils import utcparse

from analytics.core.clock import utc_now
from analytics.live.client import redis_errors
from worker.catalog import QueueName

SERIALIZER = "json"


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue at one moment."""

    name: str
    waiting: int
    started: int
    failed: int
    scheduled: int
    oldest_age_s: float | None
    """How long the oldest waiting job has waited; None when none waits or its record is gone."""


def queue_depths(client: redis.Redis, names: Sequence[str] = tuple(QueueName)) -> list[QueueDepth]:
    """Return the depth of each queue, in the order of *names*.

    Raises:
        DependencyError: If Redis does not answer.
    """
    with redis_errors("the queues were read"):
        queues = [Queue(name, connection=client, serializer=SERIALIZER) for name in names]
        with client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.llen(queue.key)
                pipeline.lindex(queue.key, 0)
                pipeline.zcard(_registry_key(StartedJobRegistry, queue))
                pipeline.zcard(_registry_key(FailedJobRegistry, queue))
                pipeline.zcard(_registry_key(ScheduledJobRegistry, queue))
            answers = pipeline.execute()
        rows = [answers[place : place + 5] for place in range(0, len(answers), 5)]
        enqueued = [_enqueued_at(client, queue, row[1]) for queue, row in zip(queues, rows, strict=True)]
    return [
        QueueDepth(
            name=str(queue.name),
            waiting=row[0],
            started=row[2],
            failed=row[3],
            scheduled=row[4],
            oldest_age_s=age,
        )
        for queue, row, age in zip(queues, rows, enqueued, strict=True)
    ]


def _registry_key(registry: Any, queue: Any) -> str:
    return str(registry(queue=queue).key)


def _enqueued_at(client: redis.Redis, queue: Any, job_id: bytes | None) -> float | None:
    if job_id is None:
        return None
    value: Any = client.hget(queue.job_class.key_for(job_id.decode()), "enqueued_at")
    if not value:
        return None
    return max(0.0, (utc_now() - utcparse(value.decode())).total_seconds())
