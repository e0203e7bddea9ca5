"""How an error budget was spent, step by step, with the times shown in which nothing was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.slo import catalogue
from analytics.slo.backtest import runs
from analytics.slo.evaluate import ENOUGH_COVERAGE
from analytics.slo.history import History
from analytics.slo.ledger import HOUR, Want, read
from analytics.slo.math import shares_left
from analytics.slo.model import BUCKET, Objective, RollingWindow
from analytics.slo.windows import period_at
from analytics.store.queries.annotations import AnnotationRow, list_annotations

POINTS = 240

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]

_FINE = timedelta(days=1)
"""Windows up to this are drawn from five-minute buckets."""
_LAG = 3 * BUCKET


@dataclass(frozen=True, slots=True)
class BurnDown:
    """The budget of one objective over its window."""

    objective: Objective
    interval: Interval
    remaining: Sequence[tuple[datetime, float | None]]
    """Share of the window's budget left at the end of each step: 1 is all, 0 none, below 0 overspent. None where
    nothing was measured."""
    bad: Sequence[tuple[datetime, float | None]]
    """Bad events, or time slices, in each step, by its start; None where nothing was measured."""
    rolling: Sequence[tuple[datetime, float | None]]
    """Share left of the window that ends with each step; None where less than 90 % of it was measured. Empty for
    calendar windows."""
    gaps: Sequence[Interval]
    """Times in which nothing was measured and nothing was corrected, oldest first."""
    excluded: Sequence[Interval]
    """Times that corrections take out whole, oldest first."""
    annotations: Sequence[AnnotationRow] = field(default=())
    """What happened to its service."""


def burndown(history: History, *, interval: Interval | None = None, points: int = POINTS) -> BurnDown:
    """Return how the budget of *interval* was spent.

    The budget is that of all events seen in the interval, so the line ends at the share the report shows.

    Args:
        history: Longer than *interval* by the window, where the rolling line is wanted.
        interval: Within the history; None for all of it.
        points: How many steps at most; each is a whole number of those of the history.

    Raises:
        InputError: If *points* is below 1.
    """
    return _drawn(history if interval is None else history.within(interval), lead=history, points=points)


def burn_down(session: Session, slo_id: str, *, now: datetime, points: int = POINTS) -> BurnDown:
    """Return how the budget of *slo_id* was spent in its window at *now*, with what happened to its service.

    Raises:
        NotFoundError: If there is no such objective.
    """
    objective = catalogue.find(session, slo_id)
    whole = period_at(objective.window, now)
    interval = Interval(whole.since, min(now, whole.until))
    step = BUCKET if interval.length <= _FINE else HOUR
    before = Interval(interval.since - objective.period, interval.until)
    history, lead = read(session, [Want(objective, interval, step), Want(objective, before, step)])
    happened = list_annotations(session, interval, service=objective.service)
    return replace(_drawn(history, lead=lead, points=points), annotations=happened)


def _drawn(history: History, *, lead: History, points: int) -> BurnDown:
    """Return the burn-down of *history*; *lead* has the same steps and end, and begins earlier."""
    if points < 1:
        raise InputError(f"A burn-down of {points} points cannot be drawn; ask for at least one.")
    bounds = np.append(np.arange(0, len(history), -(-len(history) // points) or 1), len(history))
    moments = history.bounds(bounds.tolist())
    first, last = bounds[:-1], bounds[1:]
    good, total = history.between(first, last)
    so_far, seen = history.between(np.zeros_like(last), last)
    is_known = _measured(history, first, last)
    whole = np.full(len(last), history.totals()[1])
    left = shares_left(whole - (seen - so_far), whole, history.objective.budget_ratio)
    remaining = [
        (end, value if known else None) for end, value, known in zip(moments[1:], left, is_known.tolist(), strict=True)
    ]
    rolling = list(zip(moments[1:], _rolling(history, lead, last), strict=False))
    if rolling and history.interval.length == history.objective.period:
        rolling[-1] = remaining[-1]  # the same window; steps of an hour are not exact where it begins within one
    return BurnDown(
        objective=history.objective,
        interval=history.interval,
        remaining=remaining,
        bad=[
            (start, value if known else None)
            for start, value, known in zip(moments[:-1], (total - good).tolist(), is_known.tolist(), strict=True)
        ],
        rolling=rolling,
        gaps=_gaps(history),
        excluded=_stretches(history, history.excluded_s >= history.step.total_seconds()),
    )


def _measured(history: History, first: Places, last: Places) -> NDArray[np.bool_]:
    """Return of each stretch of steps whether something was measured in it, or corrected away."""
    running = np.concatenate(([0.0], np.cumsum(history.measured_s + history.excluded_s)))
    return np.asarray(running[last] - running[first] > 0)


def _rolling(history: History, lead: History, last: Places) -> list[float | None]:
    """Return the share left of the window that ends with each step of the chart; nothing for calendar windows."""
    if not isinstance(history.objective.window, RollingWindow):
        return []
    window = history.objective.period
    offset, width = len(lead) - len(history), window // lead.step
    until = last + offset
    since = np.maximum(0, until - width)
    good, total = lead.between(since, until)
    measured = np.concatenate(([0.0], np.cumsum(lead.measured_s)))
    excluded = np.concatenate(([0.0], np.cumsum(lead.excluded_s)))
    seen, asked = measured[until] - measured[since], window.total_seconds() - (excluded[until] - excluded[since])
    left = shares_left(good, total, history.objective.budget_ratio)
    is_enough = (seen >= ENOUGH_COVERAGE * asked).tolist()
    return [value if enough else None for value, enough in zip(left, is_enough, strict=True)]


def _gaps(history: History) -> list[Interval]:
    """Return when nothing was measured; not the newest buckets, which may just not have been read yet."""
    gaps = _stretches(history, (history.measured_s == 0) & (history.excluded_s == 0))
    if gaps and gaps[-1].until == history.interval.until and gaps[-1].length <= _LAG:
        gaps.pop()
    return gaps


def _stretches(history: History, chosen: NDArray[np.bool_]) -> list[Interval]:
    return [Interval(*history.bounds(steps)) for steps in runs(chosen)]
