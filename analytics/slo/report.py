"""The report over all objectives, read from the ledger: a few small queries whatever the traffic was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time, require_aware
from analytics.slo import catalogue, ledger
from analytics.slo.evaluate import EVENTS, SLICES, STALE_AFTER, Facts, SloStatus, evaluate, windows_needed
from analytics.slo.history import History
from analytics.slo.ledger import DAY, HOUR, Reading, Want, to_buckets
from analytics.slo.math import sli
from analytics.slo.model import BUCKET, WHOLE, Budgeting, CompositeEvents, Objective, RawRatio
from analytics.slo.windows import period_at

MOST_GROUPS = 50
"""So many groups of an objective a report names."""

_POINTS = 30
_LAG = 2 * BUCKET
"""How late the newest bucket may be without being a gap."""


@dataclass(frozen=True, slots=True)
class SloSummary:
    """How many objectives stand how."""

    total: int
    compliant: int
    violated: int
    unknown: int
    """Too little measured to say."""
    budgets_exhausted: int


@dataclass(frozen=True, slots=True)
class SloReport:
    """All objectives, each over its window, or all over one interval."""

    interval: Interval
    """What was asked for; otherwise from where the longest of the windows starts until now."""
    statuses: Sequence[SloStatus]
    summary: SloSummary


def slo_report(
    session: Session,
    *,
    now: datetime,
    period: timedelta | None = None,
    interval: Interval | None = None,
    ids: Sequence[str] | None = None,
    group_keys: bool = False,
) -> SloReport:
    """Return how the objectives stood at *now*, each over its own window, or all over *period* or *interval*.

    A calendar window counts from its start until *now*. Windows are exact to five minutes. Burn rates, states and
    firing pairs are those at the end.

    Args:
        session: The open transaction.
        now: The present, for the report; later buckets are not read.
        period: The last so long instead of the windows of the objectives.
        interval: A named or chosen period instead, such as :func:`analytics.slo.windows.month_of`.
        ids: The objectives to report; None for all. Unknown ones are left out.
        group_keys: Whether to judge the groups of objectives as well.
    """
    now = require_aware(now)
    asked = interval or (None if period is None else Interval.last(period, now=now))
    everything = {item.id: item for item in catalogue.load(session)}
    end = floor_time(now if asked is None else min(now, asked.until), BUCKET)
    here = _Here(now, end, everything, ledger.readings(session, list(everything), until=end))
    wanted = [item for item in everything.values() if ids is None or item.id in ids]
    cases = [_Case(item, to_buckets(asked or period_at(item.window, now))) for item in wanted]
    if group_keys:
        cases += _groups(session, cases)
    found = _judged(session, cases, here)
    statuses = [_with_groups(status, found) for status in found if status.group_key == WHOLE]
    since = min((status.interval.since for status in statuses), default=end)
    return SloReport(asked or Interval(min(since, now), now), statuses, _summary(statuses))


@dataclass(frozen=True, slots=True)
class _Here:
    """What all objectives are judged by."""

    now: datetime
    end: datetime
    """When the time so far ends, at the bound of a bucket."""
    everything: Mapping[str, Objective]
    readings: Mapping[str, Reading]

    def sources(self, objective: Objective) -> list[Objective]:
        """Return the objectives whose events *objective* is made of: itself, or its members."""
        events = objective.indicator
        if not isinstance(events, CompositeEvents):
            return [objective]
        return [self.everything[member.slo_id] for member in events.members if member.slo_id in self.everything]

    def newest(self, objective: Objective, so_far: Interval) -> datetime:
        """Return when the newest bucket of *so_far* ends, or its end when there is none.

        Burn rates are of the time before it: the bucket still being read is no gap, and a source that falls silent
        leaves the last that is known. Of a composite, members that are overdue do not hold up the others.
        """
        ends = [self.readings[item.id].measured_at for item in self.sources(objective)]
        known = [min(at, so_far.until) for at in ends if at is not None and at > so_far.since]
        fresh = [at for at in known if at >= so_far.until - STALE_AFTER]
        return min(fresh) if fresh else max(known, default=so_far.until)


@dataclass(frozen=True, slots=True)
class _Case:
    """An objective, or one group of it, to be judged over a window."""

    objective: Objective
    interval: Interval
    group_key: str = WHOLE


def _groups(session: Session, cases: Sequence[_Case]) -> list[_Case]:
    grouped = {case.objective.id: case for case in cases if case.objective.group_by}
    if not grouped:
        return []
    keys = ledger.groups(session, list(grouped), since=min(case.interval.since for case in grouped.values()))
    return [replace(grouped[slo_id], group_key=key) for slo_id, found in keys.items() for key in found]


def _judged(session: Session, cases: Sequence[_Case], here: _Here) -> list[SloStatus]:
    """Return how each of *cases* stands, with one reading of the ledger."""
    wants = []
    for case in cases:
        so_far = Interval(case.interval.since, max(case.interval.since, min(here.end, case.interval.until)))
        newest = _to_slice(case.objective, here.newest(case.objective, so_far))
        judged = {item.id: item for item in (case.objective, *here.sources(case.objective))}
        longest = max(window for item in judged.values() for window in windows_needed(item))
        wants.append(Want(case.objective, so_far, _step(so_far.length), case.group_key))
        wants.append(Want(case.objective, Interval(newest - longest, newest), BUCKET, case.group_key))
    histories = ledger.read(session, wants)
    return [
        _status(case, history, recent, here)
        for case, history, recent in zip(cases, histories[::2], histories[1::2], strict=True)
    ]


def _step(length: timedelta) -> timedelta:
    """Return the longest step that leaves enough of them for a series."""
    return next(step for step in (DAY, HOUR, BUCKET) if length >= _POINTS * step or step == BUCKET)


def _status(case: _Case, history: History, recent: History, here: _Here) -> SloStatus:
    """Return how *case* stands, given its time so far and the latest of it by five minutes."""
    good, total, _ = history.totals()
    late = history.interval.until - here.newest(case.objective, history.interval)
    reading = _reading(case.objective, here)
    facts = Facts(
        good=good,
        total=total,
        coverage_ratio=history.coverage(lag=late if late <= _LAG else timedelta(0)),
        windows=_windows(recent),
        measured_at=reading.measured_at,
        demo_total=history.demo_total,
        series=_series(history),
        excluded_s=float(np.sum(history.excluded_s)),
        unit=_unit(history),
        read_error=reading.error,
        warnings=reading.warnings,
    )
    status = evaluate(case.objective, facts, interval=case.interval, now=here.now, group_key=case.group_key)
    if not history.parts:
        return status
    members = [
        _status(_Case(part.objective, case.interval), part, lately, here)
        for part, lately in zip(history.parts, recent.parts, strict=True)
    ]
    return replace(status, members=members)


def _reading(objective: Objective, here: _Here) -> Reading:
    """Return how far *objective* was measured; of a composite, as far as its oldest member that was at all."""
    sources = here.sources(objective)
    readings = [here.readings[item.id] for item in sources]
    if sources == [objective]:
        return readings[0]
    errors = [
        f"{item.title}: {reading.error}" for item, reading in zip(sources, readings, strict=True) if reading.error
    ]
    return Reading(
        min((reading.measured_at for reading in readings if reading.measured_at is not None), default=None),
        " ".join(errors) or None,
        [f"{item.title}: {text}" for item, found in zip(sources, readings, strict=True) for text in found.warnings],
    )


def _windows(recent: History) -> dict[timedelta, tuple[float, float]]:
    """Return good and total of the windows that end with *recent*."""
    windows = sorted(windows_needed(recent.objective))
    last = np.full(len(windows), len(recent))
    good, total = recent.between(np.maximum(0, last - np.array([window // recent.step for window in windows])), last)
    return dict(zip(windows, zip(good.tolist(), total.tolist(), strict=True), strict=True))


def _series(history: History) -> list[tuple[datetime, float | None]]:
    """Return the share of good events over at most thirty spans of *history*."""
    edges = np.unique(np.linspace(0, len(history), _POINTS + 1).astype(np.int64))
    good, total = history.between(edges[:-1], edges[1:])
    starts = history.bounds(edges[:-1].tolist())
    return [(start, sli(part, whole)) for start, part, whole in zip(starts, good.tolist(), total.tolist(), strict=True)]


def _unit(history: History) -> str:
    """Return what *history* counts; ratios that Prometheus computes count once for each bucket, so as slices."""
    counted = [part.objective for part in history.parts] or [history.objective]
    has_events = any(
        item.budgeting is Budgeting.OCCURRENCES and not isinstance(item.indicator, RawRatio) for item in counted
    )
    return EVENTS if has_events else SLICES


def _with_groups(status: SloStatus, found: Sequence[SloStatus]) -> SloStatus:
    """Return *status* with the groups of its objective, those with least budget left first."""
    groups = [item for item in found if item.objective.id == status.objective.id and item.group_key != WHOLE]
    groups.sort(key=lambda item: (item.budget is None, 0 if item.budget is None else item.budget.remaining_ratio))
    return replace(status, groups=groups[:MOST_GROUPS], group_count=len(groups))


def _summary(statuses: Sequence[SloStatus]) -> SloSummary:
    return SloSummary(
        total=len(statuses),
        compliant=sum(status.compliant is True for status in statuses),
        violated=sum(status.compliant is False for status in statuses),
        unknown=sum(status.compliant is None for status in statuses),
        budgets_exhausted=sum(status.budget is not None and status.budget.is_exhausted for status in statuses),
    )


def _to_slice(objective: Objective, moment: datetime) -> datetime:
    """Return *moment*, or where the slice that it is in starts when the budget counts slices."""
    return moment if objective.budgeting is Budgeting.OCCURRENCES else floor_time(moment, objective.slices.length)
