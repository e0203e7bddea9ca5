"""What agents are doing now: the present state of each, and its last hundred states.

A state lives for an hour unless it is set again; the history and the version outlive it. All keys share one
hash slot, so that the scripts also run on a cluster. An index set names the agents: nothing here scans keys.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import redis
import redis.asyncio

from analytics.core.errors import InputError
from analytics.live.client import redis_errors

STATE_TTL = timedelta(hours=1)
HISTORY_LENGTH = 100

_SLOT = "{helmsight:agent}"
_INDEX = f"{_SLOT}:index"
_VERSIONS = f"{_SLOT}:versions"
_STATE = f"{_SLOT}:state:"
_HISTORY = f"{_SLOT}:history:"

# KEYS: index, versions, then state and history of each agent. ARGV: seconds to live, history length, then id and body
# of each. The clock is the server's, so that the order of times is the order of versions whatever host writes.
_SET = """
local clock = redis.call('TIME')
local micros = clock[1] .. string.format('%06d', tonumber(clock[2]))
local written = {}
for i = 0, (#KEYS - 2) / 2 - 1 do
  local id, body = ARGV[3 + 2 * i], ARGV[4 + 2 * i]
  local state, history = KEYS[3 + 2 * i], KEYS[4 + 2 * i]
  local record = redis.call('HINCRBY', KEYS[2], id, 1) .. ' ' .. micros .. ' ' .. body
  redis.call('SADD', KEYS[1], id)
  redis.call('SET', state, record, 'EX', ARGV[1])
  redis.call('LPUSH', history, record)
  redis.call('LTRIM', history, 0, tonumber(ARGV[2]) - 1)
  written[i + 1] = record
end
return written
"""

# KEYS: index. ARGV: prefix of the state keys. Agents whose state has run out leave the index.
_READ = """
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


class AgentStatus(enum.StrEnum):
    """What an agent is doing."""

    ACTIVE = "active"
    IDLE = "idle"
    WAITING = "waiting"
    ERROR = "error"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class AgentState:
    """What one agent was doing at one moment."""

    agent_id: str
    status: AgentStatus
    task: str | None
    """What it works on, in words, or None."""
    detail: Mapping[str, Any]
    version: int
    """Grows by one with each state of the agent, also after an old state has run out."""
    at: datetime


@dataclass(frozen=True, slots=True)
class StateChange:
    """A state to set."""

    agent_id: str
    status: str
    task: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def set_agent_state(
    client: redis.Redis,
    agent_id: str,
    *,
    status: str,
    task: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> AgentState:
    """Set what *agent_id* is doing; return it with its version and time.

    Raises:
        InputError: If *status* is not one of :class:`AgentStatus`; nothing was set.
        DependencyError: If Redis is away.
    """
    return set_many(client, [StateChange(agent_id, status, task, detail or {})])[0]


def set_many(client: redis.Redis, changes: Sequence[StateChange]) -> list[AgentState]:
    """Set several states at once: a reader sees all of them or none.

    Raises:
        InputError: If a status is not known; nothing was set.
        DependencyError: If Redis is away.
    """
    if not changes:
        return []
    keys = [_INDEX, _VERSIONS]
    arguments: list[bytes | str | int] = [int(STATE_TTL.total_seconds()), HISTORY_LENGTH]
    for change in changes:
        keys += [_STATE + change.agent_id, _HISTORY + change.agent_id]
        arguments += [change.agent_id, _body(change)]
    with redis_errors("setting the state of agents"):
        written = cast("list[bytes]", client.register_script(_SET)(keys=keys, args=arguments))
    return [_state(change.agent_id, record) for change, record in zip(changes, written, strict=True)]


def agent_state(client: redis.Redis, agent_id: str) -> AgentState | None:
    """Return what *agent_id* is doing, or None when it has not said so for an hour.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors("reading the state of an agent"):
        record = cast("bytes | None", client.get(_STATE + agent_id))
    return None if record is None else _state(agent_id, record)


def agent_states(client: redis.Redis) -> list[AgentState]:
    """Return the state of every agent that has set one within the last hour, by id.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors("reading the states of agents"):
        found = cast("list[bytes]", client.register_script(_READ)(keys=[_INDEX], args=[_STATE]))
    return _states(found)


async def async_agent_states(client: redis.asyncio.Redis) -> list[AgentState]:
    """Do what :func:`agent_states` does, for asyncio."""
    with redis_errors("reading the states of agents"):
        found = cast("list[bytes]", await client.register_script(_READ)(keys=[_INDEX], args=[_STATE]))
    return _states(found)


def agent_history(client: redis.Redis, agent_id: str, limit: int = HISTORY_LENGTH) -> list[AgentState]:
    """Return the last *limit* states of *agent_id*, newest first; at most 100 are kept.

    Raises:
        InputError: If *limit* is below 1.
        DependencyError: If Redis is away.
    """
    if limit < 1:
        raise InputError(f"A history of {limit} states cannot be read; ask for 1 to {HISTORY_LENGTH}.")
    with redis_errors("reading the history of an agent"):
        records = cast("list[bytes]", client.lrange(_HISTORY + agent_id, 0, limit - 1))
    return [_state(agent_id, record) for record in records]


def forget_agents(client: redis.Redis, agent_ids: Iterable[str]) -> int:
    """Remove state, history and version of *agent_ids*; return how many had a version.

    Raises:
        DependencyError: If Redis is away.
    """
    names = list(agent_ids)
    if not names:
        return 0
    with redis_errors("forgetting agents"):
        pipeline = client.pipeline(transaction=True)
        pipeline.hdel(_VERSIONS, *names)
        pipeline.srem(_INDEX, *names)
        pipeline.delete(*(prefix + name for name in names for prefix in (_STATE, _HISTORY)))
        return int(pipeline.execute()[0])


def _body(change: StateChange) -> bytes:
    try:
        status = AgentStatus(change.status)
    except ValueError as error:
        raise InputError(
            f"{change.status!r} is not a state of an agent ({', '.join(AgentStatus)}); nothing was set.",
            agent_id=change.agent_id,
        ) from error
    return orjson.dumps({"status": status, "task": change.task, "detail": dict(change.detail)})


def _state(agent_id: str, record: bytes) -> AgentState:
    version, micros, body = record.split(b" ", 2)
    fields = orjson.loads(body)
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(micros))
    return AgentState(agent_id, AgentStatus(fields["status"]), fields["task"], fields["detail"], int(version), at)


def _states(found: Sequence[bytes]) -> list[AgentState]:
    pairs = zip(found[::2], found[1::2], strict=True)
    return sorted((_state(name.decode(), record) for name, record in pairs), key=lambda state: state.agent_id)
