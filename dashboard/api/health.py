"""Whether each part answers, since when it is so, and what still works when it does not.

``collect_health`` asks every part at the same time, each for at most :data:`PATIENCE`, and works while any is away.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from weakref import WeakKeyDictionary

import redis
from sqlalchemy import Engine, NullPool, create_engine, text

from analytics.agents.performance import agent_totals
from analytics.core.clock import Interval, utc_now
from analytics.core.errors import HelmsightError
from analytics.live.agents import AgentStatus, agent_states
from analytics.live.client import redis_errors
from analytics.store.engine import driver_url, pool_state, session_scope, translated
from analytics.store.queries.mcp import list_servers
from analytics.store.queries.runs import list_workers, queue_state
from dashboard.cache_stats import open_sockets
from dashboard.context import AppContext
from dashboard.readiness import SchemaState

PATIENCE = timedelta(seconds=3)
_FRESH_FOR_S = 2.0
_COUNT_EVERY_S = 30.0
_MAX_DETAIL = 300
_BREAKERS_OPEN = "sum(max by (server) (helmsight_mcp_circuit_breaker_open))"
"""What several workers say of one server counts once."""


class PartStatus(StrEnum):
    """Whether a part answers."""

    UP = "up"
    DOWN = "down"
    ABSENT = "absent"
    """Not set up here; nothing is wrong."""


class HealthStatus(StrEnum):
    """Whether the whole does its work."""

    OK = "ok"
    DEGRADED = "degraded"
    """Something does not work; the parts say what does."""
    DOWN = "down"
    """Nothing works without this: PostgreSQL is away, or its schema is not ours."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part at one moment."""

    name: str
    status: PartStatus
    since: datetime
    """When this process first saw it so."""
    detail: str
    """What it said, or what is wrong and what still works."""
    latency_ms: float | None
    """How long the answer took; None when there was none."""


@dataclass(frozen=True, slots=True)
class Health:
    """All parts at one moment."""

    status: HealthStatus
    checked_at: datetime
    version: str
    started_at: datetime
    parts: tuple[PartHealth, ...]
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """Counts of this process and of the queue; None where the part that knows is away."""


@dataclass(frozen=True, slots=True)
class _Finding:
    status: PartStatus
    detail: str
    latency_ms: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


_WITHOUT = {
    "postgres": "Pages show what they last read; nothing can be started, and nothing queued is lost.",
    "schema": "No page and no route is served before `helmsight migrate` has run.",
    "redis": "Runs are still kept and start within seconds of its return; live states of agents are not shown.",
    "prometheus": "Figures from PostgreSQL are shown; those from Prometheus say that they are not known.",
    "workers": "Work can be queued and waits in PostgreSQL until a worker is there.",
    "scheduler": "Lost wake-ups are not repeated, and objectives are not updated.",
    "mcp": "Everything but calls of these servers' tools works.",
}


class HealthMonitor:
    """Asks the parts of one process's context, and remembers since when each is as it is."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._since: dict[str, tuple[PartStatus, datetime]] = {}
        self._lock = threading.Lock()
        self._last: tuple[float, Health] | None = None
        self._probe: Engine | None = None
        self._failures: tuple[float, float] | None = None
        self._asked: dict[str, Future[_Finding]] = {}
        """The last question to each part; one that still waits for its answer is not asked again."""
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")

    def collect(self) -> Health:
        """Return the health now, or what was found within the last two seconds."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _FRESH_FOR_S:
                self._last = (time.monotonic(), self._ask())
            return self._last[1]

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._probe is not None:
            self._probe.dispose()

    def _ask(self) -> Health:
        questions: dict[str, Callable[[], _Finding]] = {
            "postgres": self._postgres,
            "schema": self._schema,
            "redis": self._redis,
            "prometheus": self._prometheus,
            "workers": lambda: self._workers(("run", "model")),
            "scheduler": lambda: self._workers(("scheduler",)),
            "mcp": self._mcp,
            "agents": self._agents,
        }
        for name, question in questions.items():
            if name not in self._asked or self._asked[name].done():
                self._asked[name] = self._threads.submit(_patiently, question)
        asked = self._asked
        wait_for(asked.values(), timeout=PATIENCE.total_seconds())
        silent = _Finding(PartStatus.DOWN, f"No answer within {PATIENCE.total_seconds():g} s.")
        findings = {name: future.result() if future.done() else silent for name, future in asked.items()}
        parts = tuple(self._part(name, finding) for name, finding in findings.items())
        facts: dict[str, float | None] = {}
        for finding in findings.values():
            facts.update(finding.facts)
        return Health(
            status=_overall(parts),
            checked_at=utc_now(),
            version=version("helmsight"),
            started_at=self._context.started_at,
            parts=parts,
            metrics={**_counts(self._context), **facts},
        )

    def _part(self, name: str, finding: _Finding) -> PartHealth:
        before = self._since.get(name)
        if before is None or before[0] is not finding.status:
            before = (finding.status, utc_now())
            self._since[name] = before
        detail = finding.detail
        if finding.status is PartStatus.DOWN and name in _WITHOUT:
            detail = f"{detail} {_WITHOUT[name]}"
        return PartHealth(name, finding.status, before[1], detail, finding.latency_ms)

    def _postgres(self) -> _Finding:
        if self._probe is None:
            self._probe = create_engine(
                driver_url(self._context.settings.dsn),
                poolclass=NullPool,
                connect_args={"connect_timeout": 2, "application_name": "helmsight-health"},
            )
        started = time.perf_counter()
        with translated(), self._probe.connect() as connection:
            shown = connection.execute(text("SHOW server_version")).scalar_one()
        return _Finding(PartStatus.UP, f"PostgreSQL {shown}", _ms(started))

    def _schema(self) -> _Finding:
        watch = self._context.schema
        state = watch.state if watch.state is SchemaState.CURRENT else watch.check()
        match state:
            case SchemaState.CURRENT:
                return _Finding(PartStatus.UP, "The schema is the one this version needs.")
            case SchemaState.WRONG:
                return _Finding(PartStatus.DOWN, watch.problem or "The schema is not the one this version needs.")
            case SchemaState.UNKNOWN:
                return _Finding(PartStatus.DOWN, "PostgreSQL has not answered yet, so the schema is not known.")

    def _redis(self) -> _Finding:
        client = self._context.redis
        if client is None:
            return _Finding(PartStatus.ABSENT, "No Redis is named (HELMSIGHT_REDIS__URL).")
        started = time.perf_counter()
        with redis_errors("it was asked whether it is there"):
            client.ping()
        return _Finding(PartStatus.UP, _redis_version(client), _ms(started))

    def _prometheus(self) -> _Finding:
        client = self._context.prom
        if client is None:
            return _Finding(PartStatus.ABSENT, "No Prometheus is named (HELMSIGHT_PROMETHEUS__URL).")
        started = time.perf_counter()
        if not client.is_ready():
            return _Finding(PartStatus.DOWN, f"Prometheus at {self._context.settings.prometheus.url} is not ready.")
        latency = _ms(started)
        told = [row.value for row in client.instant(_BREAKERS_OPEN) if row.value is not None]
        facts = {"mcp_breakers_open": told[0]} if told else {}
        return _Finding(PartStatus.UP, "Prometheus is ready.", latency, facts)

    def _workers(self, kinds: tuple[str, ...]) -> _Finding:
        started = time.perf_counter()
        with session_scope(self._context.engine) as session:
            workers = [worker for worker in list_workers(session) if worker.kind in kinds]
            state = queue_state(session)
        alive = [worker for worker in workers if worker.is_alive]
        latency = _ms(started)
        if kinds == ("scheduler",):
            if alive:
                return _Finding(PartStatus.UP, f"{alive[0].name} on {alive[0].host}", latency)
            return _Finding(PartStatus.DOWN, "No scheduler runs.", latency)
        facts = {
            "runs_queued": float(state.queued),
            "runs_running": float(state.running),
            "agent_failures_24h": self._agent_failures(),
        }
        if not alive:
            return _Finding(PartStatus.DOWN, "No worker runs; start one with `helmsight worker`.", latency, facts)
        used, slots = sum(worker.slots_used for worker in alive), sum(worker.slots for worker in alive)
        facts |= {"workers": float(len(alive)), "slots_used": float(used)}
        return _Finding(PartStatus.UP, f"{len(alive)} alive, {used} of {slots} slots in use.", latency, facts)

    def _agent_failures(self) -> float:
        """Return how many agent runs of the last day failed; counted again every half minute."""
        if self._failures is None or time.monotonic() - self._failures[0] > _COUNT_EVERY_S:
            with session_scope(self._context.engine) as session:
                cells = agent_totals(session, Interval.last(timedelta(days=1)))
            self._failures = (time.monotonic(), float(sum(cell.failed or 0 for cell in cells.values())))
        return self._failures[1]

    def _mcp(self) -> _Finding:
        started = time.perf_counter()
        with session_scope(self._context.engine) as session:
            servers = [server for server in list_servers(session) if server.enabled]
        if not servers:
            return _Finding(PartStatus.ABSENT, "No MCP server is in the catalogue yet.")
        away = [server for server in servers if server.status != "up"]
        if away:
            named = "; ".join(f"{server.name}: {server.error or server.status}" for server in away)
            return _Finding(PartStatus.DOWN, f"{len(away)} of {len(servers)} servers away ({named}).", _ms(started))
        tools = sum(server.tools for server in servers)
        return _Finding(PartStatus.UP, f"{len(servers)} servers with {tools} tools.", _ms(started))

    def _agents(self) -> _Finding:
        client = self._context.redis
        if client is None:
            return _Finding(PartStatus.ABSENT, "Live states of agents need Redis.")
        started = time.perf_counter()
        states = agent_states(client)
        if not states:
            return _Finding(PartStatus.ABSENT, "No agent has reported a state.")
        failing = sum(state.status is AgentStatus.ERROR for state in states)
        facts = {"agents": float(len(states)), "agents_in_error": float(failing)}
        return _Finding(PartStatus.UP, f"{len(states)} agents, {failing} in error.", _ms(started), facts)


_monitors: WeakKeyDictionary[AppContext, HealthMonitor] = WeakKeyDictionary()
_monitors_lock = threading.Lock()


def collect_health(context: AppContext) -> Health:
    """Return which parts answer; blocks for at most a few seconds, so call it in a thread."""
    with _monitors_lock:
        monitor = _monitors.get(context)
        if monitor is None:
            monitor = _monitors[context] = HealthMonitor(context)
    return monitor.collect()


def close_health(context: AppContext) -> None:
    """Let go of what :func:`collect_health` keeps for *context*."""
    with _monitors_lock:
        monitor = _monitors.pop(context, None)
    if monitor is not None:
        monitor.close()


def _patiently(question: Callable[[], _Finding]) -> _Finding:
    try:
        return question()
    except HelmsightError as error:
        return _Finding(PartStatus.DOWN, error.message[:_MAX_DETAIL])


def _overall(parts: tuple[PartHealth, ...]) -> HealthStatus:
    down = {part.name for part in parts if part.status is PartStatus.DOWN}
    if down & {"postgres", "schema"}:
        return HealthStatus.DOWN
    return HealthStatus.DEGRADED if down else HealthStatus.OK


def _counts(context: AppContext) -> dict[str, float | None]:
    pool, async_pool = pool_state(context.engine), pool_state(context.async_engine)
    return {
        "websocket_connections": float(open_sockets()),
        "pool_size": float(pool.size + async_pool.size),
        "pool_checked_out": float(pool.checked_out + async_pool.checked_out),
        "pool_overflow": float(pool.overflow + async_pool.overflow),
    }


def _redis_version(client: redis.Redis) -> str:
    with redis_errors("it was asked for its version"):
        info = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
