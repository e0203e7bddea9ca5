"""How an objective would stand, and how often it would have alerted, under another target or window. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from analytics.core.clock import Interval
from analytics.slo.backtest import Incident
from analytics.slo.history import History
from analytics.slo.math import ErrorBudget
from analytics.slo.model import Window


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

    Raises:
        InputError: If *target* is not above 0 and at most 1.
    """
    raise NotImplementedError


def what_if_targets(
    history: History, targets: Sequence[Decimal], *, incidents: Sequence[Incident] = ()
) -> list[WhatIf]:
    """Return the same for each of *targets*, in their order."""
    return [what_if(history, target=target, incidents=incidents) for target in targets]
