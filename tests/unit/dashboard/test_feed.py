"""A live value pushed to many sockets: read once, whole first, then changes, newest for the slow."""

import asyncio
import contextlib
import json

from analytics.core.errors import DependencyError
from dashboard.live.feed import Feed, Reading


class Source:
    """A source that a test sets."""

    def __init__(self) -> None:
        self.entries = {"a": {"id": "a", "status": "idle"}}
        self.reads = 0
        self.is_away = False
        self.is_over = False

    async def read(self) -> Reading:
        self.reads += 1
        if self.is_away:
            raise DependencyError("away")
        return Reading(dict(self.entries), {}, self.is_over)

    def set(self, key: str, status: str) -> None:
        self.entries = {**self.entries, key: {"id": key, "status": status}}


async def _message(watcher, kind):
    while True:
        message = await watcher.next(5)
        assert message is not None
        found = json.loads(message.text)
        if found["type"] == kind:
            return found


def test_many_watchers_share_one_reading_and_the_last_one_ends_it():
    async def scenario():
        source = Source()
        feed = Feed(source.read, name="agents", every_s=0.01)
        async with feed.watched() as first, feed.watched() as second:
            assert (await _message(first, "snapshot"))["agents"] == [{"id": "a", "status": "idle"}]
            await _message(second, "snapshot")
            source.set("b", "active")
            for watcher in (first, second):
                assert (await _message(watcher, "diff"))["agents"] == [{"id": "b", "status": "active"}]
            assert feed.is_watched
        assert not feed.is_watched
        reads = source.reads
        await asyncio.sleep(0.05)
        assert source.reads == reads

    asyncio.run(scenario())


def test_nothing_is_sent_while_nothing_changes():
    async def scenario():
        source = Source()
        async with Feed(source.read, name="agents", every_s=0.01).watched() as watcher:
            await _message(watcher, "snapshot")
            assert await watcher.next(0.1) is None

    asyncio.run(scenario())


def test_a_slow_watcher_gets_the_newest_whole_state():
    async def scenario():
        source = Source()
        feed = Feed(source.read, name="agents", every_s=0.005)
        async with feed.watched() as slow, feed.watched() as fast:
            await _message(slow, "snapshot")
            await _message(fast, "snapshot")
            for status in ("active", "waiting", "error"):
                source.set("a", status)
                assert (await _message(fast, "diff"))["agents"][0]["status"] == status
            newest = await _message(slow, "snapshot")
            assert newest["agents"] == [{"id": "a", "status": "error"}]
            assert slow.dropped == 2

    asyncio.run(scenario())


def test_what_is_gone_is_told_as_offline():
    async def scenario():
        source = Source()
        async with Feed(source.read, name="agents", every_s=0.01).watched() as watcher:
            await _message(watcher, "snapshot")
            source.entries = {}
            change = await _message(watcher, "diff")
            assert change["gone"] == ["a"]
            assert change["agents"] == [{"id": "a", "status": "offline"}]

    asyncio.run(scenario())


def test_a_source_that_goes_away_is_told_once_and_its_return_brings_the_whole_state():
    async def scenario():
        source = Source()
        async with Feed(source.read, name="agents", every_s=0.01).watched() as watcher:
            await _message(watcher, "snapshot")
            source.is_away = True
            assert "since" in await _message(watcher, "stale")
            source.is_away = False
            assert (await _message(watcher, "snapshot"))["agents"] == [{"id": "a", "status": "idle"}]

    asyncio.run(scenario())


def test_the_end_of_a_source_marks_its_last_message():
    async def scenario():
        source = Source()
        async with Feed(source.read, name="nodes", every_s=0.01).watched() as watcher:
            first = await watcher.next(5)
            assert first is not None
            assert not first.is_last
            source.is_over = True
            last = await watcher.next(5)
            assert last is not None
            assert last.is_last

    asyncio.run(scenario())


def test_a_source_that_tells_of_changes_is_read_when_it_does():
    async def scenario():
        source, changed = Source(), asyncio.Event()

        @contextlib.asynccontextmanager
        async def signal():
            yield changed

        async with Feed(source.read, name="nodes", every_s=600, signal=signal).watched() as watcher:
            await _message(watcher, "snapshot")
            reads = source.reads
            source.set("a", "running")
            assert await watcher.next(0.5) is None
            assert source.reads == reads
            changed.set()
            assert (await _message(watcher, "diff"))["nodes"] == [{"id": "a", "status": "running"}]

    asyncio.run(scenario())


def test_many_changes_at_once_are_read_a_few_times_a_second():
    async def scenario():
        source, changed = Source(), asyncio.Event()

        @contextlib.asynccontextmanager
        async def signal():
            yield changed

        async with Feed(source.read, name="nodes", every_s=600, signal=signal).watched():
            for _ in range(100):
                changed.set()
                await asyncio.sleep(0.005)
            assert source.reads <= 6

    asyncio.run(scenario())
