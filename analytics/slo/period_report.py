"""The report of a period: every objective against its target, what cost most, and how it was the period before."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, require_aware
from analytics.core.errors import InputError
from analytics.slo import catalogue, corrections, ledger
from analytics.slo.corrections import Correction
from analytics.slo.evaluate import SloStatus
from analytics.slo.explain import Cost, dearest
from analytics.slo.model import WHOLE, CalendarUnit, CalendarWindow, Objective, Severity
from analytics.slo.report import SloSummary, slo_report
from analytics.slo.windows import guard_of, named_period, period_at, previous_period
from analytics.store.paging import MAX_LIMIT
from analytics.store.queries.annotations import AnnotationRow, list_annotations
from analytics.store.queries.slo_alerts import SloAlertRow, list_alerts

MOST_INCIDENTS = 10
_WORTH_TELLING = 0.01
_AROUND = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One objective in the period and in the one before."""

    status: SloStatus
    before: SloStatus | None
    """None when too little was measured then for a verdict."""
    pages: int
    """Pages of the period. Those that overlap are one, as when several pairs of windows fire on the same incident."""
    tickets: int

    @property
    def sli_change(self) -> float | None:
        """Return how much the share of good events grew; None when either is not known."""
        if self.before is None or self.before.sli is None or self.status.sli is None:
            return None
        return self.status.sli - self.before.sli

    @property
    def spent(self) -> float | None:
        """Return the share of the budget that was spent, above 1 when overspent; None without events."""
        return _spent(self.status)

    @property
    def spent_before(self) -> float | None:
        """Return the same of the period before."""
        return None if self.before is None else _spent(self.before)


@dataclass(frozen=True, slots=True)
class CostlyTime:
    """A stretch of time in which an objective spent its budget faster than it may."""

    objective: Objective
    cost: Cost
    annotations: Sequence[AnnotationRow]
    """What happened then or up to an hour before: incidents of all services, and the rest of its own."""


@dataclass(frozen=True, slots=True)
class TakenOut:
    """A correction in force."""

    correction: Correction
    times: int
    """How often it takes place in the period."""
    length: timedelta
    """How much of the period it takes out in all."""


@dataclass(frozen=True, slots=True)
class PeriodReport:
    """All objectives over one period."""

    period: str
    """As it was asked for, such as ``month`` or ``2026-10``."""
    zone: str
    interval: Interval
    """The whole period, also where it reaches beyond the present."""
    made_at: datetime
    before: Interval
    """The period before, whole."""
    summary: SloSummary
    summary_before: SloSummary
    lines: Sequence[Line]
    """Least budget left first, those without events last."""
    incidents: Sequence[CostlyTime]
    """Dearest first."""
    corrections: Sequence[TakenOut]
    """Oldest first."""

    @property
    def is_over(self) -> bool:
        """Return whether the period had ended when the report was made."""
        return self.interval.until <= self.made_at


def period_report(
    session: Session, *, now: datetime, period: str = "month", zone: str = "UTC", ids: Sequence[str] | None = None
) -> PeriodReport:
    """Return the report of a period; every objective is judged over the period, not over its own window.

    Args:
        session: The open transaction.
        now: The present; a period that is not over counts up to it.
        period: ``month``, ``last-month``, ``2026-10``, ``30d`` and the like, see
            :func:`analytics.slo.windows.named_period`.
        zone: IANA name of the time zone in which days begin.
        ids: The objectives; None for all. Unknown ones are left out.

    Raises:
        InputError: If there is no such period or zone, or it has not begun.
    """
    now = require_aware(now)
    interval = named_period(period, now=now, zone=zone)
    if interval.since >= now:
        raise InputError(f"The period {period!r} begins on {interval.since:%Y-%m-%d}; there is nothing to report yet.")
    elapsed = Interval(interval.since, min(interval.until, now))
    before = _period_before(interval, zone)
    wanted = catalogue.load(session, ids=ids)
    chosen = [item.id for item in wanted]
    report = slo_report(session, now=now, interval=interval, ids=chosen)
    earlier = slo_report(session, now=now, interval=before, ids=chosen)
    return PeriodReport(
        period=period,
        zone=zone,
        interval=interval,
        made_at=now,
        before=before,
        summary=report.summary,
        summary_before=earlier.summary,
        lines=_lines(session, report.statuses, earlier.statuses, elapsed),
        incidents=_incidents(session, wanted, elapsed),
        corrections=_taken_out(session, wanted, elapsed),
    )


def _spent(status: SloStatus) -> float | None:
    return None if status.budget is None else 1 - status.budget.remaining_ratio


def _period_before(interval: Interval, zone: str) -> Interval:
    """Return the calendar span before *interval* when it is one, else as much time before it."""
    for unit in CalendarUnit:
        window = CalendarWindow(unit, zone)
        if period_at(window, interval.since) == interval:
            return previous_period(window, interval.since)
    return Interval(interval.since - interval.length, interval.since)


def _lines(
    session: Session, statuses: Sequence[SloStatus], earlier: Sequence[SloStatus], interval: Interval
) -> list[Line]:
    before = {status.objective.id: status for status in earlier if status.compliant is not None}
    alerts = _alerts(session, interval)
    lines = [
        Line(
            status,
            before.get(status.objective.id),
            pages=alerts[status.objective.id, Severity.PAGE],
            tickets=alerts[status.objective.id, Severity.TICKET],
        )
        for status in statuses
    ]
    return sorted(lines, key=lambda line: inf if line.status.budget is None else line.status.budget.remaining_ratio)


def _alerts(session: Session, interval: Interval) -> Counter[tuple[str, str]]:
    """Return how many alerts there were in *interval*, by objective and severity; groups' own do not count."""
    counts: Counter[tuple[str, str]] = Counter()
    open_until: dict[tuple[str, str, str], datetime] = {}
    whole = [row for row in _alert_rows(session, interval) if row.group_key == WHOLE]
    for row in sorted(whole, key=lambda row: row.started_at):
        kind = (row.slo_id, row.severity, row.kind)
        if kind not in open_until or row.started_at > open_until[kind]:
            counts[row.slo_id, row.severity] += 1
        open_until[kind] = max(open_until.get(kind, row.started_at), row.ended_at or interval.until)
    return counts


def _alert_rows(session: Session, interval: Interval) -> Iterator[SloAlertRow]:
    last = None
    while rows := list_alerts(session, interval=interval, with_inhibited=False, before=last, limit=MAX_LIMIT):
        yield from rows
        last = (rows[-1].started_at, rows[-1].id)


def _incidents(session: Session, wanted: Sequence[Objective], interval: Interval) -> list[CostlyTime]:
    histories = ledger.histories(session, wanted, interval, step=ledger.HOUR)
    found = [
        (objective, cost)
        for objective in wanted
        if objective.id in histories
        for cost in dearest(histories[objective.id], limit=MOST_INCIDENTS)
        if (cost.share is None or cost.share >= _WORTH_TELLING) and cost.bad >= guard_of(objective)
    ]
    found.sort(key=lambda item: (inf if item[1].share is None else item[1].share, item[1].bad), reverse=True)
    return [
        CostlyTime(objective, cost, _around(session, objective, cost.interval))
        for objective, cost in found[:MOST_INCIDENTS]
    ]


def _around(session: Session, objective: Objective, interval: Interval) -> list[AnnotationRow]:
    around = list_annotations(session, Interval(interval.since - _AROUND, interval.until))
    return [row for row in around if row.kind == "incident" or row.service in (None, objective.service)]


def _taken_out(session: Session, wanted: Sequence[Objective], interval: Interval) -> list[TakenOut]:
    ids, services = {item.id for item in wanted}, {item.service for item in wanted}
    found = []
    for correction in reversed(corrections.list_corrections(session, interval=interval)):
        concerns_us = correction.slo_id in ids or correction.service in services
        is_for_all = correction.slo_id is None and correction.service is None
        times = corrections.occurrences(correction, interval) if concerns_us or is_for_all else []
        if times:
            found.append(TakenOut(correction, len(times), sum((time.length for time in times), timedelta(0))))
    return found
