"""What one dashboard process holds: connections, made lazily, so that it starts and says so when a part is away."""

import threading
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.clock import utc_now
from analytics.core.settings import Settings, load_settings
from analytics.live.cache import Caches
from analytics.live.client import connect, connect_async
from analytics.store.engine import make_async_engine, make_engine
from dashboard.auth.sessions import SessionBook
from dashboard.readiness import SchemaWatch
from worker.workflow.kinds import python_call

if TYPE_CHECKING:
    from analytics.sources.prometheus import PromClient
    from worker.enqueue import Door

ROLE = "dashboard"


class AppContext:
    """The connections of a process; nothing connects before it is used."""

    def __init__(self, settings: Settings, *, engine: Engine, async_engine: AsyncEngine) -> None:
        self.settings = settings
        self.engine = engine
        self.async_engine = async_engine
        self.started_at: datetime = utc_now()
        self.sessions = SessionBook(engine, settings.auth)
        self.schema = SchemaWatch(engine)

    @cached_property
    def redis(self) -> Redis | None:
        """Return the client of Redis for threads, or None when no Redis is named."""
        return connect(self.settings) if self.settings.redis.url is not None else None

    @cached_property
    def redis_async(self) -> AsyncRedis | None:
        """Return the client of Redis for asyncio, or None when no Redis is named."""
        return connect_async(self.settings) if self.settings.redis.url is not None else None

    @cached_property
    def caches(self) -> Caches:
        """Return the caches of this process, shared with others where a Redis is named."""
        return Caches(self.redis, place=self.settings.dsn)

    @cached_property
    def door(self) -> "Door":
        """Return the one way into the queues."""
        from worker.enqueue import Door  # noqa: PLC0415 - pages that only read do not need the queues

        return Door(self.engine, self.redis, self.settings)

    @cached_property
    def prom(self) -> "PromClient | None":
        """Return the client of Prometheus, or None when none is named."""
        if self.settings.prometheus.url is None:
            return None
        from analytics.sources.prometheus import PromClient  # noqa: PLC0415 - heavy, and not everybody has one

        return PromClient(self.settings.prometheus.url, self.settings.prometheus.timeout)

    def close(self) -> None:
        """Close what threads use; what asyncio uses is closed by :meth:`close_async`."""
        self.engine.dispose()
        if "redis" in self.__dict__ and self.redis is not None:
            self.redis.close()

    async def close_async(self) -> None:
        """Close everything; to be called in the event loop that used it."""
        await self.async_engine.dispose()
        if "redis_async" in self.__dict__ and self.redis_async is not None:
            await self.redis_async.aclose()
        self.close()


_context: AppContext | None = None
_lock = threading.Lock()


def build_context(settings: Settings) -> AppContext:
    """Return a context for *settings*; it connects to nothing yet.

    Raises:
        ConfigError: If no PostgreSQL is named, or an address is malformed.
    """
    python_call.allow(settings.worker.python_allowed)
    return AppContext(
        settings, engine=make_engine(settings, role=ROLE), async_engine=make_async_engine(settings, role=ROLE)
    )


def get_context() -> AppContext:
    """Return the context of this process, built from the environment when nobody has set one.

    Raises:
        ConfigError: If the settings cannot be used.
    """
    global _context  # noqa: PLW0603 - one a process, by design
    with _lock:
        if _context is None:
            _context = build_context(load_settings())
        return _context


def set_context(context: AppContext | None) -> None:
    """Make *context* the one of this process, or with None forget it; for entry points and tests."""
    global _context  # noqa: PLW0603 - one a process, by design
    with _lock:
        _context = context


def close_context() -> None:
    """Close and forget the context of this process, if there is one."""
    global _context
    with _lock:
        held, _context = _context, None
    if held is not None:
        held.close()
