"""A live value read once in a process and pushed to every socket that watches it.

The first watcher starts the reading and the last one ends it. A change is serialised once; a socket that cannot keep up
gets the newest state instead of every step on the way.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError
from analytics.core.logging import get_logger

_AWAY_PAUSE_S = 1.0
_LEAST_GAP_S = 0.2
"""A source that tells of its changes is read no more often than this."""
_log = get_logger(__name__)

Entry = Mapping[str, Any]
Signal = Callable[[], AbstractAsyncContextManager[asyncio.Event]]
"""Opens an event that is set when the source may have changed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source holds at one moment."""

    entries: Mapping[str, Entry]
    """By id; each entry holds its id."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What belongs to the whole, sent along when it changes."""
    is_over: bool = False
    """Whether it will not change any more."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message, serialised, and when it was made (monotonic, seconds)."""

    text: str
    made_at: float
    is_last: bool = False


class Watcher:
    """One socket's place in a feed: holds at most one message, the newest that makes sense."""

    def __init__(self, feed: "Feed") -> None:
        self._feed = feed
        self._waiting: Outgoing | None = None
        self._ready = asyncio.Event()
        self.dropped = 0
        """How many messages were passed over because the socket was slow."""

    def offer(self, message: Outgoing) -> None:
        """Take a change; when one still waits, both give way to the whole state."""
        if self._waiting is not None:
            self.dropped += 1
            message = self._feed.snapshot()
        self._waiting = message
        self._ready.set()

    async def next(self, timeout_s: float) -> Outgoing | None:
        """Return the next message, or None when none came within *timeout_s* seconds."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        except TimeoutError:
            return None
        self._ready.clear()
        message, self._waiting = self._waiting, None
        return message


class Feed:
    """A source, its last reading, and who watches it.

    Args:
        read: Reads the source; entries that did not change had better be the same objects as before.
        name: Under which the entries are sent.
        every_s: How often it is read, in seconds; with *signal*, how long to trust that no news means no change.
        signal: Tells of changes; None: the source is read every *every_s*.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Reading]], *, name: str, every_s: float, signal: Signal | None = None
    ) -> None:
        self._read = read
        self._name = name
        self._every_s = every_s
        self._signal = signal
        self._watchers: set[Watcher] = set()
        self._task: asyncio.Task[None] | None = None
        self._reading = Reading({})
        self._seq = 0
        self._away: str | None = None
        self._first = asyncio.Event()

    @property
    def is_watched(self) -> bool:
        """Tell whether anybody watches."""
        return bool(self._watchers)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Watcher]:
        """Join the feed for the block; the first message is the whole state."""
        watcher = Watcher(self)
        if self._task is None or self._task.done():
            self._first.clear()
            self._task = asyncio.create_task(self._run(), name=f"feed-{self._name}")
        await self._first.wait()
        watcher.offer(self.snapshot())
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                await self.close()

    async def close(self) -> None:
        """Stop reading; safe to run twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def snapshot(self) -> Outgoing:
        """Return the whole state as a message."""
        if self._away is not None:
            return self._stale()
        return self._message(
            "snapshot", list(self._reading.entries.values()), self._reading.extra, is_last=self._reading.is_over
        )

    async def _run(self) -> None:
        if self._signal is None:
            await self._read_forever(None)
            return
        async with self._signal() as changed:
            await self._read_forever(changed)

    async def _read_forever(self, changed: asyncio.Event | None) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            pause = self._every_s
            if changed is not None:
                changed.clear()
            try:
                reading = await self._read()
            except HelmsightError as error:
                self._went_away(error)
                pause = max(pause, _AWAY_PAUSE_S) if changed is None else _AWAY_PAUSE_S
            else:
                self._take(reading)
            self._first.set()
            if changed is None:
                due = max(due + pause, loop.time())
                await asyncio.sleep(due - loop.time())
            else:
                await asyncio.sleep(_LEAST_GAP_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), max(0.0, pause - _LEAST_GAP_S))

    def _take(self, reading: Reading) -> None:
        before, self._reading = self._reading, reading
        if self._away is not None or not self._first.is_set():
            self._away = None
            self._seq += 1
            self._publish(self.snapshot())
            return
        changed = [entry for key, entry in reading.entries.items() if _differ(before.entries.get(key), entry)]
        gone = [key for key in before.entries if key not in reading.entries]
        if not changed and not gone and reading.extra == before.extra and reading.is_over == before.is_over:
            return
        self._seq += 1
        changed += [{**before.entries[key], "status": "offline"} for key in gone]
        extra = dict(reading.extra) if reading.extra != before.extra else {}
        self._publish(self._message("diff", changed, {**extra, "gone": gone}, is_last=reading.is_over))

    def _went_away(self, error: HelmsightError) -> None:
        if self._away is None:
            self._away = utc_now().isoformat()
            _log.warning("feed_stale", feed=self._name, reason=error.message)
            self._publish(self._stale())

    def _stale(self) -> Outgoing:
        return self._message("stale", None, {"since": self._away, "detail": "The source does not answer."})

    def _message(
        self, kind: str, entries: list[Entry] | None, extra: Mapping[str, Any], *, is_last: bool = False
    ) -> Outgoing:
        document: dict[str, Any] = {"type": kind, "seq": self._seq, "at": utc_now(), **extra}
        if entries is not None:
            document[self._name] = entries
        return Outgoing(orjson.dumps(document, default=str).decode(), time.perf_counter(), is_last)

    def _publish(self, message: Outgoing) -> None:
        for watcher in self._watchers:
            watcher.offer(message)


def _differ(before: Entry | None, now: Entry) -> bool:
    """Tell whether two entries differ; that the same object does not is told without looking into it."""
    return before is not now and before != now
