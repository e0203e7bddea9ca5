"""How pages read: an answer says when it was read, and what was away when it could not be.

A :class:`Question` wraps a function that reads. Asked while PostgreSQL, Redis or Prometheus is away it does not raise:
it answers with the last value it gave and since when the part is silent, so that a page can show old numbers as old.
``data.py`` holds the questions and hands in the cache; nothing here draws.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer, require
from dashboard.context import AppContext, get_context
from dashboard.filters import Span

P = ParamSpec("P")
T = TypeVar("T")

LIVE = timedelta(seconds=2)
"""For what a reader watches move."""
TIERS = (LIVE, *(timedelta(seconds=seconds) for seconds in (5, 10, 30, 60)))
_SLOW = timedelta(seconds=30)
"""What stands at least so long is read anew in every process when it is forgotten in one."""
_REST_AFTER_FAILURE = timedelta(seconds=1)
_MOST_KEPT = 512

Cache = Callable[[Callable[..., Any], timedelta], Any]
"""Makes a function remember its results for a time; the result has ``clear()``."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A part that does not answer."""

    part: str
    """``postgres``, ``redis`` or ``prometheus``."""
    since: datetime
    """When this process first noticed."""
    message: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What was read, when, and whether it is old because a part is away."""

    value: T | None
    """None when nothing was ever read; a question whose answer is "nothing" gives an empty list or page."""
    read_at: datetime | None
    outage: Outage | None = None

    @property
    def is_stale(self) -> bool:
        """Return whether the value is an old one, shown because the present one could not be read."""
        return self.outage is not None and self.read_at is not None


@dataclass(frozen=True, slots=True)
class _Stamped:
    value: Any
    read_at: datetime


class Memory:
    """The last answer of each question, and which parts are away; bounded, safe for threads."""

    def __init__(self, *, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._answers: OrderedDict[object, _Stamped] = OrderedDict()
        self._outages: dict[tuple[object, str], tuple[Outage, datetime]] = {}

    def keep(self, key: object, stamped: _Stamped) -> None:
        """Remember the answer to *key*."""
        with self._lock:
            self._answers[key] = stamped
            self._answers.move_to_end(key)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)

    def last(self, key: object) -> _Stamped | None:
        """Return the last answer to *key*, or None."""
        with self._lock:
            return self._answers.get(key)

    def failed(self, home: object, part: str, message: str) -> Outage:
        """Note that *part* did not answer; an outage keeps the time it began."""
        now = utc_now()
        with self._lock:
            known = self._outages.get((home, part))
            outage = Outage(part, known[0].since if known else now, message)
            self._outages[home, part] = (outage, now)
            return outage

    def answered(self, home: object, part: str) -> None:
        """Note that *part* answers."""
        with self._lock:
            self._outages.pop((home, part), None)

    def resting(self, home: object, part: str) -> Outage | None:
        """Return the outage of *part* if it failed a moment ago, so that asking again would only wait again."""
        with self._lock:
            known = self._outages.get((home, part))
        if known is None or utc_now() - known[1] > _REST_AFTER_FAILURE:
            return None
        return known[0]

    def outages(self, home: object) -> list[Outage]:
        """Return what is away now, in the order it went."""
        with self._lock:
            found = [outage for key, (outage, _) in self._outages.items() if key[0] == home]
        return sorted(found, key=lambda outage: outage.since)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._answers.clear()
            self._outages.clear()


MEMORY = Memory()


_limits: Counter[str] = Counter()
_slow: set[str] = set()


def note_limit(name: str, most: int) -> None:
    """Note that a cache of the question *name* keeps at most so many answers; a question may have several."""
    _limits[name] += most


def most_entries() -> Mapping[str, int]:
    """Return the most answers that this process keeps of each question, by name."""
    return dict(_limits)


def stands_long(name: str) -> bool:
    """Tell whether answers to the question *name* are kept for half a minute or longer.

    Those that stand shorter are no cache: they only let readers who ask at the same time share one reading.
    """
    return name in _slow


class Question(Generic[P, T]):
    """Something a page can ask: checked for the role, remembered for a while, honest about outages."""

    def __init__(
        self,
        read: Callable[Concatenate[AppContext, P], T],
        *,
        cache: Cache,
        part: str,
        fresh_for: timedelta | None,
        role: Role,
        is_kept: bool = True,
        tags: tuple[str, ...] = (),
    ) -> None:
        self.name = read.__name__
        self.__doc__ = read.__doc__
        self._read = read
        self._part = part
        self._role = role
        self._is_kept = is_kept
        tiers = TIERS if fresh_for is None else (fresh_for,)
        self._cached = {tier: cache(self._reader(), tier) for tier in tiers}
        is_slow = max(tiers) >= _SLOW
        self._tags = (*tags, f"question:{self.name}") if is_slow else tags
        if is_slow:
            _slow.add(self.name)

    def _reader(self) -> Callable[..., _Stamped]:
        def read_now(home: str, *arguments: Any, **named: Any) -> _Stamped:  # noqa: ARG001 - part of the cache's key
            return _Stamped(self._read(get_context(), *arguments, **named), utc_now())

        read_now.__name__ = self.name
        read_now.__qualname__ = f"question.{self.name}"
        return read_now

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Answer[T]:
        """Ask.

        Raises:
            PolicyError: If the viewer's role may not know.
            InputError: If what was asked for makes no sense or does not exist.
        """
        if self._role > Role.VIEWER:
            require(current_viewer(), self._role, doing=f"read {self.name.replace('_', ' ')}")
        home = get_context().started_at.isoformat()
        key = (self.name, home, args, tuple(sorted(kwargs.items())))
        resting = MEMORY.resting(home, self._part)
        if resting is not None:
            return self._old(key, resting)
        try:
            stamped: _Stamped = self._cached[self._tier(args)](self._home(home), *args, **kwargs)
        except DependencyError as error:
            part = str(error.context.get("part", self._part))
            return self._old(key, MEMORY.failed(home, part, error.message))
        if utc_now() - stamped.read_at < _REST_AFTER_FAILURE:
            MEMORY.answered(home, self._part)
        if self._is_kept:
            MEMORY.keep(key, stamped)
        return Answer(stamped.value, stamped.read_at)

    def forget(self) -> None:
        """Read anew the next time, because what it rests on was changed; in other processes too."""
        self.read_again()
        if self._tags:
            get_context().caches.invalidate(*self._tags)

    def read_again(self) -> None:
        """Read anew the next time, in this process, because somebody asked for it."""
        for cached in self._cached.values():
            cached.clear()

    def warm(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Read now what somebody is likely to ask soon; for nobody in particular, so no role is checked.

        Raises:
            DependencyError: If what it reads from is away.
        """
        self._cached[self._tier(args)](self._home(get_context().started_at.isoformat()), *args, **kwargs)

    def _home(self, home: str) -> str:
        """Return *home*, which tells one process's context from another's, with the versions of what is read."""
        return "|".join((home, *get_context().caches.versions(self._tags))) if self._tags else home

    def _tier(self, args: tuple[object, ...]) -> timedelta:
        if len(self._cached) == 1:
            return next(iter(self._cached))
        spans = [argument for argument in args if isinstance(argument, Span)]
        return spans[0].fresh_for() if spans else TIERS[-1]

    def _old(self, key: object, outage: Outage) -> Answer[T]:
        last = MEMORY.last(key)
        return Answer(None, None, outage) if last is None else Answer(last.value, last.read_at, outage)
