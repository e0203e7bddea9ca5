"""How an objective would stand, and how often it would have alerted, under another target or window. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from analytics.core.clock import Interval
from analytics.slo.backtest import Incident, backtest
from analytics.slo.evaluate import ENOUGH_COVERAGE
from analytics.slo.history import History
from analytics.slo.math import ErrorBudget, burn_rate, coverage, error_budget, sli, time_to_exhaustion
from analytics.slo.model import RollingWindow, Window
from analytics.slo.windows import period_at

_RECENT = timedelta(days=1)
_LEAST = 0.01
"""Of less coverage than this, traffic is not extrapolated."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """How the objective would stand."""

    target: Decimal
    window: Window
    interval: Interval
    """What was judged: the window at the end of the history, as far as the history reaches."""
    coverage: float
    """Share of the interval that was measured, 0 to 1."""
    sli: float | None
    compliant: bool | None
    """None when less than 90 % of the window was measured."""
    margin: float | None
    budget: ErrorBudget | None
    """None without events."""
    lasts: timedelta | None
    """How long the rest lasts at the burn rate of the last day; zero when gone, None when it is not being spent."""
    pages: int
    """Over the interval, with pairs that follow from the target."""
    tickets: int
    page_minutes: float
    false_pages: int
    events_allowed: float | None
    """Events, or time slices, that may be bad in a whole window at this traffic; below 10 the target is too tight
    for the volume."""


def what_if(
    history: History,
    *,
    target: Decimal | None = None,
    window: Window | None = None,
    incidents: Sequence[Incident] = (),
) -> WhatIf:
    """Return how the objective of *history* would stand at its end; None keeps its own target or window.

    Pairs of its policy that were written down stay as they are; those that follow from target and window follow.

    Args:
        history: By five minutes, at least the window before its end; what it lacks counts as unmeasured.
        target: 0 to 1.
        window: Another one.
        incidents: What is known to have been wrong, to tell false pages.

    Raises:
        InputError: If *target* is not above 0 and at most 1.
    """
    window = window or history.objective.window
    target = history.objective.target if target is None else target
    history = replace(history, objective=replace(history.objective, target=target, window=window))
    whole = _window_at_end(window, history.interval.until)
    part = history.within(whole)
    good, total, measured_s = part.totals()
    ratio = part.objective.budget_ratio
    elapsed = part.interval.until - whole.since
    covered = coverage(measured_s, elapsed - timedelta(seconds=float(part.excluded_s.sum())))
    share = sli(good, total)
    budget = error_budget(good, total, budget_ratio=ratio, period=whole.length)
    told = backtest(history, incidents=incidents, since=part.interval.since)
    return WhatIf(
        target=target,
        window=window,
        interval=part.interval,
        coverage=covered,
        sli=share,
        compliant=None if share is None or covered < ENOUGH_COVERAGE else share >= float(target),
        margin=None if share is None else share - float(target),
        budget=budget,
        lasts=None if budget is None else _lasts(part, budget.remaining_ratio, whole.length),
        pages=len(told.pages),
        tickets=len(told.tickets),
        page_minutes=told.page_minutes,
        false_pages=told.false_pages,
        events_allowed=None if share is None else ratio * total * (whole.length / elapsed) / max(covered, _LEAST),
    )


def what_if_targets(
    history: History, targets: Sequence[Decimal], *, incidents: Sequence[Incident] = ()
) -> list[WhatIf]:
    """Return the same for each of *targets*, in their order."""
    return [what_if(history, target=target, incidents=incidents) for target in targets]


def _window_at_end(window: Window, until: datetime) -> Interval:
    """Return the span of *window* whose numbers stand at *until*: a calendar span that ends there is over, not new."""
    return period_at(window, until if isinstance(window, RollingWindow) else until - timedelta(microseconds=1))


def _lasts(history: History, remaining_ratio: float, period: timedelta) -> timedelta | None:
    good, total = history.trailing(_RECENT)
    if not len(total):
        return None
    rate = burn_rate(float(good[-1]), float(total[-1]), budget_ratio=history.objective.budget_ratio)
    return time_to_exhaustion(remaining_ratio, rate, period=period)
