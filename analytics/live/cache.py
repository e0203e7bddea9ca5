"""The shared cache: answers that stand for a while, kept in this process and in Redis for the others.

A named cache has a strategy: how long answers stand, and how many a process keeps. An answer carries tags, such as
``leads`` or ``user:7``; whoever changes what an answer rests on invalidates its tags, and every process reads anew
within :data:`TRUST`. An answer that was read before a change and kept after it is never handed out. Without Redis, or
while it is away, each process goes on with what it keeps itself.

Answers are shared among threads: they must not be changed. What Redis keeps is JSON, so the type of the answer has to
be given with ``of``; without it an answer stays in its process. No answer belongs in here that only some may read,
unless its key says for whom it is.
"""

import functools
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar

import orjson
import redis
from pydantic import TypeAdapter, ValidationError

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, InvariantError
from analytics.core.logging import get_logger
from analytics.core.memo import CacheStats, Memo
from analytics.core.telemetry import CACHE_LOOKUPS, CACHE_SECONDS
from analytics.live.client import redis_errors

P = ParamSpec("P")
T = TypeVar("T")

TRUST = timedelta(seconds=1)
"""How long a process relies on the versions of tags it has read: how late it may notice a change made elsewhere."""
KEEP_HERE = timedelta(seconds=30)
"""How long a process keeps an answer that Redis keeps too; then it asks there again."""
LONGEST = timedelta(hours=1)

_REST_S = 5.0
"""Redis is not asked again this soon after it did not answer."""
_TAG_TTL = timedelta(days=1)
"""Longer than any answer stands, so that a version that ran out cannot come back."""
_LOCK_TTL = timedelta(seconds=5)
_PATIENCE_S = 1.0
_POLL_S = 0.02
_MOST_TAGS = 10_000
_MOST_BYTES = 1_048_576
_LONGEST_KEY = 200
_PREFIX = "helmsight:cache:"
_TAGS = f"{_PREFIX}tag:"
_VALUES = f"{_PREFIX}value:"
_LOCKS = f"{_PREFIX}lock:"

_log = get_logger(__name__)
_anew: ContextVar[bool] = ContextVar("helmsight_cache_anew", default=False)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How one named cache keeps."""

    name: str
    ttl: timedelta
    most: int
    """Entries a process keeps; it may grow to four times that where need be."""
    holds: str
    """What is in it, in words."""


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("overview", timedelta(seconds=60), 200, "overviews: totals, latest rows, health and score"),
    Strategy("metrics", timedelta(seconds=30), 500, "key figures, their courses and summaries"),
    Strategy("leads", timedelta(seconds=300), 1000, "leads"),
    Strategy("users", timedelta(seconds=600), 500, "what one person set up: saved views"),
    Strategy("tasks", timedelta(seconds=300), 1000, "tasks of projects"),
    Strategy("contexts", timedelta(seconds=600), 500, "contexts and their use"),
    Strategy("agents", timedelta(seconds=1800), 200, "agents, and the work between them in a time that has ended"),
    Strategy("sessions", timedelta(seconds=3600), 100, "what one person, lead or context did in a time that has ended"),
    Strategy("queries", timedelta(seconds=300), 500, "results of expensive queries"),
)


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An answer, and how old it is."""

    value: T
    computed_at: datetime
    source: Literal["process", "shared", "computed"]
    """From this process's memory, from Redis, or read just now."""

    @property
    def is_hit(self) -> bool:
        """Return whether nothing had to be read."""
        return self.source != "computed"


class HasCaches(Protocol):
    """Something that holds the caches of its process, such as the context of the dashboard."""

    @property
    def caches(self) -> "Caches":
        """Return them."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    computed_at: datetime
    versions: tuple[str, ...]


@dataclass(slots=True)
class _Counts:
    hits: int = 0
    shared_hits: int = 0
    misses: int = 0
    invalidations: int = 0
    computed: int = 0
    compute_s: float = 0.0


@dataclass(slots=True)
class _Named:
    strategy: Strategy
    memo: Memo[_Entry]
    counts: _Counts = field(default_factory=_Counts)


class Caches:
    """All caches of one process; safe for threads.

    Args:
        client: The connection to Redis, or None to keep answers in this process only.
        strategies: The caches there are.
        place: What tells those that share a Redis apart, such as the address of their database.
    """

    def __init__(
        self, client: redis.Redis | None, strategies: Sequence[Strategy] = STRATEGIES, *, place: str = ""
    ) -> None:
        self._named = {item.name: _Named(item, Memo(ttl=item.ttl, most=item.most)) for item in strategies}
        self._shared = _Shared(client, place)
        self._flights: dict[tuple[object, ...], Future[Kept[Any]]] = {}
        self._lock = threading.Lock()

    def remember(
        self,
        name: str,
        key: object,
        compute: Callable[[], T],
        *,
        of: Any = None,
        tags: Sequence[str] = (),
        ttl: timedelta | None = None,
        force: bool = False,
    ) -> T:
        """Return the answer to *key* in the cache *name*; :meth:`ask` with the value only."""
        return self.ask(name, key, compute, of=of, tags=tags, ttl=ttl, force=force).value

    def ask(
        self,
        name: str,
        key: object,
        compute: Callable[[], T],
        *,
        of: Any = None,
        tags: Sequence[str] = (),
        ttl: timedelta | None = None,
        force: bool = False,
    ) -> Kept[T]:
        """Return the answer to *key* in the cache *name*, computed when there is none that stands.

        Callers that ask for the same at the same time wait for one computation, in this process and across processes.

        Args:
            name: One of the strategies.
            key: What is asked: text, a number, a date, an id, or a tuple or mapping of them.
            compute: Reads the answer; what it raises reaches everybody who waits, and nothing is kept.
            of: Type of the answer, so that Redis can keep it as JSON; None keeps it in this process.
            tags: What the answer rests on, for :meth:`invalidate`.
            ttl: How long it stands, if not as long as the strategy says; at most an hour.
            force: Compute it in any case (``force_refresh``), and keep the new answer.

        Raises:
            InvariantError: If there is no cache of that name.
        """
        started = time.perf_counter()
        cache = self._cache(name)
        text = key_text(key)
        is_forced = force or _anew.get()
        versions = self._shared.versions(tags)
        if not is_forced:
            entry = self._look(cache, text, versions)
            if entry is not None:
                return self._hit(cache, entry, "process", started)
        flight: tuple[object, ...] = (name, text, versions, is_forced)
        with self._lock:
            running = self._flights.get(flight)
            mine: Future[Kept[Any]] = Future()
            if running is None:
                self._flights[flight] = mine
        if running is not None:
            kept: Kept[T] = running.result()
            return self._hit(cache, _Entry(kept.value, kept.computed_at, versions), "process", started)
        try:
            stands = min(ttl or cache.strategy.ttl, LONGEST)
            kept = self._find(
                cache, text, compute, of=of, versions=versions, ttl=stands, is_forced=is_forced, started=started
            )
            mine.set_result(kept)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flights[flight]
        return kept

    def get(self, name: str, key: object, *, of: Any = None, tags: Sequence[str] = ()) -> Kept[Any] | None:
        """Return the answer to *key* if there is one that stands, else None; *of* and *tags* as it was put."""
        started = time.perf_counter()
        cache, text, versions = self._cache(name), key_text(key), self._shared.versions(tags)
        entry = self._look(cache, text, versions)
        if entry is not None:
            return self._hit(cache, entry, "process", started)
        entry = None if of is None else self._shared.get(name, text, _adapter(of), versions)
        if entry is None:
            self._count_miss(cache)
            return None
        cache.memo.put(text, entry, ttl=KEEP_HERE)
        return self._hit(cache, entry, "shared", started)

    def put(
        self,
        name: str,
        key: object,
        value: Any,
        *,
        of: Any = None,
        versions: tuple[str, ...] = (),
        ttl: timedelta | None = None,
    ) -> None:
        """Keep *value* as the answer to *key*.

        Args:
            name: One of the strategies.
            key: What was asked.
            value: The answer.
            of: Its type, as for :meth:`ask`.
            versions: Those of its tags from before it was read (:meth:`versions`), so that a change meanwhile counts.
            ttl: How long it stands, if not as long as the strategy says.
        """
        cache = self._cache(name)
        stands = min(ttl or cache.strategy.ttl, LONGEST)
        self._keep(cache, key_text(key), _Entry(value, utc_now(), versions), of, stands)

    def invalidate(self, *tags: str) -> None:
        """Say that what *tags* stand for has changed: answers that rest on it are read anew, in all processes.

        To be called after the change is committed.
        """
        self._shared.bump(tags)

    def invalidate_user(self, user: object) -> None:
        """Say that everything kept for one person is void."""
        self.invalidate(user_tag(user))

    def forget(self, name: str, pattern: str = "*") -> int:
        """Forget the answers of one cache whose keys match *pattern* (``*`` and ``?``), here and in Redis.

        Other processes notice within :data:`KEEP_HERE`; tags are quicker.

        Returns:
            How many entries this process kept of them.
        """
        cache = self._cache(name)
        dropped = cache.memo.drop(lambda key: fnmatchcase(key, pattern))
        with self._lock:
            cache.counts.invalidations += dropped
        self._shared.forget(name, pattern)
        return dropped

    def stats(self) -> list[CacheStats]:
        """Return every cache of this process with its counts, in the order of the strategies."""
        return [_stats(cache) for cache in self._named.values()]

    @property
    def is_shared(self) -> bool:
        """Return whether Redis takes part now."""
        return self._shared.is_there()

    def versions(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Return what changes when one of *tags* is invalidated, to be made part of another cache's keys."""
        return self._shared.versions(tags)

    def _cache(self, name: str) -> _Named:
        found = self._named.get(name)
        if found is None:
            raise InvariantError(f"There is no cache called {name!r}; its strategy has to be declared.")
        return found

    def _look(self, cache: _Named, text: str, versions: tuple[str, ...]) -> _Entry | None:
        entry = cache.memo.look(text)
        if entry is None or entry.versions == versions:
            return entry
        with self._lock:
            cache.counts.invalidations += cache.memo.drop(text.__eq__)
        return None

    def _find(
        self,
        cache: _Named,
        text: str,
        compute: Callable[[], Any],
        *,
        of: Any,
        versions: tuple[str, ...],
        ttl: timedelta,
        is_forced: bool,
        started: float,
    ) -> Kept[Any]:
        name = cache.strategy.name
        if of is not None and not is_forced:
            found = self._shared.get(name, text, _adapter(of), versions)
            if found is None and not self._shared.begin(name, text):
                found = self._shared.wait(name, text, _adapter(of), versions)
            if found is not None:
                cache.memo.put(text, found, ttl=min(ttl, KEEP_HERE))
                return self._hit(cache, found, "shared", started)
        self._count_miss(cache)
        begun = time.perf_counter()
        try:
            entry = _Entry(compute(), utc_now(), versions)
            self._keep(cache, text, entry, of, ttl)
        finally:
            if of is not None:
                self._shared.end(name, text)
        ended = time.perf_counter()
        CACHE_SECONDS.labels(name, "computed").observe(ended - started)
        with self._lock:
            cache.counts.computed += 1
            cache.counts.compute_s += ended - begun
        return Kept(entry.value, entry.computed_at, "computed")

    def _keep(self, cache: _Named, text: str, entry: _Entry, of: Any, ttl: timedelta) -> None:
        is_shared = of is not None and self._shared.put(cache.strategy.name, text, entry, _adapter(of), ttl)
        cache.memo.put(text, entry, ttl=min(ttl, KEEP_HERE) if is_shared else ttl)

    def _hit(self, cache: _Named, entry: _Entry, source: Literal["process", "shared"], started: float) -> Kept[Any]:
        CACHE_LOOKUPS.labels(cache.strategy.name, "hit").inc()
        CACHE_SECONDS.labels(cache.strategy.name, source).observe(time.perf_counter() - started)
        with self._lock:
            cache.counts.hits += 1
            cache.counts.shared_hits += source == "shared"
        return Kept(entry.value, entry.computed_at, source)

    def _count_miss(self, cache: _Named) -> None:
        CACHE_LOOKUPS.labels(cache.strategy.name, "miss").inc()
        with self._lock:
            cache.counts.misses += 1


def cached(
    name: str, *, of: Any = None, tags: Callable[..., Sequence[str]] | Sequence[str] = (), ttl: timedelta | None = None
) -> Callable[[Callable[Concatenate[Any, P], T]], Callable[Concatenate[Any, P], T]]:
    """Make a function, or a method, remember what it returns by its arguments.

    Its first argument holds the caches (:class:`HasCaches`) and is no part of the key; all others are, so they are
    made of text, numbers, dates and ids. *tags* may be worked out of the same arguments.
    """

    def wrap(read: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
        @functools.wraps(read)
        def asked(holder: HasCaches, /, *args: P.args, **kwargs: P.kwargs) -> T:
            named = tags(*args, **kwargs) if callable(tags) else tags
            key = (read.__name__, *args, *sorted(kwargs.items()))
            return holder.caches.remember(name, key, lambda: read(holder, *args, **kwargs), of=of, tags=named, ttl=ttl)

        return asked

    return wrap


@contextmanager
def read_anew(*, is_asked: bool = True) -> Iterator[None]:
    """Compute every answer in this block, whatever is kept, and keep the new ones."""
    before = _anew.set(is_asked or _anew.get())
    try:
        yield
    finally:
        _anew.reset(before)


def invalidate(client: redis.Redis, *tags: str) -> bool:
    """Say, from a process without caches of its own, that what *tags* stand for has changed.

    Returns:
        Whether Redis took it; if not, old answers stand until they run out.
    """
    return _Shared(client).bump(tags)


def user_tag(user: object) -> str:
    """Return the tag of everything kept for one person."""
    return f"user:{user}"


def key_text(key: object) -> str:
    """Return *key* as text: the same for equal keys, short, and readable where it can be."""
    text = key if isinstance(key, str) else orjson.dumps(key, default=str, option=_KEY_OPTIONS).decode()
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{text[:60]}~{sha256(text.encode()).hexdigest()[:32]}"


_KEY_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS


@functools.lru_cache(maxsize=256)
def _adapter(of: Any) -> TypeAdapter[Any]:
    return TypeAdapter(of)


def _stats(cache: _Named) -> CacheStats:
    strategy, counts, memo = cache.strategy, cache.counts, cache.memo.state()
    return CacheStats(
        name=strategy.name,
        holds=strategy.holds,
        ttl=strategy.ttl,
        size=memo.size,
        max_size=memo.most,
        declared_size=strategy.most,
        hits=counts.hits,
        shared_hits=counts.shared_hits,
        misses=counts.misses,
        evictions=memo.evictions,
        expired=memo.expired,
        regrets=memo.regrets,
        invalidations=counts.invalidations,
        mean_compute_s=counts.compute_s / counts.computed if counts.computed else None,
    )


class _Shared:
    """What processes share through Redis; whatever fails there is as if it were not kept."""

    def __init__(self, client: redis.Redis | None, place: str = "") -> None:
        self._client = client
        self._place = sha256(place.encode()).hexdigest()[:12]
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Version of each tag and when it was read, by a clock that only grows."""
        self._unsaid: dict[str, str] = {}
        """Versions that Redis was not there to be told of."""
        self._rests_until = 0.0

    def is_there(self) -> bool:
        return self._client is not None and time.monotonic() >= self._rests_until

    def versions(self, tags: Sequence[str]) -> tuple[str, ...]:
        if not tags:
            return ()
        now = time.monotonic()
        old = now - TRUST.total_seconds()
        with self._lock:
            unsure = [tag for tag in tags if tag not in self._seen or self._seen[tag][1] < old]
        if unsure and self.is_there():
            self._read_versions(unsure, now)
        with self._lock:
            return tuple(self._seen[tag][0] if tag in self._seen else "" for tag in tags)

    def bump(self, tags: Sequence[str]) -> bool:
        made = {tag: uuid.uuid4().hex for tag in tags}
        with self._lock:
            self._unsaid |= made
        self._note(made, time.monotonic())
        return self._client is None or (self.is_there() and self._say_unsaid())

    def get(self, name: str, text: str, adapter: TypeAdapter[Any], versions: tuple[str, ...]) -> _Entry | None:
        raw = self._do(f"reading the cache {name}", lambda client: client.get(self._key(_VALUES, name, text)))
        if raw is None:
            return None
        head, _, body = raw.partition(b"\n")
        try:
            at, *found = orjson.loads(head)
            if tuple(found) != versions:
                return None
            return _Entry(adapter.validate_json(body), datetime.fromisoformat(at), versions)
        except (ValueError, ValidationError):
            # Of another release, whose answers have another form.
            return None

    def put(self, name: str, text: str, entry: _Entry, adapter: TypeAdapter[Any], ttl: timedelta) -> bool:
        head = orjson.dumps([entry.computed_at.isoformat(), *entry.versions])
        content = head + b"\n" + adapter.dump_json(entry.value)
        if len(content) > _MOST_BYTES:
            return False
        key = self._key(_VALUES, name, text)
        return bool(self._do(f"writing to the cache {name}", lambda client: client.set(key, content, px=ttl)))

    def begin(self, name: str, text: str) -> bool:
        """Return whether this process shall compute; False when another one is at it."""
        if not self.is_there():
            return True
        key = self._key(_LOCKS, name, text)
        taken = self._do("locking an answer", lambda client: client.set(key, b"1", nx=True, px=_LOCK_TTL))
        return bool(taken) or not self.is_there()

    def end(self, name: str, text: str) -> None:
        self._do("unlocking an answer", lambda client: client.delete(self._key(_LOCKS, name, text)))

    def wait(self, name: str, text: str, adapter: TypeAdapter[Any], versions: tuple[str, ...]) -> _Entry | None:
        """Wait for what another process computes; None when that takes too long."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until and self.is_there():
            found = self.get(name, text, adapter, versions)
            if found is not None or not self._do(
                "looking for a lock", lambda client: client.exists(self._key(_LOCKS, name, text))
            ):
                return found
            time.sleep(_POLL_S)
        return None

    def forget(self, name: str, pattern: str) -> None:
        def work(client: redis.Redis) -> None:
            keys = list(client.scan_iter(match=self._key(_VALUES, name, pattern), count=1000))
            if keys:
                client.delete(*keys)

        self._do(f"forgetting answers of the cache {name}", work)

    def _key(self, kind: str, name: str, text: str) -> str:
        return f"{kind}{self._place}:{name}:{text}"

    def _read_versions(self, tags: Sequence[str], now: float) -> None:
        if self._unsaid and not self._say_unsaid():
            return
        found = self._do("reading the versions of tags", lambda client: client.mget([_TAGS + tag for tag in tags]))
        if found is not None:
            read = {tag: "" if raw is None else raw.decode() for tag, raw in zip(tags, found, strict=True)}
            self._note(read, now)

    def _say_unsaid(self) -> bool:
        with self._lock:
            unsaid = dict(self._unsaid)

        def work(client: redis.Redis) -> bool:
            with client.pipeline(transaction=False) as pipeline:
                for tag, version in unsaid.items():
                    pipeline.set(_TAGS + tag, version, ex=_TAG_TTL)
                pipeline.execute()
            return True

        said = bool(self._do("telling of a change", work))
        if said:
            with self._lock:
                self._unsaid = {tag: version for tag, version in self._unsaid.items() if unsaid.get(tag) != version}
        return said

    def _note(self, versions: dict[str, str], now: float) -> None:
        with self._lock:
            for tag, version in versions.items():
                if tag in self._seen and self._seen[tag][1] > now:
                    continue  # invalidated here while it was being read
                self._seen[tag] = (version, now)
                self._seen.move_to_end(tag)
            while len(self._seen) > _MOST_TAGS:
                self._seen.popitem(last=False)

    def _do(self, doing: str, work: Callable[[redis.Redis], Any]) -> Any:
        """Return what *work* returns; None when Redis is away, which then is left alone for a while."""
        if self._client is None or not self.is_there():
            return None
        try:
            with redis_errors(doing):
                return work(self._client)
        except DependencyError as error:
            self._rests_until = time.monotonic() + _REST_S
            _log.warning("shared cache not used", reason=error.message)
            return None
