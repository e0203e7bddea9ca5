"""Streams of events against a real Valkey."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
import redis
from pydantic import SecretStr

from analytics.core.settings import RedisSettings, Settings
from analytics.live.client import connect, connect_async
from analytics.live.streams import FROM_START, MAX_EVENTS, async_publish, async_read, last_id, publish, read

pytestmark = pytest.mark.integration


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(Settings(redis=RedisSettings(url=SecretStr(redis_url)))) as client:
        yield client


def test_events_come_back_in_order_and_reading_goes_on_after_the_last(client: redis.Redis) -> None:
    ids = [publish(client, "tasks", {"n": number, "nested": {"a": [1]}}) for number in range(5)]
    first = read(client, "tasks", limit=3)
    assert [event.event["n"] for event in first] == [0, 1, 2]
    assert [event.event["n"] for event in read(client, "tasks", first[-1].id)] == [3, 4]
    assert last_id(client, "tasks") == ids[-1]
    assert read(client, "tasks", ids[-1]) == []


def test_a_stream_without_events_starts_at_its_start(client: redis.Redis) -> None:
    assert last_id(client, "empty") == FROM_START
    assert read(client, "empty") == []
    assert read(client, "empty", block_ms=10) == []


def test_a_stream_keeps_its_newest_ten_thousand_events(client: redis.Redis) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for number in range(MAX_EVENTS + 5):
            pipeline.xadd("helmsight:stream:full", {"event": f'{{"n":{number}}}'})
        pipeline.execute()
    publish(client, "full", {"n": "last"})
    assert client.xlen("helmsight:stream:full") == MAX_EVENTS
    assert read(client, "full", limit=1)[0].event == {"n": 6}


def test_a_waiting_reader_gets_what_is_published_meanwhile(client: redis.Redis) -> None:
    got: list[object] = []
    start = last_id(client, "news")
    reader = threading.Thread(target=lambda: got.extend(read(client, "news", start, block_ms=2000)))
    reader.start()
    publish(client, "news", {"n": 1})
    reader.join(5)
    assert len(got) == 1


def test_a_socket_publishes_and_reads(redis_url: str) -> None:
    async def exchange() -> list[object]:
        async with connect_async(Settings(redis=RedisSettings(url=SecretStr(redis_url)))) as client:
            await async_publish(client, "tasks", {"n": 1})
            return [event.event for event in await async_read(client, "tasks", block_ms=0)]

    assert asyncio.run(exchange()) == [{"n": 1}]
