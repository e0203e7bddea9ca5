"""What a policy would have done: its alerts over a history, judged at the end of every step. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.slo.history import History
from analytics.slo.model import AlertPolicy, Severity


@dataclass(frozen=True, slots=True)
class Incident:
    """A time in which something is known to have been wrong."""

    interval: Interval
    title: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One page or one ticket: from when any pair of its severity fired until none did."""

    severity: Severity
    tiers: tuple[int, ...]
    """Of the pairs that fired, fastest first."""
    started_at: datetime
    """End of the first step at which it fired."""
    ended_at: datetime | None
    """End of the first step at which it did not any more; None when it was still firing at the end."""
    minutes: float
    bad: float
    """Bad events, or time slices, from the start of the long window in which it first fired to its end."""
    spent_before: float | None
    """Share of the budget that its long window had spent when it fired; None for a target of 100 %."""
    spent_during: float | None
    """Share of the budget spent while it fired."""
    peak_burn: float
    """Highest burn rate of its long windows; infinity for a target of 100 %."""
    is_false: bool
    """Whether neither an incident nor a real loss explains it."""
    incident: Incident | None = None
    """The first known incident that explains it."""


@dataclass(frozen=True, slots=True)
class Detection:
    """When a known incident was told of."""

    incident: Incident
    paged_after: timedelta | None
    """From its start to the first page; zero when a page was firing already, None when none came."""
    ticketed_after: timedelta | None


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a policy would have done over an interval."""

    slo_id: str
    policy: AlertPolicy
    interval: Interval
    pages: Sequence[Alarm]
    """Oldest first."""
    tickets: Sequence[Alarm]
    page_minutes: float
    ticket_minutes: float
    false_pages: int
    false_tickets: int
    detections: Sequence[Detection]
    """One for each known incident within the interval, oldest first."""
    median_delay: timedelta | None
    """Of the incidents told of, by page or ticket; None when there are none."""

    @property
    def detected(self) -> int:
        """Return how many known incidents were told of, by page or ticket."""
        return sum(item.paged_after is not None or item.ticketed_after is not None for item in self.detections)


def backtest(
    history: History,
    policy: AlertPolicy | None = None,
    *,
    incidents: Sequence[Incident] = (),
    since: datetime | None = None,
) -> BacktestResult:
    """Return what *policy* would have done over *history*.

    A step without data neither starts nor ends an alert. An alert is false when no incident overlaps it (allowing for
    the time that its short window needs to forget) and a service that just keeps its target would be expected to show
    as many bad events somewhere in the interval by chance.

    Args:
        history: By five minutes; longer than what is judged, where the first windows should be full.
        policy: None for that of the objective.
        incidents: What is known to have been wrong, such as annotations.
        since: From when to judge; None for all of the history.
    """
    raise NotImplementedError


def compare(
    history: History,
    policies: Mapping[str, AlertPolicy],
    *,
    incidents: Sequence[Incident] = (),
    since: datetime | None = None,
) -> Mapping[str, BacktestResult]:
    """Return what each of *policies* would have done, by the same names."""
    return {name: backtest(history, policy, incidents=incidents, since=since) for name, policy in policies.items()}


def suggest_min_bad(history: History, *, incidents: Sequence[Incident] = ()) -> int:
    """Return the smallest guard, 0 to 10, with the fewest false pages of those that lose no detection.

    The other parts of the policy are the objective's own. 0 where no events are counted.
    """
    raise NotImplementedError
