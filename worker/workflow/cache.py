"""Results of nodes, kept by everything that can change them, and worked out once however many ask at a time.

A look-up ends as a :class:`Hit`, or as a :class:`Miss`: then the caller works the result out, and everybody else who
asks for it, in this process or another, waits until it is put or released. The promise is a row with a lease, so a
worker that dies blocks nobody for longer. The cache speeds up and never decides: when PostgreSQL is away every
look-up is a miss that nobody waits for.

Look-ups and results that arrive while a statement is under way go out together with the next, on a connection of the
cache's own. The table is not in the log of PostgreSQL, so nothing here waits for a disk; after a crash of the server
the cache is empty.
"""

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, LiteralString

import orjson
import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.core.logging import get_logger
from analytics.core.telemetry import CACHE_LOOKUPS, NODE_CACHE_WAIT_SECONDS
from worker.workflow.address import NodeAddress
from worker.workflow.literals import array
from worker.workflow.node_kind import NodeKind

MAX_CACHED_BYTES = 2**20
"""A larger result is handed to those who wait for it and not kept."""
CACHE_CHANNEL = "helmsight_cache"

_KEY_FORM = b"1"
"""Raised when keys are made otherwise, so that no old entry is taken for a new one."""
_POLL_S = 1.0
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
_MAX_BATCH = 1000
_ATTEMPTS = 3
_LISTEN_S = 30.0
_OPTIONS = "-c statement_timeout=30000 -c synchronous_commit=off -c jit=off -c timezone=UTC"

# A row that is there and usable is read; one that somebody is at work on is waited for, and marked so that its holder
# tells; every other is taken. In order of keys, so that two workers cannot block each other.
_ASK: LiteralString = """
WITH wanted AS (
    SELECT key, kind, make_interval(secs => ttl_s) AS ttl
    FROM unnest(%(keys)s::bytea[], %(kinds)s::text[], %(ttls)s::float8[]) AS w(key, kind, ttl_s)
), found AS (
    SELECT c.key, c.output::text AS output, c.run_id, c.node_id, c.created_at, c.awaited,
        c.status = 'ready' AND c.expires_at > now() AND c.created_at > now() - w.ttl AS usable,
        CASE WHEN c.status = 'computing' AND c.holder <> %(owner)s AND c.held_until > now()
            THEN extract(epoch FROM c.held_until - now())::float8 END AS held_s
    FROM wanted w JOIN node_cache c USING (key)
), told AS (
    UPDATE node_cache c SET awaited = true FROM found f
    WHERE c.key = f.key AND f.held_s IS NOT NULL AND NOT f.awaited AND c.status = 'computing'
), taken AS (
    INSERT INTO node_cache AS c (key, kind, status, holder, held_until, created_at, expires_at)
    SELECT w.key, w.kind, 'computing', %(owner)s, now() + make_interval(secs => %(lease_s)s), now(), now() + w.ttl
    FROM wanted w LEFT JOIN found f USING (key)
    WHERE f.key IS NULL OR NOT (f.usable OR f.held_s IS NOT NULL)
    ORDER BY w.key
    ON CONFLICT (key) DO UPDATE SET status = 'computing', holder = EXCLUDED.holder, held_until = EXCLUDED.held_until,
        output = NULL, run_id = NULL, node_id = NULL, created_at = now(), expires_at = EXCLUDED.expires_at,
        awaited = false
    WHERE CASE c.status
        WHEN 'ready' THEN c.expires_at <= now() OR c.created_at <= now() - (EXCLUDED.expires_at - now())
        ELSE c.held_until <= now() OR c.holder = EXCLUDED.holder END
    RETURNING c.key
)
SELECT w.key, t.key IS NOT NULL, coalesce(f.usable, false), f.held_s,
    f.output, f.run_id, f.node_id, f.created_at, extract(epoch FROM now() - f.created_at)::float8
FROM wanted w LEFT JOIN taken t USING (key) LEFT JOIN found f USING (key)
"""
# The end stays what the promise said when it is nearly right: an index entry less.
_PUT: LiteralString = """
WITH given AS (
    SELECT key, kind, output, run_id, node_id, make_interval(secs => ttl_s) AS ttl
    FROM unnest(%(keys)s::bytea[], %(kinds)s::text[], %(outputs)s::text[], %(runs)s::uuid[], %(nodes)s::text[],
        %(ttls)s::float8[]) AS g(key, kind, output, run_id, node_id, ttl_s)
), stored AS (
    INSERT INTO node_cache AS c (key, kind, status, output, run_id, node_id, created_at, expires_at)
    SELECT key, kind, 'ready', output::jsonb, run_id, node_id, now(), now() + ttl FROM given ORDER BY key
    ON CONFLICT (key) DO UPDATE SET status = 'ready', holder = NULL, held_until = NULL, output = EXCLUDED.output,
        run_id = EXCLUDED.run_id, node_id = EXCLUDED.node_id, created_at = now(), awaited = false,
        expires_at = CASE WHEN c.expires_at BETWEEN now() + 0.9 * (EXCLUDED.expires_at - now()) AND EXCLUDED.expires_at
            THEN c.expires_at ELSE EXCLUDED.expires_at END
)
SELECT pg_notify(%(channel)s, encode(c.key, 'hex')) FROM node_cache c JOIN given g USING (key) WHERE c.awaited
"""
_RELEASE: LiteralString = """
WITH gone AS (
    DELETE FROM node_cache WHERE key = ANY(%(keys)s::bytea[]) AND status = 'computing' AND holder = %(owner)s
    RETURNING key, awaited
)
SELECT pg_notify(%(channel)s, encode(key, 'hex')) FROM gone WHERE awaited
"""
_RENEW: LiteralString = (
    "UPDATE node_cache SET held_until = now() + make_interval(secs => %(lease_s)s)"
    " WHERE key = ANY(%(keys)s::bytea[]) AND status = 'computing' AND holder = %(owner)s"
)
_FORGET = text(
    "WITH gone AS (DELETE FROM node_cache WHERE status = 'ready' AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
    " AND (CAST(:before AS timestamptz) IS NULL OR created_at < :before) RETURNING 1)"
    " SELECT count(*) FROM gone"
)
_STATE = text(
    "SELECT kind, count(*) AS entries FROM node_cache WHERE status = 'ready' AND expires_at > now()"
    " GROUP BY kind ORDER BY kind"
)

_log = get_logger(__name__)
_hits = CACHE_LOOKUPS.labels("node", "hit")
_misses = CACHE_LOOKUPS.labels("node", "miss")


@dataclass(frozen=True, slots=True)
class Hit:
    """A result that is known."""

    output: Any
    text: str
    """The same as JSON text."""
    run_id: uuid.UUID | None
    """The run that worked it out."""
    node_id: str | None
    created_at: datetime
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Miss:
    """A result that is not known; whoever gets this works it out, and calls ``put`` or ``release``."""

    held: bool = True
    """Others wait for it; False when PostgreSQL is away."""


@dataclass(frozen=True, slots=True)
class CacheState:
    """How full the cache is."""

    kinds: Mapping[str, int]
    """Results that can be used, by kind of node; a kind without any is missing."""
    size_bytes: int
    """On disk, indexes and what has expired included."""


@dataclass(slots=True)
class _Flight:
    """A key that somebody here asks for, or works on."""

    key: bytes
    kind: str
    ttl_s: float
    state: Literal["asked", "ours", "theirs"] = "asked"
    waiting: deque["asyncio.Future[Hit | Miss]"] = field(default_factory=deque)
    due: float = 0.0
    """When to look again while it is theirs, on the clock of ``time.monotonic``."""


@dataclass(frozen=True, slots=True)
class _Put:
    key: bytes
    kind: str
    text: str
    ttl_s: float
    address: NodeAddress


def cache_key(kind: NodeKind, config: Mapping[str, Any], fingerprints: Iterable[str] = ()) -> bytes:
    """Return the key of the result that a node of *kind* has with the resolved *config*.

    It covers the kind and its version, the configuration whatever the order of its keys, and *fingerprints* of what
    the configuration only names, from ``kind.fingerprint``.

    Raises:
        InputError: If the configuration is not JSON.
    """
    try:
        content = orjson.dumps(
            [kind.name, kind.version, config, list(fingerprints)],
            option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z,
        )
    except (TypeError, orjson.JSONEncodeError) as error:
        raise InputError(f"The configuration is not JSON ({error}); its result cannot be kept.") from error
    return hashlib.sha256(_KEY_FORM + content).digest()


class NodeCache:
    """The cache as one worker process sees it; belongs to one event loop, on which :meth:`work_forever` has to run."""

    def __init__(self, engine: AsyncEngine, owner: str, lease: timedelta) -> None:
        """Keep results in the database of *engine*.

        Args:
            engine: Names the database; the cache opens connections of its own.
            owner: The worker process; no two at a time have one name.
            lease: How long a promise holds when its worker is silent.
        """
        self._dsn = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._owner = owner
        self._lease_s = lease.total_seconds()
        self._flights: dict[bytes, _Flight] = {}
        self._asked: list[_Flight] = []
        self._puts: list[_Put] = []
        self._released: list[bytes] = []
        self._work = asyncio.Event()
        self._theirs = asyncio.Event()
        self._is_away = False
        self._renew_at = 0.0
        self.statements = 0
        """How many statements were sent."""

    async def get(self, key: bytes, *, kind: str, ttl: timedelta) -> Hit | Miss:
        """Return the result under *key* if it is no older than *ttl*; wait while somebody works it out."""
        ttl_s = ttl.total_seconds()
        found = await self._look(key, kind, ttl_s)
        while isinstance(found, Hit) and found.age_s > ttl_s:
            found = await self._look(key, kind, ttl_s)  # Who asked first was content with an older one.
        (_misses if isinstance(found, Miss) else _hits).inc()
        return found

    def put(self, key: bytes, output: str, *, kind: str, ttl: timedelta, address: NodeAddress) -> None:
        """Keep the JSON text *output* under *key* for *ttl*, and hand it to those who wait; it need not be promised.

        Returns at once; the result goes out with the next statement.
        """
        flight = self._flights.pop(key, None)
        if len(output) <= MAX_CACHED_BYTES:
            self._puts.append(_Put(key, kind, output, ttl.total_seconds(), address))
        elif flight is not None and flight.state == "ours":
            self._released.append(key)
        self._work.set()
        if flight is not None and flight.waiting:
            hit = Hit(orjson.loads(output), output, address.run_id, address.node_id, utc_now())
            _resolve(flight, hit)

    def release(self, key: bytes) -> None:
        """Take the promise of *key* back, because its result did not come: the next who waits works it out."""
        flight = self._flights.get(key)
        if flight is None or flight.state != "ours" or _hand_on(flight):
            return
        del self._flights[key]
        self._released.append(key)
        self._work.set()

    async def work_forever(self) -> None:
        """Send what arrives, until cancelled; promises that are open then are taken back."""
        wait_s = _FIRST_WAIT_S
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_forever())
            while True:
                try:
                    async with await self._connect("helmsight-cache") as connection:
                        self._is_away = False
                        wait_s = _FIRST_WAIT_S
                        await self._serve(connection)
                except psycopg.Error as error:
                    self._give_up(error)
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _look(self, key: bytes, kind: str, ttl_s: float) -> Hit | Miss:
        if self._is_away:
            return Miss(held=False)
        flight = self._flights.get(key)
        joined = time.perf_counter() if flight is not None else None
        if flight is None:
            flight = self._flights[key] = _Flight(key, kind, ttl_s)
            self._asked.append(flight)
            self._work.set()
        answer = asyncio.get_running_loop().create_future()
        flight.waiting.append(answer)
        try:
            found: Hit | Miss = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and isinstance(answer.result(), Miss):
                self.release(key)
            raise
        if joined is not None:
            NODE_CACHE_WAIT_SECONDS.observe(time.perf_counter() - joined)
        return found

    async def _connect(self, name: str) -> psycopg.AsyncConnection[TupleRow]:
        return await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, application_name=name, connect_timeout=5, options=_OPTIONS
        )

    async def _serve(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._next_s()):
                        await self._work.wait()
                self._work.clear()
                await self._turn(connection)
        except asyncio.CancelledError:
            self._released += [key for key, flight in self._flights.items() if flight.state == "ours"]
            with contextlib.suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(_LONGEST_WAIT_S):
                    await self._send_ends(connection)
            raise

    async def _turn(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        """Send everything that has arrived, results before look-ups."""
        while self._puts or self._released:
            await self._send_ends(connection)
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + self._lease_s / 3
            held = [flight.key for flight in self._flights.values() if flight.state == "ours"]
            if held:
                await self._send(connection, _RENEW, {"keys": array(held)})
        due = [flight for flight in self._flights.values() if flight.state == "theirs" and flight.due <= now]
        asked, self._asked = [*self._asked, *due], []
        for start in range(0, len(asked), _MAX_BATCH):
            await self._ask(connection, asked[start : start + _MAX_BATCH])

    async def _send_ends(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        puts, self._puts = self._puts[:_MAX_BATCH], self._puts[_MAX_BATCH:]
        newest = list({put.key: put for put in puts}.values())
        if newest:
            await self._send(
                connection,
                _PUT,
                {
                    "keys": array(put.key for put in newest),
                    "kinds": array(put.kind for put in newest),
                    "outputs": array(put.text for put in newest),
                    "runs": array(put.address.run_id for put in newest),
                    "nodes": array(put.address.node_id for put in newest),
                    "ttls": array(put.ttl_s for put in newest),
                },
            )
        released, self._released = self._released, []
        if released:
            await self._send(connection, _RELEASE, {"keys": array(released)})

    async def _ask(self, connection: psycopg.AsyncConnection[TupleRow], flights: Sequence[_Flight]) -> None:
        rows = await self._send(
            connection,
            _ASK,
            {
                "keys": array(flight.key for flight in flights),
                "kinds": array(flight.kind for flight in flights),
                "ttls": array(flight.ttl_s for flight in flights),
            },
        )
        now = time.monotonic()
        for key, is_taken, is_usable, held_s, *result in rows:
            flight = self._flights.get(key)
            if flight is None or flight.state == "ours":
                continue  # It was put meanwhile.
            if is_taken:
                flight.state = "ours"
                if not _hand_on(flight):
                    self.release(key)
            elif is_usable:
                self._answer(flight, *result)
            elif not any(not answer.done() for answer in flight.waiting):
                del self._flights[key]
            else:
                flight.state = "theirs"
                flight.due = now + (min(held_s, _POLL_S) if held_s is not None else 0.0)
                self._theirs.set()

    def _answer(self, flight: _Flight, output: str, *origin: Any) -> None:
        del self._flights[flight.key]
        try:
            value = orjson.loads(output)
        except orjson.JSONDecodeError:  # A number beyond what we can hold.
            _resolve(flight, Miss(held=False))
        else:
            _resolve(flight, Hit(value, output, *origin))

    async def _send(
        self, connection: psycopg.AsyncConnection[TupleRow], statement: LiteralString, values: Mapping[str, Any]
    ) -> list[TupleRow]:
        """Return the rows of *statement*; repeat it when PostgreSQL let another transaction go first."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                cursor = await connection.execute(
                    statement,
                    {"owner": self._owner, "lease_s": self._lease_s, "channel": CACHE_CHANNEL, **values},
                    prepare=True,
                )
                self.statements += 1
                return await cursor.fetchall() if cursor.description else []
            except psycopg.errors.TransactionRollback:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    def _next_s(self) -> float | None:
        """Return how long there is nothing to do by itself; None: until something arrives."""
        if not self._flights:
            return None
        times = [flight.due for flight in self._flights.values() if flight.state == "theirs"]
        return max(0.0, min([self._renew_at, *times]) - time.monotonic())

    def _give_up(self, error: psycopg.Error) -> None:
        """Let everybody work out what they asked for, because PostgreSQL is away; results of now are not kept."""
        _log.warning("node cache is away", lookups=len(self._flights), results=len(self._puts), error=_told(error))
        self._is_away = True
        flights, self._flights = self._flights, {}
        self._asked, self._puts, self._released = [], [], []
        for flight in flights.values():
            _resolve(flight, Miss(held=False))

    async def _listen_forever(self) -> None:
        """While others hold what we wait for, hear when they are done."""
        while True:
            await self._theirs.wait()
            with contextlib.suppress(psycopg.Error):
                async with await self._connect("helmsight-cache-listen") as connection:
                    await connection.execute(f"LISTEN {CACHE_CHANNEL}")
                    self._look_again()  # Who was done before we listened did not tell us.
                    while self._has_theirs():
                        async for notice in connection.notifies(timeout=_LISTEN_S):
                            self._hear(notice.payload)
            if self._has_theirs():
                await asyncio.sleep(_LONGEST_WAIT_S)
            else:
                self._theirs.clear()

    def _has_theirs(self) -> bool:
        return any(flight.state == "theirs" for flight in self._flights.values())

    def _look_again(self) -> None:
        for flight in self._flights.values():
            flight.due = 0.0
        self._work.set()

    def _hear(self, payload: str) -> None:
        flight = self._flights.get(bytes.fromhex(payload))
        if flight is not None and flight.state == "theirs":
            flight.due = 0.0
            self._work.set()


def forget(session: Session, *, kind: str | None = None, before: datetime | None = None) -> int:
    """Drop results of *kind* (of all kinds: None), kept before the time *before* (all: None); return how many."""
    return int(session.execute(_FORGET, {"kind": kind, "before": before}).scalar_one())


def cache_state(session: Session) -> CacheState:
    """Return how full the cache is."""
    rows = session.execute(_STATE)
    return CacheState(
        kinds={row.kind: row.entries for row in rows},
        size_bytes=session.execute(text("SELECT pg_total_relation_size('node_cache')")).scalar_one(),
    )


def _hand_on(flight: _Flight) -> bool:
    """Let the first who still waits for *flight* work it out; False when nobody waits."""
    while flight.waiting:
        answer = flight.waiting.popleft()
        if not answer.done():
            answer.set_result(Miss())
            return True
    return False


def _resolve(flight: _Flight, answer: Hit | Miss) -> None:
    for waiting in flight.waiting:
        if not waiting.done():
            waiting.set_result(answer)
    flight.waiting.clear()


def _told(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
