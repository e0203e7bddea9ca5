"""The report of a period: every objective against its target, what cost most, and how it was the period before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo.corrections import Correction
from analytics.slo.evaluate import SloStatus
from analytics.slo.explain import Cost
from analytics.slo.model import Objective
from analytics.slo.report import SloSummary
from analytics.store.queries.annotations import AnnotationRow

MOST_INCIDENTS = 10
_WORTH_TELLING = 0.01
_AROUND = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One objective in the period and in the one before."""

    status: SloStatus
    before: SloStatus | None
    """None when nothing was measured then."""
    pages: int
    """Pages that were open at some time of the period; those that a faster one covers do not count."""
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
        return None if self.status.budget is None else 1 - self.status.budget.remaining_ratio


@dataclass(frozen=True, slots=True)
class CostlyTime:
    """A stretch of time in which an objective spent its budget faster than it may."""

    objective: Objective
    cost: Cost
    annotations: Sequence[AnnotationRow]
    """What happened to its service then or up to an hour before."""


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
    raise NotImplementedError
