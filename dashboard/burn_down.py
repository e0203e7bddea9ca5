"""How an error budget was spent over its period, step by step; what the SLO page's chart draws."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import NotFoundError
from analytics.slo import Objective, ledger, objectives
from analytics.store.queries.annotations import AnnotationRow, list_annotations

_STEPS = 240


@dataclass(frozen=True, slots=True)
class BurnDown:
    """The budget of one objective over its period."""

    objective: Objective
    interval: Interval
    remaining: list[tuple[datetime, float | None]]
    """Share of the period's budget left at the end of each step: 1 is all, 0 none, below 0 overspent. None where
    nothing was measured."""
    bad: list[tuple[datetime, float | None]]
    """Bad events in each step."""
    annotations: list[AnnotationRow]
    """What happened to its service."""


def burn_down(session: Session, slo_id: str, *, now: datetime) -> BurnDown:
    """Return how the budget of *slo_id* was spent in the period before *now*.

    The budget is that of all events seen in the period, so the line ends at the share the report shows.

    Raises:
        NotFoundError: If there is no such objective.
    """
    objective = next((item for item in objectives() if item.id == slo_id), None)
    if objective is None:
        raise NotFoundError(f"There is no objective called {slo_id!r}.")
    since = floor_time(now - objective.period, ledger.HOUR) + ledger.HOUR
    step = max(ledger.HOUR, -(-(now - since) // (_STEPS * ledger.HOUR)) * ledger.HOUR)
    rows = ledger.sums_by_step(session, [slo_id], since=since, until=now, step=step)
    by_start = {row.start.astimezone(UTC): row for row in rows}
    allowed = objective.budget_ratio * sum(row.total for row in rows)
    remaining: list[tuple[datetime, float | None]] = []
    bad: list[tuple[datetime, float | None]] = []
    spent = 0.0
    for start in _steps(since, now, step):
        row = by_start.get(start)
        if row is None:
            remaining.append((start, None))
            bad.append((start, None))
            continue
        spent += row.total - row.good
        bad.append((start, row.total - row.good))
        remaining.append((min(start + step, now), 1 - spent / allowed if allowed > 0 else (1.0 if spent == 0 else 0.0)))
    interval = Interval(since, now)
    happened = list_annotations(session, interval, service=objective.service)
    return BurnDown(objective, interval, remaining, bad, happened)


def _steps(since: datetime, until: datetime, step: timedelta) -> list[datetime]:
    return [since + place * step for place in range(-(-(until - since) // step))]
