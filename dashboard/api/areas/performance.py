"""The overview, the performance score with what it lost, what to do about it, and work items."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.insights.findings import InsightRow, list_insights
from analytics.kpi import KpiReading, KpiSeries, many_series, read_kpis, registry
from analytics.kpi.overview import SCORE_NAME, Overview, SuccessMetric, read_overview
from analytics.kpi.recommendations import Recommendation
from analytics.kpi.score import Score, score_of
from analytics.store.engine import pool_state, session_scope
from analytics.store.paging import MAX_LIMIT
from analytics.store.parallel import gather
from analytics.store.queries.work_items import WorkItemRow, WorkKind, list_work_items
from dashboard.advice import advise
from dashboard.api.health import HealthStatus, PartHealth, collect_health
from dashboard.api.operations import Asked, Call, CursorQuery, Listing, Operation, RangeQuery, decode_cursor, listing
from dashboard.auth.roles import Role
from dashboard.context import AppContext

_STEPS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_PRODUCTIVITY = ("runs", "agent_runs", "assessments", "recommendations", "events")
_UTILISATION = ("system_cpu", "system_memory", "system_disk", "db_pool_use", "queue_depth")


class OverviewQuery(RangeQuery):
    """What the overview is about."""

    include_details: bool = Field(
        default=False, description="Add the parts of the health, of the score and of caches, figures and newest work."
    )
    force_refresh: bool = Field(default=False, description="Read anew instead of answering from the cache.")


class TimeseriesQuery(Asked):
    """Which figures over how long, by which step."""

    hours: int = Field(default=24, ge=1, le=9600, description="The last so many hours.")
    interval: str = Field(default="1h", pattern=r"^[1-9]\d{0,3}[mhd]$", description="The step, like `5m`, `1h`, `1d`.")
    ids: str | None = Field(
        default=None, max_length=1000, description="Only these figures, separated by commas; else the score's."
    )

    @property
    def step(self) -> timedelta:
        """Return the step."""
        return int(self.interval[:-1]) * _STEPS[self.interval[-1]]


class DaysQuery(Asked):
    """The last so many days."""

    days: int = Field(default=30, ge=1, le=400, description="The last so many days.")


class WorkQuery(CursorQuery):
    """Which work items."""

    kind: Literal["assessment", "recommendation", "report"] | None = Field(default=None, description="Only of a kind.")
    status: Literal["open", "active", "completed", "failed"] | None = Field(default=None, description="Only so far.")


@dataclass(frozen=True, slots=True)
class PartOut:
    """What one figure brings to the score."""

    kpi_id: str
    title: str
    group: str
    unit: str
    value: float | None
    target: float | None
    state: str
    points: float | None
    weight: float
    share: float
    lost: float
    samples: int


@dataclass(frozen=True, slots=True)
class ScoreOut:
    """The performance score; what its parts lost, and the limit, add up to 100 less its value."""

    value: float | None
    state: str
    mean: float | None
    coverage: float
    """Share of the weight that has data, of the figures whose source is there."""
    unsourced: float
    """Share of the weight whose source is not there."""
    limited_by: str | None
    limit_lost: float
    samples: int
    measured_at: datetime | None
    since: datetime | None
    until: datetime | None
    includes_demo: bool
    parts: list[PartOut]


@dataclass(frozen=True, slots=True)
class HealthOut:
    """Whether the whole does its work."""

    status: HealthStatus
    checked_at: datetime
    version: str
    uptime_s: float
    parts: list[PartHealth]
    """With details only."""


@dataclass(frozen=True, slots=True)
class PoolOut:
    """A pool of connections of the process that answers."""

    pool_size: int
    max_size: int
    in_use: int
    overflow: int
    hit_rate: float | None
    """Share of callers who got a connection that was open already."""
    avg_wait_time: float | None
    """Seconds."""
    exhausted: int
    invalid: int


@dataclass(frozen=True, slots=True)
class CacheOut:
    """A cache of the process that answers."""

    hit_rate: float | None
    size: int
    max_size: int
    hits: int
    misses: int
    evictions: int
    expired: int
    regrets: int
    """Entries pushed out and asked for again while they would still have stood."""


@dataclass(frozen=True, slots=True)
class MetricsOut:
    """Pools and caches by name."""

    connections: Mapping[str, PoolOut]
    caching: Mapping[str, CacheOut]


@dataclass(frozen=True, slots=True)
class FigureOut:
    """A key figure in short."""

    id: str
    title: str
    unit: str
    value: float | None
    previous: float | None
    state: str
    samples: int
    measured_at: datetime | None


@dataclass(frozen=True, slots=True)
class OverviewOut:
    """How it stands."""

    timestamp: datetime
    """When it was read; the range ends no later."""
    since: datetime
    until: datetime
    system_health: HealthOut
    performance_score: float | None
    """0 to 100; null with data on less than half of the weight of what has a source."""
    score: ScoreOut
    """Its parts with details only."""
    metrics: MetricsOut
    work: list[WorkKind]
    """Their newest items with details only."""
    success: list[SuccessMetric]
    figures: list[FigureOut]
    """With details only."""


@dataclass(frozen=True, slots=True)
class SeriesOut:
    """One figure by step."""

    id: str
    title: str
    unit: str
    points: list[tuple[datetime, float | None, int]]
    """Start of the step, value (null where nothing was seen) and samples."""
    includes_demo: bool


@dataclass(frozen=True, slots=True)
class TimeseriesOut:
    """Figures over the same time."""

    since: datetime | None
    until: datetime | None
    """What was really measured: whole steps."""
    step_s: float
    series: list[SeriesOut]


@dataclass(frozen=True, slots=True)
class TrendOut:
    """A figure over the period: its course by day, and against the same length before."""

    figure: FigureOut
    days: list[tuple[datetime, float | None, int]]


@dataclass(frozen=True, slots=True)
class SystemInsightsOut:
    """What was done, how busy the system was, what stands out and what to do."""

    since: datetime
    until: datetime
    productivity: list[TrendOut]
    utilisation: list[TrendOut]
    findings: list[InsightRow]
    recommendations: list[Recommendation]


async def get_overview(call: Call) -> OverviewOut:
    """Return the overview."""
    query = call.query(OverviewQuery)
    return await call.in_thread(_overview, call.context, query)


async def get_score(call: Call) -> ScoreOut:
    """Return the score with its parts."""
    interval = call.query(RangeQuery).interval()
    return score_out(await call.in_thread(_score, call.context, interval), with_parts=True)


async def list_recommendations(call: Call) -> list[Recommendation]:
    """Return what to do for a better score."""
    return await call.in_thread(advise, call.context, call.query(RangeQuery).interval())


async def get_timeseries(call: Call) -> TimeseriesOut:
    """Return figures by step."""
    return await call.in_thread(_timeseries, call.context, call.query(TimeseriesQuery))


async def get_system_insights(call: Call) -> SystemInsightsOut:
    """Return trends, findings and advice."""
    return await call.in_thread(_system_insights, call.context, timedelta(days=call.query(DaysQuery).days))


async def list_work(call: Call) -> Listing:
    """Return work items, newest first."""
    query = call.query(WorkQuery)
    rows = await call.ask(
        list_work_items, kind=query.kind, status=query.status, before=decode_cursor(query.after), limit=query.limit
    )
    return listing(rows, query.limit, lambda row: (row.created_at, row.id))


def score_out(score: Score, *, with_parts: bool) -> ScoreOut:
    """Return *score* as the API says it."""
    return ScoreOut(
        value=score.value,
        state=str(score.state),
        mean=score.mean,
        coverage=score.coverage,
        unsourced=score.unsourced,
        limited_by=None if score.limited_by is None else score.limited_by.kpi.id,
        limit_lost=score.limit_lost,
        samples=score.samples,
        measured_at=score.measured_at,
        since=None if score.interval is None else score.interval.since,
        until=None if score.interval is None else score.interval.until,
        includes_demo=score.includes_demo,
        parts=[
            PartOut(
                kpi_id=part.kpi.id,
                title=part.kpi.title,
                group=part.kpi.group,
                unit=part.kpi.unit,
                value=part.reading.value,
                target=part.kpi.target,
                state=str(part.reading.state),
                points=part.points,
                weight=part.kpi.weight,
                share=part.share,
                lost=part.lost,
                samples=part.reading.samples,
            )
            for part in (score.parts if with_parts else ())
        ],
    )


def _overview(context: AppContext, query: OverviewQuery) -> OverviewOut:
    kept = context.caches.ask(
        "overview",
        (query.range, query.since, query.until),
        lambda: read_overview(context.engine, context.prom, query.interval()),
        tags=("kpis",),
        force=query.force_refresh,
    )
    found: Overview = kept.value
    health = collect_health(context)
    has_all = query.include_details
    return OverviewOut(
        timestamp=found.read_at,
        since=found.interval.since,
        until=found.interval.until,
        system_health=HealthOut(
            status=health.status,
            checked_at=health.checked_at,
            version=health.version,
            uptime_s=(health.checked_at - health.started_at).total_seconds(),
            parts=list(health.parts) if has_all else [],
        ),
        performance_score=found.score.value,
        score=score_out(found.score, with_parts=has_all),
        metrics=_metrics(context),
        work=[kind if has_all else _without_items(kind) for kind in found.work],
        success=list(found.success),
        figures=[_figure(reading) for reading in found.readings] if has_all else [],
    )


def _without_items(kind: WorkKind) -> WorkKind:
    return replace(kind, latest=[])


def _metrics(context: AppContext) -> MetricsOut:
    pools = [pool_state(context.engine), pool_state(context.async_engine)]
    return MetricsOut(
        connections={
            pool.name: PoolOut(
                pool_size=pool.size,
                max_size=pool.most,
                in_use=pool.checked_out,
                overflow=pool.overflow,
                hit_rate=pool.hit_rate,
                avg_wait_time=pool.mean_wait_s,
                exhausted=pool.exhausted,
                invalid=pool.invalid,
            )
            for pool in pools
        },
        caching={
            cache.name: CacheOut(
                hit_rate=cache.hit_rate,
                size=cache.size,
                max_size=cache.max_size,
                hits=cache.hits,
                misses=cache.misses,
                evictions=cache.evictions,
                expired=cache.expired,
                regrets=cache.regrets,
            )
            for cache in context.caches.stats()
        },
    )


def _score(context: AppContext, interval: Interval) -> Score:
    with session_scope(context.engine) as session:
        return score_of(read_kpis(session, context.prom, interval))


def _timeseries(context: AppContext, query: TimeseriesQuery) -> TimeseriesOut:
    if query.ids is not None:
        ids = [part.strip() for part in query.ids.split(",") if part.strip()]
    else:
        ids = [SCORE_NAME, *(item.id for item in registry() if item.target is not None and item.weight > 0)]
    if not ids:
        raise InputError("No figure is named; nothing was read.")
    interval = Interval.last(timedelta(hours=query.hours))
    with session_scope(context.engine) as session:
        found = many_series(session, context.prom, ids, interval, step=query.step)
    measured = next(iter(found.values())).interval if found else None
    return TimeseriesOut(
        since=None if measured is None else measured.since,
        until=None if measured is None else measured.until,
        step_s=query.step.total_seconds(),
        series=[_series(item) for item in found.values()],
    )


def _system_insights(context: AppContext, length: timedelta) -> SystemInsightsOut:
    interval = Interval.last(length, now=utc_now())
    ids = [*_PRODUCTIVITY, *_UTILISATION]

    def trends(session: Session) -> dict[str, KpiSeries]:
        return many_series(session, context.prom, ids, interval, step=timedelta(days=1))

    def figures(session: Session) -> list[KpiReading]:
        return read_kpis(session, context.prom, interval, ids=ids)

    def findings(session: Session) -> list[InsightRow]:
        return list_insights(session, since=interval.since, limit=MAX_LIMIT)

    questions: dict[str, Any] = {
        "trends": trends,
        "figures": figures,
        "findings": findings,
    }
    found = gather(context.engine, questions)
    courses: dict[str, KpiSeries] = found["trends"]
    by_id = {reading.kpi.id: _figure(reading) for reading in found["figures"]}
    return SystemInsightsOut(
        since=interval.since,
        until=interval.until,
        productivity=[TrendOut(by_id[name], _points(courses[name])) for name in _PRODUCTIVITY],
        utilisation=[TrendOut(by_id[name], _points(courses[name])) for name in _UTILISATION],
        findings=found["findings"],
        recommendations=advise(context, interval),
    )


def _figure(reading: KpiReading) -> FigureOut:
    return FigureOut(
        id=reading.kpi.id,
        title=reading.kpi.title,
        unit=reading.kpi.unit,
        value=reading.value,
        previous=reading.previous,
        state=str(reading.state),
        samples=reading.samples,
        measured_at=reading.measured_at,
    )


def _series(found: KpiSeries) -> SeriesOut:
    return SeriesOut(found.kpi.id, found.kpi.title, found.kpi.unit, _points(found), found.includes_demo)


def _points(found: KpiSeries) -> list[tuple[datetime, float | None, int]]:
    return [(point.start, point.value, point.samples) for point in found.points]


_RECOMMENDATIONS: Any = list[Recommendation]

OPERATIONS = (
    Operation(
        "GET",
        "/performance/overview",
        get_overview,
        "Return health, score, pools, caches, work items and measures of success over a range; kept for 60 s.",
        Role.VIEWER,
        OverviewOut,
        query=OverviewQuery,
    ),
    Operation(
        "GET",
        "/performance/timeseries",
        get_timeseries,
        "Return figures over the last hours by step; up to six hours by minutes, else by hours or days.",
        Role.VIEWER,
        TimeseriesOut,
        query=TimeseriesQuery,
    ),
    Operation(
        "GET",
        "/performance/score",
        get_score,
        "Return the performance score over a range with the points that each figure loses.",
        Role.VIEWER,
        ScoreOut,
        query=RangeQuery,
    ),
    Operation(
        "GET",
        "/performance/recommendations",
        list_recommendations,
        "Return what to do for a better score, what brings most first, each with its evidence and expected gain.",
        Role.VIEWER,
        _RECOMMENDATIONS,
        query=RangeQuery,
    ),
    Operation(
        "GET",
        "/analytics/system-insights",
        get_system_insights,
        "Return what was done and how busy the system was by day, what stands out, and what to do.",
        Role.VIEWER,
        SystemInsightsOut,
        query=DaysQuery,
        keep="queries",
        rests_on=("kpis", "insights"),
    ),
    Operation(
        "GET",
        "/work-items",
        list_work,
        "Return assessments, recommendations and reports, newest first.",
        Role.VIEWER,
        list[WorkItemRow],
        query=WorkQuery,
    ),
)
