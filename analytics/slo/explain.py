"""Where an error budget went: which windows burn, which hours, groups and happenings cost most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.slo import catalogue
from analytics.slo.backtest import runs
from analytics.slo.evaluate import SloStatus
from analytics.slo.history import History
from analytics.slo.ledger import HOUR, Want, read
from analytics.slo.math import burn_rate
from analytics.slo.model import BUCKET, WHOLE, BurnPair, Objective
from analytics.slo.report import slo_report
from analytics.slo.windows import BURN_WINDOWS, period_at, windows_of
from analytics.store.paging import MAX_LIMIT
from analytics.store.queries.annotations import AnnotationRow, list_annotations
from analytics.store.queries.slo_alerts import SloAlertRow, list_alerts

TOP = 5
AFTER = timedelta(hours=1)
"""How long what a deployment breaks counts as its cost."""

_DAY = timedelta(days=1)
_FINE = timedelta(days=35)
"""Windows up to this are explained by five minutes, longer ones by the hour."""


@dataclass(frozen=True, slots=True)
class Burn:
    """What one window that ends now has spent."""

    window: timedelta
    good: float
    total: float
    rate: float | None
    """None without events; infinity for a bad event where none may be."""
    spent: float | None
    """Share of the whole budget."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of time, or a group, took of the budget."""

    interval: Interval
    bad: float
    share: float | None
    """Of the whole budget; None for a target of 100 %."""
    minutes: float
    """The same as time of a full outage."""
    group_key: str = WHOLE


@dataclass(frozen=True, slots=True)
class AnnotationCost:
    """What the budget lost around something that happened."""

    annotation: AnnotationRow
    interval: Interval
    """What was counted: what it lasted, or the hour after a moment, up to the next deployment."""
    bad: float
    """Bad events, or time slices, in it."""
    usual: float
    """How many there would have been at the error ratio of the day before."""
    share: float | None
    """Share of the whole budget that the others, beyond the usual, cost: 0 or more; None for a target of 100 %."""
    minutes: float
    """The same as time of a full outage."""


@dataclass(frozen=True, slots=True)
class BurnExplanation:
    """Where the budget of one objective went."""

    objective: Objective
    interval: Interval
    remaining: float | None
    """Share of the budget left; None without events."""
    windows: Sequence[Burn]
    """Shortest first."""
    firing: Sequence[BurnPair]
    hours: Sequence[Cost]
    """Those that cost most, dearest first; adjoining ones are taken together."""
    groups: Sequence[Cost]
    """Those that cost most, dearest first; of an objective without groups, none."""
    annotations: Sequence[AnnotationCost]
    """Dearest first."""
    alerts: Sequence[SloAlertRow]
    """In the interval, newest first."""


def annotation_costs(history: History, annotations: Sequence[AnnotationRow]) -> list[AnnotationCost]:
    """Return what each of *annotations* that touches *history* cost, in their order.

    Args:
        history: The window whose budget it is; by five minutes, for costs of that precision.
        annotations: What happened, oldest first.
    """
    deployed = [item.at for item in annotations if item.kind == "deploy"]
    costs = []
    for item in annotations:
        until = item.until or min([item.at + AFTER, *(at for at in deployed if at > item.at)])
        span = Interval(item.at, max(item.at, until))
        if span.since >= history.interval.until or span.until <= history.interval.since:
            continue
        first, last = history.place(floor_time(span.since, history.step)), history.place(span.until)
        before = max(0, first - _DAY // history.step)
        good, total = history.between(np.array([first, before]), np.array([last, first]))
        bad = float(total[0] - good[0])
        usual = float(total[0]) * float((total[1] - good[1]) / total[1]) if total[1] > 0 else 0.0
        share, minutes = _of_budget(history, max(0.0, bad - usual))
        costs.append(AnnotationCost(item, span, bad, usual, share, minutes))
    return costs


def dearest(history: History, *, limit: int = TOP) -> list[Cost]:
    """Return the stretches of whole hours that cost most, dearest first.

    Hours count whose error ratio is above the one allowed; adjoining ones make one stretch.
    """
    moments, bounds = history.hours()
    good, total = history.between(bounds[:-1], bounds[1:])
    bad = total - good
    stretches = [
        (float(bad[first:last].sum()), Interval(moments[first], moments[last]))
        for first, last in runs(bad > history.objective.budget_ratio * total)
    ]
    stretches.sort(key=lambda stretch: -stretch[0])
    return [_cost(history, span, spent) for spent, span in stretches[:limit]]


def explain_burn(session: Session, slo_id: str, *, now: datetime, interval: Interval | None = None) -> BurnExplanation:
    """Return where the budget of *slo_id* went in *interval*; None for its window at *now*.

    Raises:
        NotFoundError: If there is no such objective.
    """
    objective = catalogue.find(session, slo_id)
    whole = interval or period_at(objective.window, now)
    span = Interval(whole.since, max(whole.since, min(now, whole.until)))
    asked = slo_report(session, now=now, ids=[slo_id], interval=interval, group_keys=bool(objective.group_by))
    status = asked.statuses[0]
    step = BUCKET if span.length <= _FINE else HOUR
    recent = Interval(span.until - max(windows_of(objective) | set(BURN_WINDOWS)), span.until)
    history, lately = read(session, [Want(objective, span, step), Want(objective, recent)])
    happened = list_annotations(session, span, service=objective.service)
    with_its_end = Interval(span.since, span.until + timedelta(microseconds=1))
    return BurnExplanation(
        objective=objective,
        interval=span,
        remaining=None if status.budget is None else status.budget.remaining_ratio,
        windows=_burns(lately, history),
        firing=status.alerts,
        hours=dearest(history),
        groups=_groups(history, status.groups),
        annotations=sorted(annotation_costs(history, happened), key=lambda cost: -cost.minutes),
        alerts=list_alerts(session, slo_id=slo_id, interval=with_its_end, limit=MAX_LIMIT),
    )


def _burns(lately: History, history: History) -> list[Burn]:
    """Return what each window that ends with the newest measured bucket has spent, shortest first."""
    objective = lately.objective
    seen = np.flatnonzero(lately.measured_s > 0)
    last = int(seen[-1]) + 1 if len(seen) else len(lately)
    windows = sorted(windows_of(objective) | set(BURN_WINDOWS))
    first = np.array([max(0, last - window // lately.step) for window in windows], dtype=np.int64)
    good, total = lately.between(first, np.full_like(first, last))
    return [
        Burn(
            window,
            kept,
            whole,
            burn_rate(kept, whole, budget_ratio=objective.budget_ratio),
            _of_budget(history, whole - kept)[0] if whole else None,
        )
        for window, kept, whole in zip(windows, good.tolist(), total.tolist(), strict=True)
    ]


def _groups(history: History, groups: Sequence[SloStatus]) -> list[Cost]:
    costs = [_cost(history, history.interval, group.total - group.good, group.group_key) for group in groups]
    return sorted((cost for cost in costs if cost.bad > 0), key=lambda cost: -cost.bad)[:TOP]


def _cost(history: History, span: Interval, bad: float, group_key: str = WHOLE) -> Cost:
    return Cost(span, bad, *_of_budget(history, bad), group_key)


def _of_budget(history: History, bad: float) -> tuple[float | None, float]:
    """Return which share of the budget of *history* so many bad events are, and as how much of an outage they count."""
    _, total, _ = history.totals()
    allowed = history.objective.budget_ratio * total
    minutes = bad / total * (history.objective.period / timedelta(minutes=1)) if total > 0 else 0.0
    return (bad / allowed if allowed > 0 else None), minutes
