"""What an objective is, and where its good and total events come from. Nothing here reads anything."""

import enum
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from analytics.core.errors import InputError

BUCKET = timedelta(minutes=5)
"""Length of the smallest piece of the ledger."""

MONTH = timedelta(days=30)


class SloState(enum.StrEnum):
    """What an objective's numbers mean."""

    NO_DATA = "no_data"
    """No event was seen: nothing is known, which is not the same as good."""
    INSUFFICIENT_DATA = "insufficient_data"
    """Less than 90 % of the period was measured."""
    HEALTHY = "healthy"
    AT_RISK = "at_risk"
    """At the rate of the last day, the budget would be gone before the period is over."""
    DEGRADED = "degraded"
    """A pair of burn-rate windows is over its threshold now."""
    EXHAUSTED = "exhausted"


class SourceKind(enum.StrEnum):
    """Where events are counted."""

    PROMETHEUS = "prometheus"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class PromEvents:
    """Events counted by Prometheus.

    In every expression ``{window}`` stands for the length of a bucket. Exactly one of *good* and *bad* is given:
    of the two, the series that exists from the start (a missing *bad* is 0, a missing *good* is 0).
    """

    total: str
    present: str
    """An expression that has a value while the source is seen, whatever its events."""
    good: str | None = None
    bad: str | None = None

    def __post_init__(self) -> None:
        """Refuse both or neither of good and bad."""
        if (self.good is None) == (self.bad is None):
            raise InputError("Give either the good or the bad events of an objective, not both and not neither.")

    @property
    def kind(self) -> SourceKind:
        """Return where the events are counted."""
        return SourceKind.PROMETHEUS


@dataclass(frozen=True, slots=True)
class SqlEvents:
    """Events counted exactly, by rows of PostgreSQL.

    *statement* takes ``:since``, ``:until`` and ``:bucket`` (an interval), and returns ``bucket_start``, ``good``
    and ``total`` for the buckets that have events.
    """

    statement: str

    @property
    def kind(self) -> SourceKind:
        """Return where the events are counted."""
        return SourceKind.POSTGRES


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of events that must be good over a period."""

    id: str
    title: str
    service: str
    target: Decimal
    """0 to 1, as written in the specification; never a binary fraction of it."""
    events: PromEvents | SqlEvents
    description: str
    period: timedelta = MONTH

    def __post_init__(self) -> None:
        """Refuse targets that are no share."""
        if not 0 < self.target <= 1:
            raise InputError(f"The target of {self.id} is {self.target}; it must be above 0 and at most 1.")

    @property
    def budget_ratio(self) -> float:
        """Return the share of events that may be bad; 0 for a target of 100 %."""
        return float(1 - self.target)
