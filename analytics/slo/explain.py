"""Where an error budget went: which windows burn, which hours, groups and happenings cost most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo.history import History
from analytics.slo.model import BurnPair, Objective
from analytics.store.queries.annotations import AnnotationRow
from analytics.store.queries.slo_alerts import SloAlertRow


@dataclass(frozen=True, slots=True)
class Burn:
    """What one window that ends now has spent."""

    window: timedelta
    good: float
    total: float
    rate: float | None
    """None without events; infinity for a bad event where none may be."""
    spent: float | None
    """Share of the whole budget."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of time, or a group, took of the budget."""

    interval: Interval
    bad: float
    share: float | None
    """Of the whole budget; None for a target of 100 %."""
    minutes: float
    """The same as time of a full outage."""
    group_key: str = ""


@dataclass(frozen=True, slots=True)
class AnnotationCost:
    """What the budget lost around something that happened."""

    annotation: AnnotationRow
    interval: Interval
    """What was counted: what it lasted, or the hour after a moment, up to the next deployment."""
    bad: float
    """Bad events, or time slices, in it."""
    usual: float
    """How many there would have been at the error ratio of the day before."""
    share: float | None
    """Share of the whole budget that the others, beyond the usual, cost: 0 or more; None for a target of 100 %."""
    minutes: float
    """The same as time of a full outage."""


@dataclass(frozen=True, slots=True)
class BurnExplanation:
    """Where the budget of one objective went."""

    objective: Objective
    interval: Interval
    remaining: float | None
    """Share of the budget left; None without events."""
    windows: Sequence[Burn]
    """Shortest first."""
    firing: Sequence[BurnPair]
    hours: Sequence[Cost]
    """Those that cost most, dearest first; adjoining ones are taken together."""
    groups: Sequence[Cost]
    """Those that cost most, dearest first; of an objective without groups, none."""
    annotations: Sequence[AnnotationCost]
    """Dearest first."""
    alerts: Sequence[SloAlertRow]
    """In the interval, newest first."""


def annotation_costs(history: History, annotations: Sequence[AnnotationRow]) -> list[AnnotationCost]:
    """Return what each of *annotations* that touches *history* cost, in their order."""
    raise NotImplementedError


def dearest(history: History, *, limit: int = 5) -> list[Cost]:
    """Return the stretches of whole hours that cost most, dearest first.

    Hours count whose error ratio is above the one allowed; adjoining ones make one stretch.
    """
    raise NotImplementedError


def explain_burn(session: Session, slo_id: str, *, now: datetime, interval: Interval | None = None) -> BurnExplanation:
    """Return where the budget of *slo_id* went in *interval*; None for its window at *now*.

    Raises:
        NotFoundError: If there is no such objective.
    """
    raise NotImplementedError
