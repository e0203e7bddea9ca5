"""What the pages Operations and Performance ask; beside :mod:`dashboard.data`, in the same form."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.core.memo import CacheStats
from analytics.core.telemetry import DB_QUERY_SECONDS, HTTP_REQUEST_SECONDS, PAGE_LOAD_SECONDS, PAGE_SECONDS
from analytics.kpi.model import grid_of
from analytics.kpi.timings import Timing, courses, own_timings, timings
from analytics.rollup.cell import Cell
from analytics.rollup.read import DAY, HOUR, Course, Want, keys, read_many
from analytics.store.engine import PoolState, pool_state, session_scope
from dashboard.cache_stats import all_caches, open_sockets, page_sessions, question_caches
from dashboard.context import AppContext
from dashboard.data import question
from dashboard.filters import Span

_SOON = timedelta(seconds=5)
_BY_NAME, _BY_TAGS = "sample.name", "sample.name_tags"
_HOST = ("system_cpu_ratio", "system_memory_ratio", "system_disk_ratio")
_PARTS = ("cache_hit_ratio", "db_pool_used_ratio", "db_pool_wait_s", "http_response_s", "http_error_ratio")
_RAW_UP_TO = timedelta(hours=6)
_HOURS_UP_TO = timedelta(days=7)
_UNIT = "\x1f"

Points = Sequence[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things took, and where that is known from."""

    interval: Interval | None
    """What was measured; None for counts of this process since its start."""
    endpoints: Sequence[Timing]
    """Requests, by group and area."""
    pages: Sequence[Timing]
    """Runs of pages on the server, by page."""
    loads: Sequence[Timing]
    """First loads of pages as browsers report them, by page."""
    database: Sequence[Timing]
    """SQL statements, by the kind of process that sent them."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled line over time."""

    name: str
    """The metric."""
    of: str
    """Which cache, pool or group; empty where there is only one."""
    points: Points
    total: Cell
    """Of the whole range; its value is the mean over the samples."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What processes sampled of themselves."""

    interval: Interval
    lines: Sequence[Sampled]

    def of(self, name: str) -> list[Sampled]:
        """Return the lines of one metric."""
        return [line for line in self.lines if line.name == name]


@dataclass(frozen=True, slots=True)
class ProcessParts:
    """The process that answers, at this moment."""

    started_at: datetime
    pools: Sequence[PoolState]
    caches: Sequence[CacheStats]
    questions: Sequence[CacheStats]
    """The caches of pages, one for each question."""
    is_shared: bool
    """Whether Redis takes part in the caches now."""
    sockets: int
    sessions: int


@question(part="prometheus")
def times_of(context: AppContext, span: Span) -> Timings:
    """Return how long requests, pages and statements took in *span*; without Prometheus since this process began."""
    prom = context.prom
    if prom is None:
        return Timings(
            None,
            own_timings(HTTP_REQUEST_SECONDS, ("group", "area")),
            own_timings(PAGE_SECONDS, ("page",)),
            own_timings(PAGE_LOAD_SECONDS, ("page",)),
            own_timings(DB_QUERY_SECONDS, ("role",)),
        )
    interval = span.interval()
    return Timings(
        interval,
        timings(prom, "helmsight_http_request_duration_seconds", ("group", "area"), interval),
        timings(prom, "helmsight_page_run_duration_seconds", ("page",), interval),
        timings(prom, "helmsight_page_load_duration_seconds", ("page",), interval),
        timings(prom, "helmsight_db_query_duration_seconds", ("role",), interval),
    )


@question(part="prometheus")
def answer_courses(context: AppContext, span: Span) -> Mapping[str, Points]:
    """Return the 95th percentile of answer times over *span* by group of requests; empty without Prometheus."""
    if context.prom is None:
        return {}
    interval = span.interval()
    step = grid_of(interval).step
    return courses(context.prom, "helmsight_http_request_duration_seconds", "group", 0.95, interval, step=step)


@question()
def samples_of_parts(context: AppContext, span: Span) -> Samples:
    """Return what processes sampled of their pools, caches and answers over *span*."""
    interval = span.interval()
    with session_scope(context.engine) as session:
        wanted = [Want(_BY_TAGS, key) for key in keys(session, _BY_TAGS, interval) if key.split(_UNIT)[0] in _PARTS]
        found = read_many(session, wanted, interval, step=_step(interval), with_before=False)
    return Samples(interval, [line for want, course in found.items() for line in _sampled(want, course)])


@question()
def samples_of_host(context: AppContext, span: Span) -> Samples:
    """Return how busy the host was over *span*."""
    interval = span.interval()
    with session_scope(context.engine) as session:
        wanted = [Want(_BY_NAME, name) for name in _HOST]
        found = read_many(session, wanted, interval, step=_step(interval), with_before=False)
    return Samples(interval, [line for want, course in found.items() for line in _sampled(want, course)])


@question(fresh_for=_SOON, part="process")
def parts_of_process(context: AppContext) -> ProcessParts:
    """Return the pools, caches and connections of the process that answers."""
    return ProcessParts(
        started_at=context.started_at,
        pools=(pool_state(context.engine), pool_state(context.async_engine)),
        caches=all_caches(context),
        questions=question_caches(),
        is_shared=context.caches.is_shared,
        sockets=open_sockets(),
        sessions=page_sessions(),
    )


def _step(interval: Interval) -> timedelta:
    """Return the step of a course: at most some 170 points."""
    if interval.length <= _RAW_UP_TO:
        return timedelta(minutes=1) if interval.length <= HOUR else timedelta(minutes=5)
    return HOUR if interval.length <= _HOURS_UP_TO else DAY


def _sampled(want: Want, course: Course) -> Iterator[Sampled]:
    name, _, tags = want.key.partition(_UNIT)
    of = "" if not tags else ", ".join(str(value) for value in json.loads(tags).values())
    points = [(start, None if cell is None else cell.mean_value) for start, cell in course.steps]
    if course.total is not None:
        yield Sampled(name, of, points, course.total)
