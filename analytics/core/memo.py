"""A bounded memory: entries run out, the one that was used least recently leaves first, and its bound follows need.

Safe for threads. Values are handed out as they are, so what is kept must not be changed.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")

GROWTH = 4
"""How many times its declared bound a memory may grow to."""
_REGRET = 0.05
"""A bound is doubled when this share of it was pushed out and asked for again."""


@dataclass(frozen=True, slots=True)
class MemoState:
    """A memory at one moment, and what it has let go since it was made."""

    size: int
    most: int
    """The bound now; between the declared one and :data:`GROWTH` times that."""
    evictions: int
    """Entries pushed out before their time."""
    expired: int
    """Entries that ran out."""
    regrets: int
    """Entries pushed out and asked for again while they would still have stood: what the bound costs."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """One named cache of this process, counted since its start."""

    name: str
    holds: str
    ttl: timedelta | None
    """None where it differs from entry to entry."""
    size: int
    """Entries now."""
    max_size: int
    """The most entries it keeps."""
    declared_size: int
    """The bound it began with; it grows where entries are pushed out and asked for again."""
    hits: int
    """Lookups answered without reading, those that Redis answered included."""
    shared_hits: int
    """Of them, those that Redis answered."""
    misses: int
    evictions: int
    expired: int
    regrets: int
    """Entries pushed out and asked for again while they would still have stood."""
    invalidations: int
    """Answers thrown away because what they rest on was changed."""
    mean_compute_s: float | None
    """Mean time to read an answer that was not there; None when none was."""

    @property
    def lookups(self) -> int:
        """Return how often it was asked."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float | None:
        """Return the share of lookups that were hits, 0 to 1; None when nobody asked."""
        return self.hits / self.lookups if self.lookups else None


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    ends: float


class Memo(Generic[T]):
    """Values by key, each for a time.

    Args:
        ttl: How long an entry stands.
        most: The declared bound, in entries. Where 5 % of the bound was pushed out and asked for again, it doubles, up
            to four times the declared; where three quarters stay empty it is halved again, not below the declared.
        clock: Seconds that only grow.
    """

    def __init__(self, *, ttl: timedelta, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl.total_seconds()
        self._declared = self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._ghosts: OrderedDict[str, float] = OrderedDict()
        """Keys that were pushed out, with when they would have run out."""
        self._evictions = self._expired = self._regrets = self._regretted = 0

    def look(self, key: str) -> T | None:
        """Return what is kept at *key*, or None."""
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.ends > now:
                self._entries.move_to_end(key)
                return entry.value
            if entry is not None:
                del self._entries[key]
                self._expired += 1
            elif self._ghosts.pop(key, now) > now:
                self._regrets += 1
                self._regretted += 1
            return None

    def put(self, key: str, value: T, *, ttl: timedelta | None = None) -> None:
        """Keep *value* at *key*, for *ttl* if it is given."""
        now = self._clock()
        with self._lock:
            self._ghosts.pop(key, None)
            self._entries[key] = _Entry(value, now + (self._ttl_s if ttl is None else ttl.total_seconds()))
            self._entries.move_to_end(key)
            self._fit(now)

    def drop(self, unwanted: Callable[[str], bool]) -> int:
        """Forget the keys that *unwanted* names; return how many were kept."""
        with self._lock:
            gone = [key for key in self._entries if unwanted(key)]
            for key in gone:
                del self._entries[key]
            return len(gone)

    def state(self) -> MemoState:
        """Return counts; what has run out is let go first."""
        now = self._clock()
        with self._lock:
            over = [key for key, entry in self._entries.items() if entry.ends <= now]
            for key in over:
                del self._entries[key]
            self._expired += len(over)
            if self._most > self._declared and len(self._entries) < self._most / 4:
                self._most = max(self._declared, self._most // 2)
            return MemoState(len(self._entries), self._most, self._evictions, self._expired, self._regrets)

    def _fit(self, now: float) -> None:
        if len(self._entries) <= self._most:
            return
        if self._regretted >= max(1, _REGRET * self._most):
            self._most = min(self._most * 2, self._declared * GROWTH)
            self._regretted = 0
        while len(self._entries) > self._most:
            key, entry = self._entries.popitem(last=False)
            if entry.ends <= now:
                self._expired += 1
            else:
                self._evictions += 1
                self._ghosts[key] = entry.ends
        while len(self._ghosts) > self._most:
            self._ghosts.popitem(last=False)
