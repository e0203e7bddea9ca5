"""What tasks are doing now, which are active, and what each of their iterations came to.

Keys share one hash slot, as those of agents do; an index set names the active tasks. All of it runs out a day after
its last change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import redis

from analytics.core.errors import InputError
from analytics.live.client import redis_errors

TASK_TTL = timedelta(days=1)
ACTIVE = ("queued", "running", "waiting")
ENDED = ("completed", "failed", "cancelled")

_SLOT = "{helmsight:task}"
_INDEX = f"{_SLOT}:active"
_STATE = f"{_SLOT}:state:"
_RESULTS = f"{_SLOT}:results:"

# KEYS: active index, state, results. ARGV: id, body, 1 if active, seconds to live.
_SET = """
local clock = redis.call('TIME')
local record = clock[1] .. string.format('%06d', tonumber(clock[2])) .. ' ' .. ARGV[2]
redis.call('SET', KEYS[2], record, 'EX', ARGV[4])
if ARGV[3] == '1' then redis.call('SADD', KEYS[1], ARGV[1]) else redis.call('SREM', KEYS[1], ARGV[1]) end
redis.call('EXPIRE', KEYS[3], ARGV[4])
return record
"""

# KEYS: active index. ARGV: prefix of the states. Tasks whose state has run out leave the index.
_READ_ACTIVE = """
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local record = redis.call('GET', ARGV[1] .. id)
  if record then
    found[#found + 1] = id
    found[#found + 1] = record
  else
    redis.call('SREM', KEYS[1], id)
  end
end
return found
"""


@dataclass(frozen=True, slots=True)
class TaskState:
    """What one task was doing at one moment."""

    task_id: str
    status: str
    """One of :data:`ACTIVE` or :data:`ENDED`."""
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


def set_task_state(
    client: redis.Redis, task_id: str, *, status: str, detail: Mapping[str, Any] | None = None
) -> TaskState:
    """Set what *task_id* is doing; state and index of active tasks change together.

    Raises:
        InputError: If *status* is not known; nothing was set.
        DependencyError: If Redis is away.
    """
    if status not in ACTIVE + ENDED:
        raise InputError(f"{status!r} is not a state of a task ({', '.join(ACTIVE + ENDED)}); nothing was set.")
    body = orjson.dumps({"status": status, "detail": dict(detail or {})})
    with redis_errors("setting the state of a task"):
        record = client.register_script(_SET)(
            keys=[_INDEX, _STATE + task_id, _RESULTS + task_id],
            args=[task_id, body, int(status in ACTIVE), int(TASK_TTL.total_seconds())],
        )
    return _task(task_id, cast("bytes", record))


def task_state(client: redis.Redis, task_id: str) -> TaskState | None:
    """Return what *task_id* is doing, or None when it has not said so for a day.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors("reading the state of a task"):
        record = cast("bytes | None", client.get(_STATE + task_id))
    return None if record is None else _task(task_id, record)


def active_tasks(client: redis.Redis) -> list[TaskState]:
    """Return the tasks that have not ended, by id.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors("reading the active tasks"):
        found = cast("list[bytes]", client.register_script(_READ_ACTIVE)(keys=[_INDEX], args=[_STATE]))
    pairs = zip(found[::2], found[1::2], strict=True)
    return sorted((_task(name.decode(), record) for name, record in pairs), key=lambda task: task.task_id)


def store_result(client: redis.Redis, task_id: str, iteration: int, result: Mapping[str, Any]) -> None:
    """Keep what *iteration* of *task_id* came to; storing it again replaces it.

    Raises:
        InputError: If *iteration* is below 0; nothing was stored.
        DependencyError: If Redis is away.
    """
    if iteration < 0:
        raise InputError(f"Iterations count from 0; {iteration} was not stored.")
    with redis_errors("storing the result of a task"):
        pipeline = client.pipeline(transaction=True)
        pipeline.hset(_RESULTS + task_id, str(iteration), orjson.dumps(dict(result)))
        pipeline.expire(_RESULTS + task_id, TASK_TTL)
        pipeline.execute()


def task_results(client: redis.Redis, task_id: str) -> dict[int, Mapping[str, Any]]:
    """Return what each iteration of *task_id* came to, by iteration, in order.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors("reading the results of a task"):
        found = cast("dict[bytes, bytes]", client.hgetall(_RESULTS + task_id))
    return {number: orjson.loads(found[str(number).encode()]) for number in sorted(int(key) for key in found)}


def _task(task_id: str, record: bytes) -> TaskState:
    micros, body = record.split(b" ", 1)
    fields = orjson.loads(body)
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(micros))
    return TaskState(task_id, fields["status"], at, fields["detail"])
