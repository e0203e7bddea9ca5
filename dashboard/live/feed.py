"""A live value read once in a process and pushed to every socket that watches it.

The first watcher starts the reading and the last one ends it. A change is serialised once; a socket that cannot keep up
gets the newest state instead of every step on the way.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError
from analytics.core.logging import get_logger

_AWAY_PAUSE_S = 1.0
_log = get_logger(__name__)

Entry = Mapping[str, Any]


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
    """A source, its last reading, and who watches it."""

    def __init__(self, read: Callable[[], Awaitable[Reading]], *, name: str, every_s: float) -> None:
        self._read = read
        self._name = name
        self._every_s = every_s
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
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            pause = self._every_s
            try:
                reading = await self._read()
            except HelmsightError as error:
                self._went_away(error)
                pause = max(pause, _AWAY_PAUSE_S)
            else:
                self._take(reading)
            self._first.set()
            due = max(due + pause, loop.time())
            await asyncio.sleep(due - loop.time())

    def _take(self, reading: Reading) -> None:
        before, self._reading = self._reading, reading
        if self._away is not None or not self._first.is_set():
            self._away = None
            self._seq += 1
            self._publish(self.snapshot())
            return
        changed = [entry for key, entry in reading.entries.items() if before.entries.get(key) != entry]
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
