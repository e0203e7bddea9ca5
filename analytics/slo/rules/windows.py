"""Pairs of burn-rate windows for a period, as Sloth catalogues them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class AlertWindow:
    """A long and a short window, and the share of the budget that the long one spends at the threshold."""

    budget_percent: Decimal
    short: timedelta
    long: timedelta


@dataclass(frozen=True, slots=True)
class AlertWindows:
    """The four pairs of a period."""

    period: timedelta
    page_quick: AlertWindow
    page_slow: AlertWindow
    ticket_quick: AlertWindow
    ticket_slow: AlertWindow


CATALOGUE: Mapping[timedelta, AlertWindows] = {}
