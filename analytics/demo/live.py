"""What the agents of the demo are doing now: changes every few seconds, and says that it is a demo."""

import hashlib
from datetime import datetime, timedelta

import redis

from analytics.core.clock import utc_now
from analytics.demo.company import AGENTS, KINDS, DemoAgent
from analytics.live.agents import AgentStatus, StateChange, agent_states, forget_agents, set_many

_REFRESH_AFTER = timedelta(minutes=20)
_SLOWEST_S = 24
_QUICKEST_S = 8
_WEIGHTS = (
    (AgentStatus.ACTIVE, 52),
    (AgentStatus.IDLE, 80),
    (AgentStatus.WAITING, 96),
    (AgentStatus.ERROR, 100),
)


def keep_alive(client: redis.Redis, *, now: datetime | None = None) -> int:
    """Set the states of demo agents that have changed or would soon run out; return how many were set.

    Call it every few seconds while the demo is there. Every state carries ``{"demo": true}`` in its detail.

    Raises:
        DependencyError: If Redis is away.
    """
    moment = now or utc_now()
    present = {state.agent_id: state for state in agent_states(client)}
    changes = []
    for agent in AGENTS:
        change = _state_at(agent, moment)
        known = present.get(agent.id)
        is_same = known is not None and (known.status, known.task) == (change.status, change.task)
        if not is_same or (known is not None and moment - known.at > _REFRESH_AFTER):
            changes.append(change)
    return len(set_many(client, changes))


def forget(client: redis.Redis) -> int:
    """Remove the live state of the demo's agents; return how many had one.

    Raises:
        DependencyError: If Redis is away.
    """
    return forget_agents(client, [agent.id for agent in AGENTS])


def _state_at(agent: DemoAgent, moment: datetime) -> StateChange:
    """Return what *agent* does at *moment*: the same whoever asks, so that two schedulers agree."""
    seed = _number(agent.id)
    rhythm_s = _QUICKEST_S + seed % (_SLOWEST_S - _QUICKEST_S)
    turn = int(moment.timestamp() + seed % 1000) // rhythm_s
    roll = _number(f"{agent.id}/{turn}")
    status = next(status for status, up_to in _WEIGHTS if roll % 100 < up_to)
    document = f"{KINDS[roll // 100 % len(KINDS)]} {roll // 1000 % 9000 + 1000}"
    if status is AgentStatus.IDLE:
        return StateChange(agent.id, status, None, {"demo": True})
    return StateChange(agent.id, status, f"{agent.task} {document}", {"demo": True, "document": document})


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=6).digest())
