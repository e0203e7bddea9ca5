"""What the API says of objectives. Shares are 0 to 1, lengths in seconds where a name ends in ``_s``, absence null."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from analytics.core.clock import Interval
from analytics.slo.backtest import Alarm, BacktestResult
from analytics.slo.burndown import BurnDown
from analytics.slo.catalogue import Change, Entry, Revision
from analytics.slo.checks import Problem
from analytics.slo.corrections import Added, Correction
from analytics.slo.evaluate import Projection, SloStatus
from analytics.slo.explain import BurnExplanation, Cost
from analytics.slo.forecast import Forecast
from analytics.slo.math import ErrorBudget
from analytics.slo.model import BurnPair, CalendarWindow, Window
from analytics.slo.report import SloSummary
from analytics.slo.specs.durations import duration_text
from analytics.slo.specs.native import dump_document
from analytics.slo.what_if import WhatIf
from analytics.store.queries.annotations import AnnotationRow
from analytics.store.queries.slo_alerts import SloAlertRow

Series = Sequence[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class PairOut:
    """A pair of burn windows."""

    severity: str
    tier: int
    """1 for the fastest."""
    long: str
    """Written like ``1h``."""
    short: str
    factor: float


@dataclass(frozen=True, slots=True)
class SloOut:
    """How an objective, or one group of it, stands."""

    id: str
    title: str
    service: str
    owner: str | None
    labels: Mapping[str, str]
    description: str
    revision: int
    """0 for a standard objective as shipped."""
    window: str
    """``30d`` for a rolling window; ``day``, ``week``, ``month``, ``quarter`` or ``year`` for one of the calendar."""
    zone: str | None
    """Of a window of the calendar."""
    since: datetime
    until: datetime
    """Of what was judged; ahead of now for a window of the calendar."""
    group: Mapping[str, str] | None
    """Labels of the group; null for the whole objective."""
    target: float
    sli: float | None
    compliant: bool | None
    """Null when too little was measured to say."""
    margin: float | None
    state: str
    unit: str
    """What is counted: ``events`` or ``slices`` of time."""
    good: float
    total: float
    budget: ErrorBudget | None
    projection: Projection | None
    """The budget of a whole calendar window, as time, if the rest of it is as busy."""
    burn_rates: Mapping[str, float | None]
    """By window, written like ``1h``."""
    firing: Sequence[PairOut]
    """Pairs of windows that are over their factor."""
    exhausted_in_s: float | None
    coverage_ratio: float
    excluded_s: float
    """What corrections take out."""
    measured_at: datetime | None
    is_stale: bool
    """Whether the newest numbers are older than they should be."""
    read_error: str | None
    warnings: Sequence[str]
    volume_warning: str | None
    includes_demo: bool
    series: Series
    group_count: int
    groups: Sequence["SloOut"]
    """The groups with least budget left; only when asked for."""
    members: Sequence["SloOut"]
    """Of a composite."""


@dataclass(frozen=True, slots=True)
class BrokenOut:
    """An objective whose definition cannot be read."""

    id: str
    revision: int
    problem: str


@dataclass(frozen=True, slots=True)
class SloReportOut:
    """All objectives, each over its window or all over one period."""

    since: datetime
    until: datetime
    summary: SloSummary
    objectives: Sequence[SloOut]
    broken: Sequence[BrokenOut]


@dataclass(frozen=True, slots=True)
class SloDetailOut:
    """One objective with its definition."""

    status: SloOut
    definition: Mapping[str, Any]
    """In the native form; what has its default value is left out."""
    revision: int
    """To be sent as ``If-Match`` with a change."""
    is_standard: bool
    updated_at: datetime | None
    updated_by: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class SavedOut:
    """What was stored."""

    id: str
    revision: int
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RevisionOut:
    """One state of a definition."""

    revision: int
    is_active: bool
    """False when it took the objective out of use."""
    definition: Mapping[str, Any] | None
    note: str
    created_at: datetime | None
    created_by: str
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class BurnDownOut:
    """How a budget was spent."""

    slo_id: str
    since: datetime
    until: datetime
    remaining: Series
    """Share of the budget of the window left at the end of each step."""
    bad: Series
    rolling: Series
    """Share left of the rolling window that ends with each step."""
    gaps: Sequence[Interval]
    excluded: Sequence[Interval]
    annotations: Sequence[AnnotationRow]


@dataclass(frozen=True, slots=True)
class ScenarioOut:
    """The budget if a recent burn rate goes on."""

    recent: str
    burn_rate: float
    exhausted_at: datetime | None
    remaining: Series


@dataclass(frozen=True, slots=True)
class ForecastOut:
    """How a budget goes on."""

    slo_id: str
    since: datetime
    until: datetime
    remaining: float | None
    unspent: Series
    scenarios: Sequence[ScenarioOut]


@dataclass(frozen=True, slots=True)
class BurnOut:
    """What one window that ends now has spent."""

    window: str
    good: float
    total: float
    rate: float | None
    spent: float | None
    """Share of the whole budget."""


@dataclass(frozen=True, slots=True)
class CostOut:
    """What a piece of time, or a group, took of the budget."""

    since: datetime
    until: datetime
    group: Mapping[str, str] | None
    bad: float
    share: float | None
    minutes: float
    annotation: AnnotationRow | None = None
    """What happened then, for the cost of something that happened."""


@dataclass(frozen=True, slots=True)
class ExplanationOut:
    """Where a budget went."""

    slo_id: str
    since: datetime
    until: datetime
    remaining: float | None
    windows: Sequence[BurnOut]
    firing: Sequence[PairOut]
    hours: Sequence[CostOut]
    groups: Sequence[CostOut]
    annotations: Sequence[CostOut]
    alerts: Sequence[SloAlertRow]


@dataclass(frozen=True, slots=True)
class AlarmOut:
    """One page or ticket a policy would have sent."""

    severity: str
    tiers: Sequence[int]
    started_at: datetime
    ended_at: datetime | None
    minutes: float
    bad: float
    spent_before: float | None
    spent_during: float | None
    peak_burn: float | None
    is_false: bool
    incident: str | None
    """Title of the known incident that explains it."""


@dataclass(frozen=True, slots=True)
class DetectionOut:
    """When a known incident was told of."""

    title: str
    since: datetime
    until: datetime
    paged_after_s: float | None
    ticketed_after_s: float | None


@dataclass(frozen=True, slots=True)
class BacktestOut:
    """What a policy would have done."""

    since: datetime
    until: datetime
    min_bad: int
    pages: Sequence[AlarmOut]
    tickets: Sequence[AlarmOut]
    page_minutes: float
    ticket_minutes: float
    false_pages: int
    false_tickets: int
    detected: int
    detections: Sequence[DetectionOut]
    median_delay_s: float | None


@dataclass(frozen=True, slots=True)
class BacktestsOut:
    """The policy as it is, beside the one that was tried."""

    slo_id: str
    current: BacktestOut
    tried: BacktestOut | None
    suggested_min_bad: int
    """The guard with the fewest false pages that loses no real alert."""


@dataclass(frozen=True, slots=True)
class WhatIfOut:
    """How an objective would stand under another target or window."""

    target: float
    window: str
    zone: str | None
    since: datetime
    until: datetime
    coverage_ratio: float
    sli: float | None
    compliant: bool | None
    margin: float | None
    budget: ErrorBudget | None
    exhausted_in_s: float | None
    pages: int
    tickets: int
    page_minutes: float
    false_pages: int
    events_allowed: float | None
    """That may be bad in a whole window; below 10, chance decides."""


@dataclass(frozen=True, slots=True)
class PreviewOut:
    """What an objective that is not stored would say of the past."""

    problems: Sequence[Problem]
    """What is doubtful about it, errors first."""
    stands: WhatIfOut
    remaining: Series
    gaps: Sequence[Interval]
    suggested_min_bad: int


@dataclass(frozen=True, slots=True)
class OverlapOut:
    """Time that another correction takes out as well; it is taken out once."""

    correction: Correction
    length_s: float
    first: Interval


@dataclass(frozen=True, slots=True)
class AddedOut:
    """A correction that was stored."""

    correction: Correction
    overlaps: Sequence[OverlapOut] = field(default=())


def slo(status: SloStatus) -> SloOut:
    """Return what is said of *status*."""
    objective = status.objective
    return SloOut(
        id=objective.id,
        title=objective.title,
        service=objective.service,
        owner=objective.owner,
        labels=objective.labels,
        description=objective.description,
        revision=objective.revision,
        **_window(objective.window),
        since=status.interval.since,
        until=status.interval.until,
        group=_labels(status.group_key),
        target=float(objective.target),
        sli=status.sli,
        compliant=status.compliant,
        margin=status.margin,
        state=status.state.value,
        unit=status.unit,
        good=status.good,
        total=status.total,
        budget=status.budget,
        projection=status.projection,
        burn_rates={duration_text(window): rate for window, rate in status.burn_rates.items()},
        firing=_pairs(status.alerts),
        exhausted_in_s=_seconds(status.exhausted_in),
        coverage_ratio=status.coverage_ratio,
        excluded_s=status.excluded_s,
        measured_at=status.measured_at,
        is_stale=status.is_stale,
        read_error=status.read_error,
        warnings=status.warnings,
        volume_warning=status.volume_warning,
        includes_demo=status.includes_demo,
        series=status.series,
        group_count=status.group_count,
        groups=[slo(item) for item in status.groups],
        members=[slo(item) for item in status.members],
    )


def detail(status: SloStatus, entry: Entry) -> SloDetailOut:
    """Return *status* with the definition that *entry* tells of."""
    return SloDetailOut(
        status=slo(status),
        definition=dump_document(status.objective),
        revision=entry.revision,
        is_standard=entry.is_standard,
        updated_at=entry.updated_at,
        updated_by=entry.updated_by,
        origin=entry.origin,
    )


def revision(row: Revision) -> RevisionOut:
    """Return what is said of one state of a definition."""
    return RevisionOut(
        revision=row.revision,
        is_active=row.is_active,
        definition=None if row.objective is None else dump_document(row.objective),
        note=row.note,
        created_at=row.created_at,
        created_by=row.created_by,
        changes=row.changes,
    )


def burn_down(found: BurnDown) -> BurnDownOut:
    """Return how a budget was spent."""
    return BurnDownOut(
        slo_id=found.objective.id,
        since=found.interval.since,
        until=found.interval.until,
        remaining=found.remaining,
        bad=found.bad,
        rolling=found.rolling,
        gaps=found.gaps,
        excluded=found.excluded,
        annotations=found.annotations,
    )


def forecast(found: Forecast) -> ForecastOut:
    """Return how a budget goes on."""
    return ForecastOut(
        slo_id=found.objective.id,
        since=found.interval.since,
        until=found.interval.until,
        remaining=found.remaining,
        unspent=found.unspent,
        scenarios=[
            ScenarioOut(duration_text(item.recent), item.burn_rate, item.exhausted_at, item.remaining)
            for item in found.scenarios
        ],
    )


def explanation(found: BurnExplanation) -> ExplanationOut:
    """Return where a budget went."""
    return ExplanationOut(
        slo_id=found.objective.id,
        since=found.interval.since,
        until=found.interval.until,
        remaining=found.remaining,
        windows=[
            BurnOut(duration_text(item.window), item.good, item.total, item.rate, item.spent) for item in found.windows
        ],
        firing=_pairs(found.firing),
        hours=[_cost(item) for item in found.hours],
        groups=[_cost(item) for item in found.groups],
        annotations=[
            CostOut(
                since=item.interval.since,
                until=item.interval.until,
                group=None,
                bad=item.bad,
                share=item.share,
                minutes=item.minutes,
                annotation=item.annotation,
            )
            for item in found.annotations
        ],
        alerts=found.alerts,
    )


def backtest(result: BacktestResult) -> BacktestOut:
    """Return what a policy would have done."""
    return BacktestOut(
        since=result.interval.since,
        until=result.interval.until,
        min_bad=result.policy.min_bad,
        pages=[_alarm(item) for item in result.pages],
        tickets=[_alarm(item) for item in result.tickets],
        page_minutes=result.page_minutes,
        ticket_minutes=result.ticket_minutes,
        false_pages=result.false_pages,
        false_tickets=result.false_tickets,
        detected=result.detected,
        detections=[
            DetectionOut(
                title=item.incident.title,
                since=item.incident.interval.since,
                until=item.incident.interval.until,
                paged_after_s=_seconds(item.paged_after),
                ticketed_after_s=_seconds(item.ticketed_after),
            )
            for item in result.detections
        ],
        median_delay_s=_seconds(result.median_delay),
    )


def what_if(found: WhatIf) -> WhatIfOut:
    """Return how an objective would stand."""
    return WhatIfOut(
        target=float(found.target),
        **_window(found.window),
        since=found.interval.since,
        until=found.interval.until,
        coverage_ratio=found.coverage,
        sli=found.sli,
        compliant=found.compliant,
        margin=found.margin,
        budget=found.budget,
        exhausted_in_s=_seconds(found.lasts),
        pages=found.pages,
        tickets=found.tickets,
        page_minutes=found.page_minutes,
        false_pages=found.false_pages,
        events_allowed=found.events_allowed,
    )


def added(found: Added) -> AddedOut:
    """Return a correction that was stored, with those that it meets."""
    return AddedOut(
        found.correction,
        [OverlapOut(item.correction, item.length.total_seconds(), item.first) for item in found.overlaps],
    )


def _window(window: Window) -> dict[str, Any]:
    if isinstance(window, CalendarWindow):
        return {"window": window.unit.value, "zone": window.zone}
    return {"window": duration_text(window.length), "zone": None}


def _labels(group_key: str) -> Mapping[str, str] | None:
    labels: dict[str, str] | None = orjson.loads(group_key) if group_key else None
    return labels


def _pairs(pairs: Iterable[BurnPair]) -> list[PairOut]:
    return [
        PairOut(pair.severity.value, pair.tier, duration_text(pair.long), duration_text(pair.short), pair.factor)
        for pair in pairs
    ]


def _cost(cost: Cost) -> CostOut:
    return CostOut(
        since=cost.interval.since,
        until=cost.interval.until,
        group=_labels(cost.group_key),
        bad=cost.bad,
        share=cost.share,
        minutes=cost.minutes,
    )


def _alarm(alarm: Alarm) -> AlarmOut:
    return AlarmOut(
        severity=alarm.severity.value,
        tiers=alarm.tiers,
        started_at=alarm.started_at,
        ended_at=alarm.ended_at,
        minutes=alarm.minutes,
        bad=alarm.bad,
        spent_before=alarm.spent_before,
        spent_during=alarm.spent_during,
        peak_burn=alarm.peak_burn,
        is_false=alarm.is_false,
        incident=None if alarm.incident is None else alarm.incident.title,
    )


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
