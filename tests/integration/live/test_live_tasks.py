"""The live state of tasks against a real Valkey."""

from collections.abc import Iterator
from typing import cast

import pytest
import redis
from pydantic import SecretStr

from analytics.core.errors import InputError
from analytics.core.settings import RedisSettings, Settings
from analytics.live.client import connect
from analytics.live.tasks import TASK_TTL, active_tasks, set_task_state, store_result, task_results, task_state

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(Settings(redis=RedisSettings(url=SecretStr(redis_url)))) as client:
        yield client


def test_a_task_is_active_until_it_ends(client: redis.Redis) -> None:
    begun = set_task_state(client, "t1", status="running", detail={"step": 1})
    set_task_state(client, "t2", status="queued")
    assert active_tasks(client)[0] == begun == task_state(client, "t1")
    assert [task.task_id for task in active_tasks(client)] == ["t1", "t2"]
    ended = set_task_state(client, "t1", status="completed")
    assert ended.at > begun.at
    assert [task.task_id for task in active_tasks(client)] == ["t2"]
    assert task_state(client, "t1") == ended


def test_a_task_that_never_spoke_has_no_state(client: redis.Redis) -> None:
    assert task_state(client, "none") is None
    assert active_tasks(client) == []
    assert task_results(client, "none") == {}


def test_an_unknown_state_is_refused(client: redis.Redis) -> None:
    with pytest.raises(InputError, match="not a state"):
        set_task_state(client, "t1", status="dancing")
    assert task_state(client, "t1") is None


def test_results_are_kept_by_iteration_and_replaced(client: redis.Redis) -> None:
    for iteration in (10, 2, 0):
        store_result(client, "t1", iteration, {"quality": iteration / 10})
    store_result(client, "t1", 2, {"quality": 0.9})
    assert list(task_results(client, "t1").items()) == [
        (0, {"quality": 0}),
        (2, {"quality": 0.9}),
        (10, {"quality": 1}),
    ]
    with pytest.raises(InputError, match="count from 0"):
        store_result(client, "t1", -1, {})


def test_all_of_it_runs_out_and_a_lost_task_leaves_the_index(client: redis.Redis) -> None:
    set_task_state(client, "t1", status="running")
    store_result(client, "t1", 0, {})
    for key in ("state", "results"):
        assert 0 < cast("int", client.ttl(f"{{helmsight:task}}:{key}:t1")) <= TASK_TTL.total_seconds()
    client.delete("{helmsight:task}:state:t1")
    assert active_tasks(client) == []
    assert client.scard("{helmsight:task}:active") == 0
