"""The arithmetic of error budgets: pure, over counts, and defined for silence and for a target of 100 %.

Source of the terms:
    Google, *The Site Reliability Workbook*, chapter 5, "Alerting on SLOs".
"""

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.core.errors import InputError


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """How many events, or slices of time, may be bad in a period, and how many were."""

    total_events: float
    consumed_events: float
    remaining_events: float
    """Below 0 when more was consumed than there was."""
    remaining_ratio: float
    """1 when nothing is consumed, 0 when all is; below 0 beyond that, minus infinity where nothing may be bad."""
    is_exhausted: bool
    minutes: float
    """The same budget as time of a full outage over the period: 43.2 for 99.9 % of 30 days."""


def sli(good: float, total: float) -> float | None:
    """Return the share of good events, 0 to 1, or None when there was no event.

    Raises:
        InputError: If *good* is below 0 or above *total*.
    """
    if not 0 <= good <= total:
        raise InputError(f"{good:g} good of {total:g} events cannot have been counted.")
    return good / total if total > 0 else None


def error_budget(good: float, total: float, *, budget_ratio: float, period: timedelta) -> ErrorBudget | None:
    """Return the budget of *period* after *total* events, or None when there was no event.

    Args:
        good: Good events.
        total: All events.
        budget_ratio: Share of events that may be bad; 0 for a target of 100 %.
        period: The period the budget is for.

    Raises:
        InputError: If *good* is below 0 or above *total*.
    """
    if sli(good, total) is None:
        return None
    allowed, consumed = budget_ratio * total, total - good
    remaining_ratio = 1 - consumed / allowed if allowed > 0 else _all_or_nothing(consumed)
    return ErrorBudget(
        total_events=allowed,
        consumed_events=consumed,
        remaining_events=allowed - consumed,
        remaining_ratio=remaining_ratio,
        is_exhausted=remaining_ratio <= 0,
        minutes=budget_ratio * period / timedelta(minutes=1),
    )


def burn_rate(good: float, total: float, *, budget_ratio: float) -> float | None:
    """Return the error ratio over the ratio allowed: 1 spends the budget in exactly the period.

    Returns:
        Dimensionless multiple, 0 or more; None when there was no event; infinity when an event was bad although none
        may be.

    Raises:
        InputError: If *good* is below 0 or above *total*.
    """
    share = sli(good, total)
    if share is None:
        return None
    bad_ratio = (total - good) / total
    if budget_ratio > 0:
        return bad_ratio / budget_ratio
    return 0.0 if bad_ratio == 0 else math.inf


def burn_threshold(budget_share: float, *, window: timedelta, period: timedelta) -> float:
    """Return the burn rate that spends *budget_share* of the budget of *period* within *window*.

    Raises:
        InputError: If *window* is not positive or longer than *period*, or the share is not above 0 and at most 1.

    Source:
        Google, *The Site Reliability Workbook*, chapter 5, table 5-8: 14.4, 6 and 1 for 2 % in 1 h, 5 % in 6 h and
        10 % in 3 d of 30 d.
    """
    if not timedelta(0) < window <= period:
        raise InputError(f"A window of {window} does not fit into a period of {period}.")
    if not 0 < budget_share <= 1:
        raise InputError(f"A share of {budget_share} of a budget cannot be spent.")
    return budget_share * (period / window)


def time_to_exhaustion(remaining_ratio: float, rate: float | None, *, period: timedelta) -> timedelta | None:
    """Return how long the budget lasts at burn *rate*; zero when it is gone, None when it is not being spent."""
    if remaining_ratio <= 0:
        return timedelta(0)
    if rate is None or rate <= 0:
        return None
    return period * (remaining_ratio / rate)


def coverage(measured_s: float, elapsed: timedelta) -> float:
    """Return the share of *elapsed* in which the source was seen, 0 to 1; 0 when no time has passed."""
    if elapsed <= timedelta(0):
        return 0.0
    return min(1.0, max(0.0, measured_s / elapsed.total_seconds()))


def _all_or_nothing(consumed: float) -> float:
    return 1.0 if consumed == 0 else -math.inf


def shares_left(good: NDArray[np.float64], total: NDArray[np.float64], budget_ratio: float) -> list[float | None]:
    """Return the share of the budget that is left of each pair of sums, as :func:`error_budget` does of one.

    None where there was no event.
    """
    bad = total - good
    with np.errstate(divide="ignore", invalid="ignore"):
        spent = bad / (budget_ratio * total) if budget_ratio > 0 else np.where(bad > 0, np.inf, 0.0)
    return [1 - value if whole > 0 else None for value, whole in zip(spent.tolist(), total.tolist(), strict=True)]
