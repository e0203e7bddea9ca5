"""The report over all objectives, read from the hourly ledger: three small queries whatever the traffic was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time, require_aware
from analytics.slo import ledger
from analytics.slo.defaults import objectives
from analytics.slo.evaluate import Facts, SloStatus, evaluate, windows_needed
from analytics.slo.math import Buckets, coverage, sli_series, sums
from analytics.slo.model import BUCKET, MONTH, Objective
from analytics.slo.windows import BURN_WINDOWS

_POINTS = 30
_LAG = 2 * BUCKET


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
    del group_keys
    period = period or MONTH
    asked = interval or Interval.last(period, now=now)
    until = min(require_aware(now), require_aware(asked.until))
    span = Interval(min(_ceil_hour(asked.since), until), until)
    wanted = [item for item in objectives() if ids is None or item.id in ids]
    facts = _facts(session, wanted, span, asked.length)
    statuses = [evaluate(item, facts[item.id], windows=BURN_WINDOWS, period=asked.length) for item in wanted]
    return SloReport(asked, statuses, _summary(statuses))


def _facts(session: Session, wanted: Sequence[Objective], span: Interval, period: timedelta) -> Mapping[str, Facts]:
    ids = [item.id for item in wanted]
    step = max(ledger.HOUR, _ceil_hours(span.length / _POINTS))
    rows: dict[str, list[ledger.LedgerRow]] = {name: [] for name in ids}
    for row in ledger.sums_by_step(session, ids, since=span.since, until=span.until, step=step):
        rows[row.slo_id].append(row)
    needed = [
        (item.id, window)
        for item in wanted
        for window in sorted(windows_needed(item, shown=BURN_WINDOWS, period=period))
    ]
    end = floor_time(span.until, BUCKET)
    newest = ledger.newest(session, ids, until=span.until)
    ends = {name: min(end, start + BUCKET) for name, start in newest.items() if start + BUCKET >= end - _LAG}
    windows = _windows(session, needed, ends, end)
    return {name: _fact(rows[name], windows.get(name, {}), newest.get(name), span, step) for name in ids}


def _windows(
    session: Session, needed: Sequence[tuple[str, timedelta]], ends: Mapping[str, datetime], end: datetime
) -> dict[str, dict[timedelta, tuple[float, float]]]:
    """Return sums of windows that end with the newest bucket, so that the bucket still being read is no gap."""
    found: dict[str, dict[timedelta, tuple[float, float]]] = {}
    for until in sorted({ends.get(name, end) for name, _ in needed}):
        group = [(name, window) for name, window in needed if ends.get(name, end) == until]
        for (name, window), row in ledger.sums_by_window(session, group, until=until).items():
            found.setdefault(name, {})[window] = (row.good, row.total)
    return found


def _fact(
    rows: Sequence[ledger.LedgerRow],
    windows: Mapping[timedelta, tuple[float, float]],
    newest: datetime | None,
    span: Interval,
    step: timedelta,
) -> Facts:
    buckets = Buckets(
        np.array([row.good for row in rows], dtype=np.float64),
        np.array([row.total for row in rows], dtype=np.float64),
        np.array([row.measured_s for row in rows], dtype=np.float64),
    )
    good, total, measured_s = sums(buckets)
    by_start = dict(zip([row.start.astimezone(UTC) for row in rows], sli_series(buckets), strict=True))
    starts = [span.since + place * step for place in range(-(-span.length // step))]
    return Facts(
        good=good,
        total=total,
        coverage_ratio=coverage(measured_s, span.length - _LAG if span.length > 2 * _LAG else span.length),
        windows=windows,
        measured_at=None if newest is None else newest + BUCKET,
        demo_total=sum(row.demo_total for row in rows),
        series=[(start, by_start.get(start)) for start in starts],
    )


def _summary(statuses: Sequence[SloStatus]) -> SloSummary:
    return SloSummary(
        total=len(statuses),
        compliant=sum(status.compliant is True for status in statuses),
        violated=sum(status.compliant is False for status in statuses),
        unknown=sum(status.compliant is None for status in statuses),
        budgets_exhausted=sum(status.budget is not None and status.budget.is_exhausted for status in statuses),
    )


def _ceil_hour(moment: datetime) -> datetime:
    floor = floor_time(moment, ledger.HOUR)
    return floor if floor == moment else floor + ledger.HOUR


def _ceil_hours(length: timedelta) -> timedelta:
    return -(-length // ledger.HOUR) * ledger.HOUR
