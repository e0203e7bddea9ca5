"""Findings with their evidence, and what lies ahead: forecasts, capacity, bounds that would fit."""

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.insights import findings, outlook
from analytics.insights.capacity import Growth
from analytics.insights.findings import Feedback, InsightRow
from analytics.insights.model import Evidence, InsightKind
from analytics.insights.outlook import BoundAdvice, Load, Outlook, Resource
from analytics.store.engine import session_scope
from dashboard.api.operations import Asked, Call, CursorQuery, Listing, Operation, decode_cursor, listing
from dashboard.auth.roles import Role

T = TypeVar("T")


class InsightsQuery(CursorQuery):
    """Which findings."""

    kind: InsightKind | None = Field(default=None, description="Only this kind.")
    kpi: str | None = Field(default=None, max_length=100, description="Only about this key figure.")
    days: int = Field(default=30, ge=1, le=90, description="Only those seen in the last so many days.")
    muted: bool = Field(default=False, description="Whether subjects that people found useless are told as well.")


class ForecastQuery(Asked):
    """What to forecast."""

    kpi: str = Field(max_length=100, description="Id of a key figure.")
    hours: int = Field(default=72, ge=1, le=168, description="How far to look ahead.")


class NewFeedback(Asked):
    """What the caller thinks of a finding."""

    useful: bool = Field(description="Whether it was of use.")
    note: str = Field(default="", max_length=findings.LONGEST_NOTE, description="Why.")


@dataclass(frozen=True, slots=True)
class InsightOut:
    """One finding with what it rests on."""

    insight: InsightRow
    evidence: Evidence
    feedback: Sequence[Feedback]


@dataclass(frozen=True, slots=True)
class ForecastOut:
    """How one figure goes on, by hours."""

    kpi_id: str
    unit: str
    read_at: datetime
    start: datetime
    """Start of the first hour that was measured."""
    step_s: float
    values: Sequence[float | None]
    ahead_from: datetime
    expected: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    samples: int
    includes_demo: bool
    bound: float | None
    """The bound of warning."""
    passes_at: datetime | None
    """First hour expected beyond it."""
    chance: float | None
    """That the worst hour is beyond it; null without a bound."""
    error: float | None
    """Mean distance of earlier forecasts from what came."""
    skill: float | None
    """By which share that is less than for repeating the last day."""
    trials: int


@dataclass(frozen=True, slots=True)
class Foretold:
    """The forecast of one figure."""

    forecast: ForecastOut | None
    """Null when too little of the figure is known."""


@dataclass(frozen=True, slots=True)
class GrowthOut:
    """How a daily figure grows."""

    kpi_id: str
    title: str
    unit: str
    first_day: datetime
    per_day: Sequence[float | None]
    level: float | None
    """Null, as what follows, with less than 14 days."""
    per_30_days: float | None
    per_30_days_low: float | None
    per_30_days_high: float | None
    confidence: float | None
    days: int
    samples: int
    includes_demo: bool


@dataclass(frozen=True, slots=True)
class ResourceOut:
    """Something limited, and when it comes to its bound."""

    growth: GrowthOut
    bound: float
    headroom: float | None
    days_likely: float | None
    """Null when it is not foreseen within two years."""
    days_early: float | None
    days_late: float | None
    driver: str | None
    """The load that explains most of it."""
    explained: float | None
    bearable: float | None
    """How many times the present busy load it bears."""


@dataclass(frozen=True, slots=True)
class CapacityOut:
    """Growth of loads and resources over the last 60 days."""

    since: datetime
    until: datetime
    read_at: datetime
    loads: Sequence[GrowthOut]
    resources: Sequence[ResourceOut]


@dataclass(frozen=True, slots=True)
class AdviceOut:
    """Bounds of a figure beside those that would have fitted the last four weeks."""

    kpi_id: str
    title: str
    unit: str
    revision: int
    target: float | None
    good: float | None
    warning: float | None
    alarms_per_week: float | None
    advised_target: float
    advised_good: float
    advised_warning: float
    advised_alarms_per_week: float
    hours: int
    """On how many hours it rests."""
    includes_demo: bool


async def get_insights(call: Call) -> Listing:
    """Return findings, found last first."""
    query = call.query(InsightsQuery)
    rows = await call.ask(
        findings.list_insights,
        kinds=None if query.kind is None else [query.kind],
        kpi_id=query.kpi,
        since=utc_now() - timedelta(days=query.days),
        with_muted=query.muted,
        before=decode_cursor(query.after),
        limit=query.limit,
    )
    return listing(rows, query.limit, lambda row: (row.found_at, row.id))


async def get_one(call: Call) -> InsightOut:
    """Return one finding."""
    insight_id: uuid.UUID = call.path("insight_id")
    found = await call.ask(findings.get_insight, insight_id)
    return InsightOut(found.row, found.evidence, found.feedback)


async def rate(call: Call) -> InsightOut:
    """Take in what the caller thinks of a finding."""
    body = call.body(NewFeedback)
    insight_id: uuid.UUID = call.path("insight_id")
    await call.ask(findings.give_feedback, insight_id, actor=call.viewer.actor, is_useful=body.useful, note=body.note)
    return await get_one(call)


async def get_kpi_forecast(call: Call) -> Foretold:
    """Return how a figure goes on."""
    query = call.query(ForecastQuery)
    found = await _read(
        call,
        lambda session: outlook.look_ahead(
            session, call.context.prom, query.kpi, now=utc_now(), ahead=timedelta(hours=query.hours)
        ),
    )
    return Foretold(None if found is None else _forecast(found))


async def get_capacity(call: Call) -> CapacityOut:
    """Return how loads grow and when resources come to their bounds."""
    found = await _read(call, lambda session: outlook.capacity(session, call.context.prom, now=utc_now()))
    return CapacityOut(
        found.interval.since,
        found.interval.until,
        found.read_at,
        [_growth(load) for load in found.loads],
        [_resource(resource) for resource in found.resources],
    )


async def get_advice(call: Call) -> list[AdviceOut]:
    """Return bounds that would have fitted."""
    found = await _read(call, lambda session: outlook.threshold_advice(session, call.context.prom, now=utc_now()))
    return [advice for one in found if (advice := _advice(one)) is not None]


async def _read(call: Call, ask: Callable[[Session], T]) -> T:
    def work() -> T:
        with session_scope(call.context.engine) as session:
            return ask(session)

    return await call.in_thread(work)


def _forecast(found: Outlook) -> ForecastOut:
    line = found.line
    return ForecastOut(
        kpi_id=line.kpi.id,
        unit=line.kpi.unit,
        read_at=found.read_at,
        start=line.start,
        step_s=line.step.total_seconds(),
        values=_plain(line.values),
        ahead_from=line.at(len(line.values)),
        expected=_plain(found.middle),
        low=_plain(found.low),
        high=_plain(found.high),
        samples=line.samples,
        includes_demo=line.includes_demo,
        bound=found.bound,
        passes_at=found.passes_at,
        chance=None if found.bound is None else found.chance,
        error=_known(found.error),
        skill=None if found.skill is None else _known(found.skill),
        trials=found.trials,
    )


def _growth(one: Load | Resource) -> GrowthOut:
    line = one.line
    growth: Growth | None = one.growth
    return GrowthOut(
        kpi_id=line.kpi.id,
        title=line.kpi.title,
        unit=line.kpi.unit,
        first_day=one.first_day,
        per_day=_plain(one.per_day),
        level=None if growth is None else growth.level,
        per_30_days=None if growth is None else growth.slope * 30,
        per_30_days_low=None if growth is None else growth.slope_low * 30,
        per_30_days_high=None if growth is None else growth.slope_high * 30,
        confidence=None if growth is None else growth.confidence,
        days=0 if growth is None else growth.days,
        samples=line.samples,
        includes_demo=line.includes_demo,
    )


def _resource(one: Resource) -> ResourceOut:
    reach = one.reach
    return ResourceOut(
        growth=_growth(one),
        bound=one.bound,
        headroom=one.headroom,
        days_likely=None if reach is None else _known(reach.likely),
        days_early=None if reach is None else _known(reach.early),
        days_late=None if reach is None else _known(reach.late),
        driver=one.driver,
        explained=one.explained,
        bearable=None if one.bearable is None else _known(one.bearable),
    )


def _advice(one: BoundAdvice) -> AdviceOut | None:
    kpi, found = one.line.kpi, one.advice
    if found is None:
        return None
    return AdviceOut(
        kpi_id=kpi.id,
        title=kpi.title,
        unit=kpi.unit,
        revision=kpi.revision,
        target=kpi.target,
        good=kpi.good,
        warning=kpi.warning,
        alarms_per_week=one.alarms_per_week_now,
        advised_target=found.target,
        advised_good=found.good,
        advised_warning=found.warning,
        advised_alarms_per_week=found.alarms_per_week,
        hours=found.steps,
        includes_demo=one.line.includes_demo,
    )


def _plain(values: Any) -> list[float | None]:
    return [_known(value) for value in values.tolist()]


def _known(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


OPERATIONS = (
    Operation(
        "GET",
        "/insights",
        get_insights,
        "List what was found in the course of key figures, found last first.",
        Role.VIEWER,
        Listing,
        query=InsightsQuery,
    ),
    Operation(
        "GET",
        "/insights/capacity",
        get_capacity,
        "Return how loads grow over 60 days, and when resources come to their bounds.",
        Role.VIEWER,
        CapacityOut,
        max_age_s=60,
    ),
    Operation(
        "GET",
        "/insights/forecast",
        get_kpi_forecast,
        "Return how a key figure goes on by hours, with the interval that held 90 % in trials.",
        Role.VIEWER,
        Foretold,
        query=ForecastQuery,
        max_age_s=60,
    ),
    Operation(
        "GET",
        "/insights/threshold-advice",
        get_advice,
        "Return bounds that would have fitted the last four weeks, beside those that count.",
        Role.VIEWER,
        list[AdviceOut],
        max_age_s=60,
    ),
    Operation(
        "GET",
        "/insights/{insight_id:uuid}",
        get_one,
        "Return one finding with its evidence and what people think of it.",
        Role.VIEWER,
        InsightOut,
    ),
    Operation(
        "POST",
        "/insights/{insight_id:uuid}/feedback",
        rate,
        "Say whether a finding was of use; a subject found useless twice is muted.",
        Role.ANALYST,
        InsightOut,
        body=NewFeedback,
        doing="rate findings",
    ),
)
