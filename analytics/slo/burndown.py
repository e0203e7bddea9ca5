"""How an error budget was spent, step by step, with the times shown in which nothing was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo.history import History
from analytics.slo.model import Objective
from analytics.store.queries.annotations import AnnotationRow

POINTS = 240


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
        points: How many steps at most.
    """
    raise NotImplementedError


def burn_down(session: Session, slo_id: str, *, now: datetime, points: int = POINTS) -> BurnDown:
    """Return how the budget of *slo_id* was spent in its window at *now*, with what happened to its service.

    Raises:
        NotFoundError: If there is no such objective.
    """
    raise NotImplementedError
