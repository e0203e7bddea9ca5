"""How the error budget goes on: what returns as bad events age out, and what recent burn rates would spend. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.slo.history import History
from analytics.slo.model import Objective

RECENT = (timedelta(hours=1), timedelta(hours=6), timedelta(days=3))
"""The times whose burn rates are carried on."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The budget if the burn rate of a recent time goes on."""

    recent: timedelta
    burn_rate: float
    """Of that time: a multiple, 0 or more."""
    remaining: Sequence[tuple[datetime, float | None]]
    """Share of the budget left at each step, the present first; None where no event is expected."""
    exhausted_at: datetime | None
    """When it is used up first: the present when it is already, None when not within the forecast."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How the budget goes on."""

    objective: Objective
    interval: Interval
    """From the end of the history to the end of the forecast."""
    remaining: float | None
    """Share of the budget left at present; None without events."""
    unspent: Sequence[tuple[datetime, float | None]]
    """The budget if no event were bad from now on: of a rolling window, how it returns."""
    scenarios: Sequence[Scenario]
    """Those of :data:`RECENT` in which an event was seen: together they make the fan."""


def forecast(history: History, *, horizon: timedelta | None = None, step: timedelta = timedelta(hours=1)) -> Forecast:
    """Return how the budget goes on after the end of *history*.

    Traffic is expected to be the median of the same hour of the week, as far as the history goes back.

    Args:
        history: At least the window of the objective before its end; what it lacks counts as unmeasured.
        horizon: How far to look; None for a quarter of a rolling window, or the rest of a calendar window.
        step: Between points; whole hours.
    """
    raise NotImplementedError
