"""The live state of agents against a real Valkey."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis
from pydantic import SecretStr

from analytics.core.errors import DependencyError, InputError
from analytics.core.settings import RedisSettings, Settings
from analytics.live.agents import (
    HISTORY_LENGTH,
    STATE_TTL,
    StateChange,
    agent_history,
    agent_state,
    agent_states,
    async_agent_states,
    forget_agents,
    set_agent_state,
    set_many,
)
from analytics.live.client import connect, connect_async
from dashboard.processes.servers import free_port

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(Settings(redis=RedisSettings(url=SecretStr(redis_url)))) as client:
        yield client


def test_a_state_is_read_back_with_version_and_time(client: redis.Redis) -> None:
    first = set_agent_state(client, "planner", status="active", task="plan", detail={"step": 1, "list": []})
    second = set_agent_state(client, "planner", status="idle")
    assert agent_state(client, "planner") == second
    assert (first.version, second.version) == (1, 2)
    assert first.at < second.at
    assert first.detail == {"step": 1, "list": []}
    assert agent_history(client, "planner") == [second, first]


def test_an_agent_that_never_spoke_has_no_state(client: redis.Redis) -> None:
    assert agent_state(client, "nobody") is None
    assert agent_states(client) == []
    assert agent_history(client, "nobody") == []


def test_two_equal_states_are_two_entries_and_a_hundred_stay(client: redis.Redis) -> None:
    for _ in range(HISTORY_LENGTH + 7):
        set_agent_state(client, "reader", status="active", task="the same")
    history = agent_history(client, "reader")
    assert len(history) == HISTORY_LENGTH
    assert [state.version for state in history] == list(range(HISTORY_LENGTH + 7, 7, -1))
    assert len(agent_history(client, "reader", limit=3)) == 3


def test_racing_writers_get_versions_without_gap_or_repetition(client: redis.Redis) -> None:
    def write(name: int) -> list[int]:
        return [set_agent_state(client, "shared", status="active", task=f"{name}").version for _ in range(60)]

    with ThreadPoolExecutor(2) as pool:
        versions = [version for batch in pool.map(write, range(2)) for version in batch]
    assert sorted(versions) == list(range(1, 121))
    history = agent_history(client, "shared")
    assert [state.version for state in history] == list(range(120, 20, -1))
    assert [state.at for state in history] == sorted((state.at for state in history), reverse=True)
    state = agent_state(client, "shared")
    assert state is not None
    assert state.version == 120


def test_several_agents_change_together_or_not_at_all(client: redis.Redis) -> None:
    with pytest.raises(InputError, match="not a state"):
        set_many(client, [StateChange("a", "active"), StateChange("b", "dancing")])
    assert agent_states(client) == []
    set_many(client, [StateChange("b", "waiting"), StateChange("a", "active")])
    assert [(state.agent_id, state.status) for state in agent_states(client)] == [("a", "active"), ("b", "waiting")]
    assert set_many(client, []) == []


def test_a_state_runs_out_but_its_version_does_not_start_again(client: redis.Redis) -> None:
    set_agent_state(client, "sleeper", status="active")
    assert 0 < cast("int", client.ttl("{helmsight:agent}:state:sleeper")) <= STATE_TTL.total_seconds()
    client.pexpire("{helmsight:agent}:state:sleeper", 0)
    assert agent_states(client) == []
    assert client.smembers("{helmsight:agent}:index") == set()
    assert set_agent_state(client, "sleeper", status="idle").version == 2
    assert len(agent_history(client, "sleeper")) == 2


def test_a_forgotten_agent_leaves_nothing(client: redis.Redis) -> None:
    set_many(client, [StateChange("gone", "active"), StateChange("stays", "idle")])
    assert forget_agents(client, ["gone", "never was"]) == 1
    assert [state.agent_id for state in agent_states(client)] == ["stays"]
    assert not [key for key in cast("list[bytes]", client.keys("*")) if b"gone" in key]
    assert forget_agents(client, []) == 0


def test_a_history_of_no_states_is_refused(client: redis.Redis) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        agent_history(client, "planner", limit=0)


def test_a_socket_reads_the_same_states(client: redis.Redis, redis_url: str) -> None:
    set_many(client, [StateChange("a", "active"), StateChange("b", "idle", "rest", {"k": 1})])

    async def read() -> Any:
        async with connect_async(Settings(redis=RedisSettings(url=SecretStr(redis_url)))) as other:
            return await async_agent_states(other)

    assert asyncio.run(read()) == agent_states(client)


def test_a_silent_server_is_named(redis_url: str) -> None:
    silent = Settings(redis=RedisSettings(url=SecretStr(f"redis://127.0.0.1:{free_port()}/0")))
    with connect(silent) as client, pytest.raises(DependencyError, match="did not answer") as caught:
        agent_states(client)
    assert caught.value.context["part"] == "redis"
