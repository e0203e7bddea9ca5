"""What an objective is, and where its good and total events come from. Nothing here reads anything."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from analytics.core.errors import InputError

BUCKET = timedelta(minutes=5)
"""Length of the smallest piece of the ledger."""

MONTH = timedelta(days=30)

WHOLE = ""
"""Group key of an objective as a whole; the other keys are JSON objects of labels, sorted by name."""


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


# ---- Indicators ----


@dataclass(frozen=True, slots=True)
class PromEvents:
    """Events counted by Prometheus.

    In every expression ``{window}`` stands for the length of a bucket. Exactly one of *good* and *bad* is given:
    of the two, the series that exists from the start (a missing *bad* is 0, a missing *good* is 0).
    """

    total: str
    present: str | None = None
    """An expression that has a value while the source is seen, whatever its events; None to go by *total*."""
    good: str | None = None
    bad: str | None = None
    per_second: bool = False
    """Whether the expressions are rates; they are multiplied by the seconds of the bucket."""

    def __post_init__(self) -> None:
        """Refuse both or neither of good and bad."""
        if (self.good is None) == (self.bad is None):
            raise InputError("Give either the good or the bad events of an objective, not both and not neither.")


@dataclass(frozen=True, slots=True)
class LatencyEvents:
    """Events of a classic histogram, good when not slower than a bound; the bound must be one of its buckets."""

    histogram: str
    """Name of the metric without ``_bucket`` and ``_count``."""
    threshold: Decimal
    """In the unit of the histogram, as a rule seconds."""
    matchers: str = ""
    """Label matchers without braces, such as ``group="api"``."""


@dataclass(frozen=True, slots=True)
class NativeLatencyEvents:
    """Events of a native histogram, good when not slower than a bound; any bound will do."""

    histogram: str
    threshold: Decimal
    matchers: str = ""


@dataclass(frozen=True, slots=True)
class BooleanEvents:
    """Samples of a gauge that is 1 when all is well and 0 when not, such as ``probe_success``."""

    metric: str
    matchers: str = ""


@dataclass(frozen=True, slots=True)
class RawRatio:
    """A ratio that Prometheus computes itself, 0 to 1; each bucket weighs the same, because no events are known."""

    query: str
    """``{window}`` stands for the length of a bucket."""
    is_success: bool = False
    """Whether it is the share of good events; otherwise that of bad ones."""


@dataclass(frozen=True, slots=True)
class SqlEvents:
    """Events counted exactly, by rows of PostgreSQL.

    *rows* is one SELECT that returns a row for each event with ``at`` (timestamptz) and ``good`` (boolean), and a
    text column for each label the objective is grouped by. It is read within a span of ``at``, so that an index on
    what ``at`` is made of keeps it fast.
    """

    rows: str


class CompositeMode(enum.StrEnum):
    """How a composite objective is made of its members."""

    WEIGHTED = "weighted"
    """The weighted mean of the members' indicators; members without data do not count."""
    WORST_OF = "worst_of"
    """The member that has spent most of its own budget."""
    BURN_SUM = "burn_sum"
    """The weighted sum of the members' burn rates."""


@dataclass(frozen=True, slots=True)
class Member:
    """An objective within a composite."""

    slo_id: str
    weight: Decimal = Decimal(1)
    """Above 0."""


@dataclass(frozen=True, slots=True)
class CompositeEvents:
    """Other objectives taken together; they must not be composites themselves."""

    mode: CompositeMode
    members: tuple[Member, ...]


PromIndicator: TypeAlias = PromEvents | LatencyEvents | NativeLatencyEvents | BooleanEvents | RawRatio
Indicator: TypeAlias = PromIndicator | SqlEvents | CompositeEvents

# ---- Window and budgeting ----


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """The last so long; whole hours, at least one."""

    length: timedelta = MONTH

    def __post_init__(self) -> None:
        """Refuse lengths the hourly ledger cannot sum."""
        if self.length < timedelta(hours=1) or self.length % timedelta(hours=1):
            raise InputError(f"A window of {self.length} is not a whole number of hours, at least one.")


class CalendarUnit(enum.StrEnum):
    """Which calendar span a budget is for."""

    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """A day, week, month, quarter or year of the calendar in a time zone; the budget starts anew with each."""

    unit: CalendarUnit = CalendarUnit.MONTH
    zone: str = "UTC"
    """IANA name."""

    def __post_init__(self) -> None:
        """Refuse zones that do not exist."""
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise InputError(f"There is no time zone {self.zone!r}; name one like Europe/Berlin.") from error

    @property
    def length(self) -> timedelta:
        """Return how long such a span is nominally: 1, 7, 30, 90 or 365 days."""
        return _NOMINAL[self.unit]


Window: TypeAlias = RollingWindow | CalendarWindow


class Budgeting(enum.StrEnum):
    """What the budget counts."""

    OCCURRENCES = "occurrences"
    """Events."""
    TIMESLICES = "timeslices"
    """Slices of time that are good when their share of good events reaches a target of their own."""
    RATIO_TIMESLICES = "ratio_timeslices"
    """Slices of time, each with its share of good events."""


@dataclass(frozen=True, slots=True)
class Slices:
    """How time is cut where budgets count time."""

    length: timedelta = BUCKET
    """Whole buckets that divide an hour, or whole hours that divide a day."""
    target: Decimal = Decimal("0.95")
    """Share of good events, above 0 and at most 1, from which a slice is good; no use for ratios."""

    def __post_init__(self) -> None:
        """Refuse slices that do not fit into hours or days."""
        hour, day = timedelta(hours=1), timedelta(days=1)
        fits = not self.length % BUCKET and not hour % self.length if self.length <= hour else not day % self.length
        if self.length < BUCKET or not fits or (self.length > hour and self.length % hour):
            raise InputError(f"Slices of {self.length} do not divide an hour or a day; take 5m, 10m, 15m, 30m or 1h.")
        if not 0 < self.target <= 1:
            raise InputError(f"The target of a slice is {self.target}; it must be above 0 and at most 1.")


# ---- Alerts ----


class Severity(enum.StrEnum):
    """Who must look, and when."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class BurnPair:
    """A long and a short window; both must burn faster than *factor*."""

    severity: Severity
    long: timedelta
    short: timedelta
    factor: float
    tier: int = 1
    """1 for the fastest pair; while a pair fires, those of higher tiers are inhibited."""


@dataclass(frozen=True, slots=True)
class AlertRouting:
    """What is said with the alerts of one severity."""

    is_enabled: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When an objective alerts."""

    pairs: tuple[BurnPair, ...] | None = None
    """None for the pairs that follow from period and target."""
    min_bad: int = 3
    """Fewer bad events than these in the long window never alert: noise of quiet services. 0 for no guard."""
    no_data_after: timedelta | None = timedelta(minutes=30)
    """How long without data before that is an alert of its own; None for never."""
    name: str | None = None
    """Name of the exported Prometheus alert; None for one made of the service and the id."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    page: AlertRouting = AlertRouting()
    ticket: AlertRouting = AlertRouting()


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of events that must be good over a window."""

    id: str
    """Lower-case letters, digits, ``_``, ``-`` and ``.``; at most 100."""
    title: str
    service: str
    target: Decimal
    """0 to 1, as written in the specification; never a binary fraction of it."""
    indicator: Indicator
    description: str
    window: Window = RollingWindow()
    budgeting: Budgeting = Budgeting.OCCURRENCES
    slices: Slices = Slices()
    """How time is cut when the budget counts time."""
    alerting: AlertPolicy = AlertPolicy()
    group_by: tuple[str, ...] = ()
    """Labels whose values are judged each for itself, besides the whole."""
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    revision: int = 0
    """0 for a standard objective as shipped."""

    def __post_init__(self) -> None:
        """Refuse targets that are no share."""
        if not 0 < self.target <= 1:
            raise InputError(f"The target of {self.id} is {self.target}; it must be above 0 and at most 1.")

    @property
    def budget_ratio(self) -> float:
        """Return the share of events that may be bad; 0 for a target of 100 %."""
        return float(1 - self.target)

    @property
    def period(self) -> timedelta:
        """Return how long the window is; of a calendar window the nominal length: 1, 7, 30, 90 or 365 days."""
        return self.window.length


_NOMINAL = {
    CalendarUnit.DAY: timedelta(days=1),
    CalendarUnit.WEEK: timedelta(days=7),
    CalendarUnit.MONTH: MONTH,
    CalendarUnit.QUARTER: timedelta(days=90),
    CalendarUnit.YEAR: timedelta(days=365),
}
