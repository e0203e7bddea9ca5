"""Engines and sessions: one transaction a scope, driver errors translated here and nowhere else."""

import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, ExceptionContext, create_engine, event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, QueuePool

from analytics.core.errors import ConfigError, ConflictError, DependencyError, HelmsightError
from analytics.core.settings import Settings
from analytics.core.telemetry import DB_ERRORS, DB_POOL, DB_POOL_EVENTS, DB_POOL_WAIT_SECONDS, DB_QUERY_SECONDS

DRIVER = "postgresql+psycopg"
LONGEST_PAUSE = timedelta(minutes=10)
"""A transaction in which nothing happens for longer is ended by PostgreSQL: whoever holds it stands still."""
MAY_FAIL = "may_fail"
"""The execution option of a statement whose failure is an answer, and no error to be counted."""
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class PoolProfile:
    """How many connections a process keeps, and for how long; seconds."""

    size: int
    overflow: int
    recycle_s: int
    timeout_s: int


POOL_PROFILES = {
    "local": PoolProfile(size=20, overflow=10, recycle_s=3600, timeout_s=30),
    "cloud": PoolProfile(size=3, overflow=7, recycle_s=300, timeout_s=10),
}


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at one moment, and what happened in it since it was made."""

    name: str
    """``sync`` for threads, ``async`` for asyncio."""
    size: int
    """Connections it keeps."""
    most: int
    """Connections it opens at the most; those beyond *size* are closed when they are given back."""
    checked_in: int
    checked_out: int
    overflow: int
    """Connections open beyond *size* now."""
    checkouts: int
    """How often one was taken."""
    opened: int
    """How many were opened: at first use, beyond *size*, after their recycling, or in place of a dead one."""
    invalid: int
    """Connections found dead, or thrown away after an error."""
    exhausted: int
    """How often nobody gave one back in time, so that the caller got an error."""
    wait_s: float
    """Time all callers together waited for one, seconds."""

    @property
    def mean_wait_s(self) -> float | None:
        """Return how long a caller waited on average, opening included; None when nobody asked."""
        return self.wait_s / self.checkouts if self.checkouts else None

    @property
    def hit_rate(self) -> float | None:
        """Return the share of callers who got a connection that was open already, 0 to 1; None when nobody asked."""
        return max(0.0, 1 - self.opened / self.checkouts) if self.checkouts else None

    @property
    def used(self) -> float | None:
        """Return the share of the connections it may open that are taken now; None for what is no pool."""
        return self.checked_out / self.most if self.most else None


class _Counted(QueuePool):
    """A pool that counts what happens in it, and once it was disposed of keeps no connection.

    Threads may still be reading when a process ends. A connection that one of them gives back, or opens, after that
    would lie in a pool that nobody closes any more; it is closed at once.
    """

    label = "sync"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_over = False
        self._counting = threading.Lock()
        self.checkouts = self.opened = self.invalid = self.exhausted = 0
        self.wait_s = 0.0

    def _do_get(self) -> Any:
        started = time.perf_counter()
        try:
            return super()._do_get()
        except exc.TimeoutError:
            with self._counting:
                self.exhausted += 1
            DB_POOL_EVENTS.labels(self.label, "exhausted").inc()
            raise
        finally:
            waited = time.perf_counter() - started
            with self._counting:
                self.checkouts += 1
                self.wait_s += waited
            DB_POOL_WAIT_SECONDS.labels(self.label).observe(waited)

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._is_over:
            super().dispose()

    def dispose(self) -> None:
        """Close what is here, and from now on what is given back."""
        self._is_over = True
        super().dispose()

    def recreate(self) -> "_Counted":
        """Return a pool like this one, with counts of its own."""
        pool: _Counted = super().recreate()  # type: ignore[assignment]
        pool._is_over = self._is_over
        return pool

    def count(self, *, opened: int = 0, invalid: int = 0) -> None:
        """Count connections that were opened, or thrown away."""
        with self._counting:
            self.opened += opened
            self.invalid += invalid
        for name, times in (("opened", opened), ("invalid", invalid)):
            if times:
                DB_POOL_EVENTS.labels(self.label, name).inc(times)


class _CountedAsync(_Counted, AsyncAdaptedQueuePool):
    """The same for asyncio."""

    label = "async"


def driver_url(dsn: str) -> str:
    """Return *dsn* in the form SQLAlchemy wants, whatever of the usual spellings it has.

    Raises:
        ConfigError: If it is not a PostgreSQL address.
    """
    try:
        url = make_url(dsn)
    except exc.ArgumentError as error:
        raise ConfigError("HELMSIGHT_STORE__DSN is not a database address; nothing was started.") from error
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigError(
            f"HELMSIGHT_STORE__DSN names {url.get_backend_name()}, but Helmsight needs PostgreSQL; nothing was started."
        )
    return url.set(drivername=DRIVER).render_as_string(hide_password=False)


def make_engine(settings: Settings, *, role: str) -> Engine:
    """Return a pooled engine for threads; *role* names the process in ``pg_stat_activity`` and in metrics."""
    engine = create_engine(
        driver_url(settings.dsn),
        poolclass=_Counted,
        **_pool_arguments(settings),
        connect_args=_connect_arguments(settings, role),
    )
    _observe(engine, role)
    return engine


def make_async_engine(settings: Settings, *, role: str, longest_pause: timedelta = LONGEST_PAUSE) -> AsyncEngine:
    """Return a pooled engine for asyncio.

    Args:
        settings: Where PostgreSQL is, and how it is used.
        role: Names the process, as for :func:`make_engine`.
        longest_pause: A transaction in which nothing happens for longer is ended by PostgreSQL, so that what it
            locked is free.
    """
    engine = create_async_engine(
        driver_url(settings.dsn),
        poolclass=_CountedAsync,
        **_pool_arguments(settings),
        connect_args=_connect_arguments(settings, role, longest_pause),
    )
    _observe(engine.sync_engine, role)
    return engine


def pool_state(engine: Engine | AsyncEngine) -> PoolState:
    """Return the pool's counts now; all 0 for what is no pool of ours."""
    pool = engine.pool
    name = "async" if isinstance(engine, AsyncEngine) else "sync"
    if not isinstance(pool, _Counted):
        return PoolState(name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0)
    return PoolState(
        name=name,
        size=pool.size(),
        most=pool.size() + pool._max_overflow,  # noqa: SLF001 - there is no other way to learn it
        checked_in=pool.checkedin(),
        checked_out=pool.checkedout(),
        overflow=max(0, pool.overflow()),
        checkouts=pool.checkouts,
        opened=pool.opened,
        invalid=pool.invalid,
        exhausted=pool.exhausted,
        wait_s=pool.wait_s,
    )


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """Open a session whose transaction commits at the end of the block, or rolls back on an error.

    Raises:
        DependencyError: If PostgreSQL does not answer; nothing was kept, unless the message says that nobody knows.
        ConflictError: If what was written clashes with what is there; nothing was kept.
    """
    with translated(), Session(engine, expire_on_commit=False) as session:
        yield session
        session.flush()
        with _at_the_end():
            session.commit()


@asynccontextmanager
async def async_session_scope(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """Do what :func:`session_scope` does, for asyncio."""
    with translated():
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session
            await session.flush()
            with _at_the_end():
                await session.commit()


@contextmanager
def _at_the_end() -> Iterator[None]:
    """Tell of a commit without an answer what it is: what was written may be there."""
    try:
        yield
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise DependencyError(
                "PostgreSQL was lost while it stored what was asked; that is there in full or not at all. Look, before"
                " you try again.",
                part="postgres",
            ) from error
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the driver into ours."""
    try:
        yield
    except HelmsightError:
        raise
    except exc.IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        raise ConflictError(
            "What you asked for clashes with what is already stored; nothing was changed.", constraint=constraint
        ) from error
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise DependencyError(
            f"PostgreSQL did not do what was asked ({_first_line(error)}); nothing was changed. Try again shortly.",
            part="postgres",
        ) from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise DependencyError(
                "PostgreSQL closed the connection; nothing was changed. Try again shortly.", part="postgres"
            ) from error
        raise


def _first_line(error: exc.SQLAlchemyError) -> str:
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0][:200] if str(original).strip() else type(original).__name__


def _pool_arguments(settings: Settings) -> dict[str, Any]:
    profile = POOL_PROFILES[settings.store.pool_profile]
    return {
        "pool_size": profile.size,
        "max_overflow": profile.overflow,
        "pool_recycle": profile.recycle_s,
        "pool_timeout": profile.timeout_s,
        "pool_pre_ping": True,
    }


def _connect_arguments(settings: Settings, role: str, longest_pause: timedelta = LONGEST_PAUSE) -> dict[str, Any]:
    options = {
        "statement_timeout": settings.store.statement_timeout // _MILLISECOND,
        "idle_in_transaction_session_timeout": longest_pause // _MILLISECOND,
        "work_mem": settings.store.work_mem,
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
    }
    return {
        "application_name": f"helmsight-{role}",
        "connect_timeout": 5,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }


_STATES: Mapping[str, Callable[[_Counted], int]] = {
    "in": lambda pool: pool.checkedin(),
    "out": lambda pool: pool.checkedout(),
    "overflow": lambda pool: max(0, pool.overflow()),
}
_observed: "WeakSet[Engine]" = WeakSet()
_observing = threading.Lock()


def _in_state(label: str, count: Callable[[_Counted], int]) -> float:
    """Return how many connections of all pools of the process are so, for the gauge that is read at each scrape."""
    with _observing:
        pools = [engine.pool for engine in _observed]
    return sum(count(pool) for pool in pools if isinstance(pool, _Counted) and pool.label == label)


for _label in (_Counted.label, _CountedAsync.label):
    for _state, _count in _STATES.items():
        DB_POOL.labels(_label, _state).set_function(functools.partial(_in_state, _label, _count))


def _observe(engine: Engine, role: str) -> None:
    with _observing:
        _observed.add(engine)

    def count(**events: int) -> None:
        if isinstance(engine.pool, _Counted):
            engine.pool.count(**events)

    event.listen(engine, "connect", lambda *_: count(opened=1))
    event.listen(engine, "invalidate", lambda *_: count(invalid=1))

    @event.listens_for(engine, "before_cursor_execute")
    def start(*arguments: Any) -> None:
        arguments[4]._helmsight_started = time.perf_counter()  # noqa: SLF001 - our own attribute on the context

    @event.listens_for(engine, "after_cursor_execute")
    def finish(*arguments: Any) -> None:
        started = getattr(arguments[4], "_helmsight_started", None)
        if started is not None:
            DB_QUERY_SECONDS.labels(role).observe(time.perf_counter() - started)

    @event.listens_for(engine, "handle_error")
    def fail(failure: ExceptionContext) -> None:
        context = failure.execution_context
        if context is None or not context.execution_options.get(MAY_FAIL):
            DB_ERRORS.labels(role).inc()
